"""One at a time for each layer in each region, and a note of the call that is under way.

Two publishers on one machine must not both find nothing and both publish. And a publisher that dies between sending
PublishLayerVersion and hearing the answer leaves a version that AWS may list only later: the note tells the next one
since when it has to expect that.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phplayer import cache

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from phplayer.publishing.planning import Step

_PAUSE = 0.2  # seconds between two looks at a lock that somebody else holds


@contextmanager
def turn(step: Step, stopping: threading.Event) -> Iterator[bool]:
    """Wait until nobody else publishes this layer there; False when stopped before that."""
    place = step.place
    name = f"publish-{_digest(place.endpoint, place.account, place.region, place.layer)}"
    while not stopping.is_set():
        with cache.try_lock(name) as mine:
            if mine:
                yield True
                return
        stopping.wait(_PAUSE)
    yield False


class Note:
    """That a call to publish this content there was sent; held on disk until its outcome is known."""

    def __init__(self, step: Step) -> None:
        place = step.place
        self._name = _digest(place.endpoint, place.account, place.region, place.layer, step.archive.sha256)

    @property
    def _path(self) -> Path:
        return cache.folder("calls") / self._name

    def since(self) -> float | None:
        """Return when the call was sent, in seconds since the epoch; None when there is none whose end is unknown."""
        try:
            return min(self._path.stat().st_mtime, time.time())
        except FileNotFoundError:
            return None

    def write(self) -> None:
        """Note that the call is about to be sent."""
        self._path.write_bytes(b"")

    def remove(self) -> None:
        """Note that its outcome is known and recorded."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
