"""Frees what phplayer keeps: what dead builds left behind, what has not been used for long, what is over the limit.

Nothing is removed that a running phplayer uses: what is compiled and where it is compiled have locks, temporary
folders the number of their process. Removing is one rename, then the deletion, so that nobody meets half of a build.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import cache
from phplayer.errors import UsageError
from phplayer.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.engines.docker_leftovers import Leftover

_UNFINISHED = 3600.0  # seconds after which a folder that somebody was about to rename is a dead one's
_INVOCATION = 900.0  # seconds that a function may run, with its layers mounted
_SPANS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing in the cache that can be removed as a whole."""

    kind: str  # "compiled PHP", "source", "unpacked layer", "ccache", "leftover"
    path: Path
    size: int  # bytes on disk
    used: float  # when it was last used, in seconds since the epoch
    locks: tuple[str, ...] = ()  # held by those who use it


def leftovers() -> tuple[Item, ...]:
    """Return what dead builds left: workspaces, temporary folders, logs that no error points to any more."""
    return tuple(
        _item("leftover", path, locks=() if cache.owner(path) else (f"build-{path.stem}",))
        for name in ("", *cache.FOLDERS)
        for path in cache.entries(name)
        if _is_left_over(name, path)
    )


def _is_left_over(folder: str, path: Path) -> bool:
    owner = cache.owner(path)
    if owner is not None:
        return not is_alive(owner)
    if path.name.startswith((".partial-", "unfinished-")):
        return _age(path) > _UNFINISHED
    return folder == "work" or (folder == "logs" and _age(path) > _SPANS["d"])


def kept() -> tuple[Item, ...]:
    """Return what is kept because it saves time, least recently used first.

    Layers that a function may be running with at this moment are left out.
    """
    found = [
        *(
            _item("compiled part", path, locks=(cache.use_lock(path.name), f"build-{path.name[:16]}"))
            for path in cache.entries("builds")
        ),
        *(_item("unpacked layer", path) for path in cache.entries("layers") if _age(path) > _INVOCATION),
        *(_item("source", path, locks=(path.name,)) for path in cache.entries("sources")),
        *(_item("ccache", path) for path in cache.entries("") if path.name == "ccache"),
    ]
    return tuple(sorted((item for item in found if not _is_temporary(item.path)), key=lambda item: item.used))


def _is_temporary(path: Path) -> bool:
    return path.name.startswith((".", "unfinished-"))


def choose(*, everything: bool = False, older_than: float | None = None) -> tuple[Item, ...]:
    """Return what to remove: leftovers, and of what is kept all, or what was not used for ``older_than`` seconds."""
    since = time.time() - older_than if older_than is not None else 0.0
    return (*leftovers(), *(item for item in kept() if everything or item.used < since))


def over(allowed: int) -> tuple[Item, ...]:
    """Return what to remove, least recently used first, so that what is kept takes ``allowed`` bytes; 0 is no limit."""
    items = kept()
    excess = sum(item.size for item in items) - allowed
    chosen = []
    for item in items if allowed else ():
        if excess <= 0:
            break
        chosen.append(item)
        excess -= item.size
    return tuple(chosen)


def remove(items: Sequence[Item]) -> tuple[Item, ...]:
    """Remove what nobody uses and return it.

    Raises:
        OSError: the cache cannot be written.

    """
    return tuple(item for item in items if _remove(item))


def in_docker(*, everything: bool, dry_run: bool) -> tuple[Leftover, ...]:
    """Remove what phplayer left in the Docker daemon, if one answers, and return it.

    With ``everything`` that is also what the next build would use again.
    """
    from phplayer.engines import docker_daemon, docker_leftovers

    try:
        daemon = docker_daemon.connect()
    except docker_daemon.DaemonMissingError:
        return ()
    found = docker_leftovers.find(daemon, everything=everything)
    return found if dry_run else docker_leftovers.sweep(daemon, found)


def parse_span(text: str) -> float:
    """Read ``30d``, ``12h``, ``45m`` or ``2w``, in seconds.

    Raises:
        UsageError: it is no span of time.

    """
    match = re.fullmatch(r"(\d+)\s*([mhdw])", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is no span of time.", remedy="Write it as 45m, 12h, 30d or 2w.")
    return int(match[1]) * _SPANS[match[2]]


def _remove(item: Item) -> bool:
    with contextlib.ExitStack() as held:
        if not all(held.enter_context(cache.try_lock(name)) for name in item.locks):
            return False
        gone = item.path.with_name(f".removed-{os.getpid()}-{item.path.name}")
        try:
            item.path.rename(gone)
        except FileNotFoundError:
            return False
    _delete(gone)
    return True


def _delete(path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except PermissionError:  # a package brought folders that their owner may not write
        _make_writable(path)
        shutil.rmtree(path)


def _make_writable(folder: Path) -> None:
    folder.chmod(stat.S_IRWXU)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _make_writable(path)


def _item(kind: str, path: Path, *, locks: tuple[str, ...] = ()) -> Item:
    return Item(kind=kind, path=path, size=_size(path), used=time.time() - _age(path), locks=locks)


def _age(path: Path) -> float:
    """Return the seconds since the entry itself was touched, which those who use it do."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0


def _size(path: Path) -> int:
    """Return the bytes that it takes on disk; what vanishes meanwhile takes none."""
    return sum(status.st_blocks * 512 for status in _statuses(path))


def _statuses(path: Path) -> Iterator[os.stat_result]:
    with contextlib.suppress(FileNotFoundError):
        yield path.lstat()
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                for entry in entries:
                    yield from _statuses(Path(entry.path))
