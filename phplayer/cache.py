"""Where phplayer keeps what it can make again: sources, builds, unpacked layers.

``PHPLAYER_CACHE`` moves it from the platform's user cache folder.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def root() -> Path:
    """Return the cache folder, made if needed."""
    configured = os.environ.get("PHPLAYER_CACHE")
    if configured:
        folder = Path(configured).expanduser().resolve()
    else:
        import platformdirs

        folder = platformdirs.user_cache_path("phplayer")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def folder(name: str) -> Path:
    """Return a folder of the cache, made if needed."""
    path = root() / name
    path.mkdir(exist_ok=True)
    return path


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock that other phplayer processes on this machine respect; a killed holder releases it."""
    import filelock

    with filelock.FileLock(folder("locks") / f"{name}.lock"):
        yield
