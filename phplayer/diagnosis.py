"""What a build in a project's folder needs from this machine, and whether it is there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer import cache, catalog, vendor
from phplayer.engines.host import HostEngine
from phplayer.errors import EnvironmentMissingError
from phplayer.runtime import Architecture, BootstrapMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.settings import Settings

_ROOM = 1_500_000_000  # bytes: a PHP source tree with its objects takes about one billion


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str = ""
    remedy: str = ""
    install: tuple[str, ...] = ()  # the command that would make it right


def examine(settings: Settings) -> tuple[Check, ...]:
    """Look at all that the host engine needs for the project's settings.

    Raises:
        UsageError: the settings are wrong.
        EnvironmentMissingError: this is no machine that the host engine knows.

    """
    known = catalog.load()
    runtime = known.runtime(
        php=(*settings.texts("php.version"), known.default_php)[0],
        extensions=settings.texts("php.extensions"),
        target=settings.text("build.target") or known.default_target,
        architecture=Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )
    engine = HostEngine()
    checks = [_packages(engine, engine.base.packages_for(runtime.extensions), "compiler and libraries")]
    if vendor.has_project(settings.root):
        if settings.text("composer.bin") or shutil.which("composer"):
            composer = vendor.find_composer(settings.text("composer.bin"), relative_to=settings.root)
            checks.append(Check(name="Composer", ok=True, found=f"{composer.version} ({composer.path})"))
        else:
            checks.append(_packages(engine, engine.base.composer, "Composer"))
    checks.extend((_room(), _namespaces()))
    return tuple(checks)


def install_command(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return the one command that installs every missing package, or nothing."""
    commands = [check.install for check in checks if check.install]
    if not commands:
        return ()
    engine = HostEngine()
    plain = len(engine.install_command(()))
    return engine.install_command([package for command in commands for package in command[plain:]])


def install(command: Sequence[str]) -> None:
    """Run the command; what it prints goes to stderr.

    Raises:
        EnvironmentMissingError: it failed.

    """
    if shutil.which(command[0]) is None:
        raise EnvironmentMissingError(
            f"{command[0]} is not there to install packages with.",
            remedy=f"As root: {shlex.join(command[1:])}",
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}  # nobody could answer its questions
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False, env=environment)
    if done.returncode != 0:
        raise EnvironmentMissingError(
            f"The package manager ended with status {done.returncode}.", remedy=f"Run it by hand: {shlex.join(command)}"
        )


def require(checks: Sequence[Check]) -> None:
    """Raise EnvironmentMissingError unless all is well."""
    missing = [check for check in checks if not check.ok]
    if missing:
        raise EnvironmentMissingError(
            f"This machine lacks: {', '.join(check.name for check in missing)}.",
            remedy="; ".join(check.remedy for check in missing),
        )


def _packages(engine: HostEngine, packages: Sequence[str], name: str) -> Check:
    missing = engine.missing(packages)
    if not missing:
        return Check(name=name, ok=True, found=f"{len(packages)} packages of {engine.base.name}")
    command = engine.install_command(missing)
    return Check(name=name, ok=False, remedy=shlex.join(command), install=command)


def _room() -> Check:
    free = shutil.disk_usage(cache.root()).free
    return Check(
        name="disk space",
        ok=free >= _ROOM,
        found=f"{free / 1e9:.1f} GB free in {cache.root()}",
        remedy=f"Free {(_ROOM - free) / 1e9:.1f} GB in {cache.root()}, or move the cache with PHPLAYER_CACHE.",
    )


def _namespaces() -> Check:
    """Local invocation mounts the layer at /opt in a mount namespace."""
    # root needs no user namespace, and in a chroot could not have one
    flags = "-m" if os.geteuid() == 0 else "-rm"
    done = subprocess.run(["unshare", flags, "true"], capture_output=True, check=False)
    return Check(
        name="mount namespaces (for invoke)",
        ok=done.returncode == 0,
        found="allowed",
        remedy="Allow them: sysctl kernel.unprivileged_userns_clone=1, or run as root.",
    )
