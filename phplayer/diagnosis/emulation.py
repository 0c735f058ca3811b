"""Whether a Docker daemon runs programs of the other architecture."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer.diagnosis.checks import Check, Fix, Step
from phplayer.engines.docker_daemon import PLATFORMS
from phplayer.engines.host import base_of_this_machine
from phplayer.errors import EnvironmentMissingError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.engines.docker_daemon import Daemon
    from phplayer.runtime import Runtime

_FORMATS = Path("/proc/sys/fs/binfmt_misc")
_EMULATORS = {Architecture.ARM64: "qemu-aarch64", Architecture.X86_64: "qemu-x86_64"}


def architectures(daemon: Daemon, runtimes: Sequence[Runtime]) -> Iterator[Check]:
    """Tell for each architecture whether the daemon runs it; one that nobody asked for is not required."""
    asked = {runtime.architecture for runtime in runtimes}
    for architecture in Architecture:
        if daemon.runs_natively(architecture):
            continue
        name, required = f"emulation of {architecture}", architecture in asked
        emulator = _EMULATORS[architecture]
        if not (daemon.address.startswith("unix://") and platform.system() == "Linux"):
            yield Check(name=name, ok=True, required=required, found="cannot be seen from here; a build tries it")
        else:
            yield Check(
                name=name,
                ok=_is_on(_FORMATS / emulator),
                required=required,
                found=f"{emulator}: compiling takes about ten times as long",
                remedy="Set up emulation: docker run --privileged --rm tonistiigi/binfmt --install "
                f"{PLATFORMS[architecture]} (on Debian: apt-get install qemu-user-static binfmt-support).",
                fix=_fix(emulator) if required else None,
            )


def _is_on(entry: Path) -> bool:
    """Tell whether the kernel hands such programs to an emulator that it has open: a container does not see its file.

    The kernel's Documentation/admin-guide/binfmt-misc.rst: ``flags: F`` says so.
    """
    try:
        text = entry.read_text()
    except OSError:
        return False
    return text.startswith("enabled") and re.search(r"^flags: \w*F", text, re.MULTILINE) is not None


def _fix(emulator: str) -> Fix | None:
    """Return how this machine gets it, where its base has packages for it."""
    try:
        packages = base_of_this_machine().emulation
    except EnvironmentMissingError:
        return None
    if not packages:
        return None
    mount = Step(arguments=("mount", "-t", "binfmt_misc", "binfmt_misc", str(_FORMATS)), unless=_FORMATS / "register")
    return Fix(
        what="emulation", packages=packages, then=(mount, Step(arguments=("update-binfmts", "--enable", emulator)))
    )
