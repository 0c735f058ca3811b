"""Where phplayer keeps what it can make again: sources, builds, unpacked layers.

``PHPLAYER_CACHE`` moves it from the platform's user cache folder.

    builds/KEY          compiled parts                work/KEY16         where one is compiled
    layers/DIGEST       unpacked layer archives       work/tree-PID-...  where a layer tree is put together
    sources/            tarballs                      logs/KEY16.log     of compiles that did not end well
    ccache/             objects                       locks/             empty files

An entry's own modification time is when it was last used; ``touch`` sets it.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDERS = ("builds", "layers", "sources", "work", "logs")
"""Those whose entries come and go."""


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


def entries(name: str) -> tuple[Path, ...]:
    """Return what lies in a folder of the cache, sorted; nothing if there is no such folder."""
    path = root() / name
    return tuple(sorted(path.iterdir())) if path.is_dir() else ()


def temporary_prefix(kind: str) -> str:
    """Return how the name of a temporary folder begins, so that ``owner`` finds the process it belongs to."""
    return f"{kind}-{os.getpid()}-"


def owner(path: Path) -> int | None:
    """Return the process that a temporary folder belongs to, None for what is not temporary."""
    match = re.match(r"(?:tree|\.removed)-(\d+)-", path.name)
    return int(match[1]) if match else None


def touch(path: Path) -> None:
    """Note that an entry is used now; a cache that can only be read is used all the same."""
    try:
        os.utime(path)
    except OSError:
        return


def use_lock(key: str) -> str:
    """Return the name of the lock that is held while the compile of that key is made and copied."""
    return f"use-{key[:16]}"


@contextmanager
def use(key: str) -> Iterator[None]:
    """Keep the compile of that key from being cleaned away; any number of processes may use it at once."""
    import fcntl

    with (folder("locks") / f"{use_lock(key)}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # the other kind of the lock that try_lock takes
        yield


@contextmanager
def lock(name: str, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock that other phplayer processes on this machine respect; a killed holder releases it.

    ``on_wait`` is called once where another one holds it.
    """
    import filelock

    mutex = filelock.FileLock(folder("locks") / f"{name}.lock")
    try:
        mutex.acquire(blocking=False)
    except filelock.Timeout:
        if on_wait is not None:
            on_wait()
        mutex.acquire()
    try:
        yield
    finally:
        mutex.release()


@contextmanager
def try_lock(name: str) -> Iterator[bool]:
    """Hold the lock if it is free; tell whether it was."""
    import filelock

    mutex = filelock.FileLock(folder("locks") / f"{name}.lock")
    try:
        mutex.acquire(blocking=False)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        mutex.release()
