"""Ctrl-C in commands that change something elsewhere: the first press stops in order, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phplayer.errors import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from phplayer.cli.console import Console


@contextmanager
def stopping(console: Console) -> Iterator[threading.Event]:
    """Yield what the first Ctrl-C sets; a second one ends the process on the spot."""
    event = threading.Event()

    def pressed(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            console.close()  # the cursor comes back
            os._exit(INTERRUPTED)
        event.set()
        console.warn("Stopping: calls that are under way are finished and recorded. Press Ctrl-C again to end at once.")

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
