"""Ends a process in order when it is told to end: as on an exception, so that everything is cleaned up."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType


def heeded() -> tuple[signal.Signals, ...]:
    """Return the signals that end it: SIGTERM, and SIGHUP when the terminal is closed, but not under nohup."""
    return tuple(number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN)


def heed() -> None:
    """From now on end in order on these signals, with the exit code 128 + the signal's number."""
    for number in heeded():
        signal.signal(number, end)


def has_begun() -> bool:
    """Tell whether it is ending already."""
    return signal.getsignal(signal.SIGTERM) is _heard_already


def end(number: int, _frame: FrameType | None = None) -> NoReturn:
    """End as on that signal."""
    for other in heeded():
        signal.signal(other, _heard_already)
    raise SystemExit(128 + number)


def _heard_already(_number: int, _frame: FrameType | None) -> None:
    """Let cleaning up be: a terminal that is closed says so twice, itself and through its shell.

    Not SIG_IGN, of which Python complains when the second signal is on its way.
    """
