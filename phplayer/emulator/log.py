"""What a function prints: line by line for whoever listens, and together for each event under way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT = 8 << 20
"""Bytes of an event's log that are kept: the last ones."""

LONGEST = 256 << 10
"""Bytes of a line that are waited for; more are handed on as they are."""


class EventLog:
    """What was printed while an event was under way."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._left_out = 0  # bytes

    def add(self, data: bytes) -> None:
        """Keep it, and forget the oldest when it is too much."""
        self._kept += data
        surplus = max(len(self._kept) - KEPT, 0)
        del self._kept[:surplus]
        self._left_out += surplus

    @property
    def text(self) -> str:
        """The log; it says when its beginning is missing."""
        cut = f"[{self._left_out:,} bytes before this are left out]\n" if self._left_out else ""
        return cut + self._kept.decode(errors="replace")


class Log:
    """The output of a function. ``on_line`` is told each line without its end."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._events: list[EventLog] = []
        self._line = bytearray()  # printed, and not yet whole

    @contextmanager
    def of_event(self) -> Iterator[EventLog]:
        """Keep what is printed meanwhile. At the end of the last event a line that is not whole is told too."""
        log = EventLog()
        self._events.append(log)
        try:
            yield log
        finally:
            self._events = [other for other in self._events if other is not log]
            if not self._events:
                self._tell(len(self._line))

    def hear(self, data: bytes) -> None:
        """Take what was printed."""
        for log in self._events:
            log.add(data)
        end = len(self._line) + data.rfind(b"\n") + 1 if b"\n" in data else 0
        self._line += data
        self._tell(end)
        if len(self._line) > LONGEST:
            self._tell(len(self._line))

    def _tell(self, end: int) -> None:
        """Hand on what ends there."""
        lines = self._line[:end].decode(errors="replace").splitlines()
        del self._line[:end]
        for line in lines:
            self._on_line(line)
