"""Disk and memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from phplayer import cache
from phplayer.diagnosis.checks import Check, gigabytes
from phplayer.engines import capacity, compilers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.engines.docker_daemon import Daemon
    from phplayer.settings import Settings

_ROOM = 1_500_000_000  # bytes: a PHP source tree with its objects takes about one billion
_DOCKER_ROOM = 3_000_000_000  # bytes: a toolchain image takes 1 to 1.5 billion, and so does a container with PHP
_PER_JOB = 1_000_000_000  # bytes: the compiler takes 600 MB for the largest file, make and the linker theirs


def room() -> Check:
    """Tell whether the cache has room for a compile."""
    free = shutil.disk_usage(cache.root()).free
    return Check(
        name="disk space",
        ok=free >= _ROOM,
        found=f"{gigabytes(free)} free in {cache.root()}",
        remedy=f"Free {gigabytes(_ROOM - free)} in {cache.root()} (phplayer clean --all), or move the cache with "
        "PHPLAYER_CACHE.",
    )


def docker_room(daemon: Daemon) -> Iterator[Check]:
    """Tell whether a daemon of this machine has room; where another one keeps its images cannot be looked at."""
    with daemon.asked_to("tell where it keeps its images"):
        place = daemon.api.info()["DockerRootDir"]
    if not daemon.address.startswith("unix://"):
        return
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # in a virtual machine, or none of this user's business
        return
    yield Check(
        name="disk space of Docker",
        ok=free >= _DOCKER_ROOM,
        found=f"{gigabytes(free)} free in {place}",
        remedy=f"Free {gigabytes(_DOCKER_ROOM - free)} in {place}: docker system prune removes what nothing uses.",
    )


def memory(settings: Settings, daemon: Daemon | None) -> Check:
    """Ask for a gigabyte for each compiler; a build starts no more than fit, unless it is told to."""
    bytes_ = daemon.memory if daemon else capacity.memory()
    processors = float(daemon.processors) if daemon else capacity.processors()
    jobs = settings.number("build.jobs") or compilers(processors=processors, memory=bytes_)
    return Check(
        name="memory",
        ok=bytes_ >= jobs * _PER_JOB,
        required=bytes_ < _PER_JOB,
        found=f"{gigabytes(bytes_)} for {jobs} compiler{'s' if jobs > 1 else ''} at once",
        remedy=f"{gigabytes(bytes_)} are little for {jobs} compilers at once: use a smaller --jobs or build.jobs, or "
        "give it more.",
    )
