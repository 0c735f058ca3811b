"""Docker: whether a daemon answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer.diagnosis.checks import Check, Fix, Step, gigabytes
from phplayer.engines.docker_daemon import NotRunningHereError
from phplayer.engines.host import base_of_this_machine
from phplayer.errors import EnvironmentMissingError

if TYPE_CHECKING:
    from phplayer.engines.docker_daemon import Daemon

_SYSTEMD = Path("/run/systemd/system")  # there while systemd runs: sd_booted(3)


def docker(*, required: bool) -> tuple[Daemon | None, Check]:
    """Ask for a daemon; one that is not required is not brought here either."""
    from phplayer.engines import docker_daemon

    try:
        daemon = docker_daemon.connect()
    except EnvironmentMissingError as error:
        remedy = _remedy(error) if required else f"{error.message} Builds compile on this machine."
        mend = fix(error) if required else None
        return None, Check(name="Docker", ok=False, required=required, remedy=remedy, fix=mend)
    found = f"{daemon.version} at {daemon.address}, {daemon.platform}, {daemon.processors} processors, "
    return daemon, Check(name="Docker", ok=True, required=required, found=f"{found}{gigabytes(daemon.memory)}")


def _remedy(error: EnvironmentMissingError) -> str:
    if isinstance(error, NotRunningHereError) and shutil.which("dockerd") and not _SYSTEMD.is_dir():
        return "Docker is installed, and nothing starts it here: run dockerd as root. Or use --engine host."
    return error.remedy


def fix(missing: EnvironmentMissingError) -> Fix | None:
    """Return how this machine gets a daemon: installed where it has none, started where systemd does that."""
    if not isinstance(missing, NotRunningHereError):
        return None
    try:
        base = base_of_this_machine()
    except EnvironmentMissingError:  # nobody's package manager that we know
        return None
    packages = () if shutil.which("dockerd") else base.docker
    then = (Step(arguments=("systemctl", "enable", "--now", "docker")),) if _SYSTEMD.is_dir() else ()
    return Fix(what="Docker", packages=packages, then=then) if packages or then else None
