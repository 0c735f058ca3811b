"""What the commands need in a project's folder, and whether it is there.

Which checks are made depends on the engine that a build would take. What a build cannot do without is *required*;
the rest tells beforehand what ``publish`` and ``invoke`` would stumble over.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import cache, matrix, recipe, vendor
from phplayer.engines import AUTO, DOCKER, HOST, capacity, compilers
from phplayer.engines.host import HostEngine
from phplayer.errors import EnvironmentMissingError, PhplayerError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.catalog import Base
    from phplayer.engines.docker_daemon import Daemon
    from phplayer.runtime import Runtime
    from phplayer.settings import Settings

_ROOM = 1_500_000_000  # bytes: a PHP source tree with its objects takes about one billion
_PER_JOB = 1_000_000_000  # bytes: the compiler takes 600 MB for the largest file, make and the linker theirs
_EMULATORS = Path("/proc/sys/fs/binfmt_misc")
_FALLBACK_REGION = "us-east-1"  # where to ask who we are when no region is configured


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    required: bool = True
    found: str = ""
    remedy: str = ""
    install: tuple[str, ...] = ()  # packages of this machine's base that would make it right


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All checks, and the engine that a build would take."""

    engine: str
    checks: tuple[Check, ...]


def examine(settings: Settings) -> Diagnosis:
    """Look at all that the project's settings need.

    Raises:
        UsageError: the settings are wrong.

    """
    runtimes = matrix.runtimes(settings)
    asked = settings.text("build.engine")
    daemon, docker = _docker(asked) if asked != HOST else (None, None)
    engine = DOCKER if daemon is not None or asked == DOCKER else HOST
    checks = [docker] if docker else []
    if daemon is not None:
        checks.extend(_architectures(daemon, runtimes))
    if engine == HOST:
        checks.extend(_host(runtimes))
    checks.extend((_room(), _memory(settings, daemon)))
    if vendor.has_project(settings.root):
        checks.append(_composer(settings))
    checks.append(_namespaces())
    checks.extend(_aws(settings))
    return Diagnosis(engine=engine, checks=tuple(checks))


def install_command(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return the one command that installs every missing package, or nothing."""
    packages = [package for check in checks for package in check.install]
    return HostEngine().install_command(packages) if packages else ()


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
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        raise EnvironmentMissingError(
            f"The package manager ended with status {done.returncode}.", remedy=f"Run it by hand: {shlex.join(command)}"
        )


def failure(checks: Sequence[Check]) -> EnvironmentMissingError | None:
    """Return the error that names what is required and missing."""
    missing = [check for check in checks if check.required and not check.ok]
    if not missing:
        return None
    return EnvironmentMissingError(
        f"A build here lacks: {', '.join(check.name for check in missing)}.",
        remedy=" ".join(dict.fromkeys(check.remedy for check in missing)),
    )


# -- the engines ------------------------------------------------------------------------------------------------------


def _docker(asked: str) -> tuple[Daemon | None, Check]:
    """Ask for a daemon. It is required only where the settings say docker."""
    from phplayer.engines import docker_daemon

    required = asked != AUTO
    try:
        daemon = docker_daemon.connect()
    except EnvironmentMissingError as error:
        remedy = error.remedy if required else f"{error.message} Builds compile on this machine."
        return None, Check(name="Docker", ok=False, required=required, remedy=remedy)
    found = f"{daemon.version} at {daemon.address}, {daemon.platform}, {daemon.processors} processors, "
    return daemon, Check(name="Docker", ok=True, required=required, found=f"{found}{_gigabytes(daemon.memory)}")


def _architectures(daemon: Daemon, runtimes: Sequence[Runtime]) -> Iterator[Check]:
    """Tell for each architecture whether the daemon runs it; one that nobody asked for is not required."""
    from phplayer.engines.docker_daemon import PLATFORMS

    asked = {runtime.architecture for runtime in runtimes}
    for architecture in Architecture:
        if daemon.runs_natively(architecture):
            continue
        name, required = f"emulation of {architecture}", architecture in asked
        emulator = "qemu-aarch64" if architecture == Architecture.ARM64 else "qemu-x86_64"
        if not (daemon.address.startswith("unix://") and platform.system() == "Linux"):
            yield Check(name=name, ok=True, required=required, found="cannot be seen from here; a build tries it")
        else:
            yield Check(
                name=name,
                ok=(_EMULATORS / emulator).is_file(),
                required=required,
                found=f"{emulator}: compiling takes about ten times as long",
                remedy="Set up emulation: docker run --privileged --rm tonistiigi/binfmt --install "
                f"{PLATFORMS[architecture]} (on Debian: apt-get install qemu-user-static binfmt-support).",
            )


def _host(runtimes: Sequence[Runtime]) -> Iterator[Check]:
    here = Architecture.of_this_machine()
    foreign = sorted({runtime.architecture for runtime in runtimes} - {here})
    if foreign:
        yield Check(
            name=f"compiling for {', '.join(foreign)}",
            ok=False,
            remedy=f"This machine is {here}: install Docker, or build on a machine of that architecture.",
        )
    try:
        engine = HostEngine()
    except EnvironmentMissingError as error:
        yield Check(name="compiler and libraries", ok=False, remedy=error.remedy)
        return
    packages = {package for runtime in runtimes for package in _packages_of(runtime, engine.base)}
    yield _packages(engine, sorted(packages), "compiler and libraries")
    if engine.base.image.ccache:  # where it is empty there is no such package
        ccache = _packages(engine, ("ccache",), "ccache")
        told = "Compiling again with other flags is several times faster with it. "
        yield replace(ccache, required=False, remedy=ccache.remedy and told + ccache.remedy)


def _packages_of(runtime: Runtime, base: Base) -> Iterator[str]:
    plan = recipe.plan(runtime, base)
    for part in plan.parts:
        yield from part.packages


def _packages(engine: HostEngine, packages: Sequence[str], name: str) -> Check:
    missing = engine.missing(packages)
    if not missing:
        return Check(name=name, ok=True, found=f"{len(packages)} packages of {engine.base.name}")
    remedy = f"Run: {shlex.join(engine.install_command(missing))}"
    return Check(name=name, ok=False, remedy=remedy, install=tuple(missing))


# -- this machine -----------------------------------------------------------------------------------------------------


def _composer(settings: Settings) -> Check:
    try:
        composer = vendor.find_composer(settings.text("composer.bin"), relative_to=settings.root)
    except PhplayerError as error:
        if not settings.text("composer.bin") and shutil.which("composer") is None:
            try:
                engine = HostEngine()
                if engine.base.composer:
                    return _packages(engine, engine.base.composer, "Composer")
            except EnvironmentMissingError:
                pass  # no base of ours: how to install Composer here is Composer's own documentation
        return Check(name="Composer", ok=False, remedy=error.remedy)
    return Check(name="Composer", ok=True, found=f"{composer.version} ({composer.path})")


def _room() -> Check:
    free = shutil.disk_usage(cache.root()).free
    return Check(
        name="disk space",
        ok=free >= _ROOM,
        found=f"{_gigabytes(free)} free in {cache.root()}",
        remedy=f"Free {_gigabytes(_ROOM - free)} in {cache.root()} (phplayer clean --all), or move the cache with "
        "PHPLAYER_CACHE.",
    )


def _memory(settings: Settings, daemon: Daemon | None) -> Check:
    """Ask for a gigabyte for each compiler; a build starts no more than fit, unless it is told to."""
    bytes_ = daemon.memory if daemon else capacity.memory()
    processors = float(daemon.processors) if daemon else capacity.processors()
    jobs = settings.number("build.jobs") or compilers(processors=processors, memory=bytes_)
    return Check(
        name="memory",
        ok=bytes_ >= jobs * _PER_JOB,
        required=bytes_ < _PER_JOB,
        found=f"{_gigabytes(bytes_)} for {jobs} compiler{'s' if jobs > 1 else ''} at once",
        remedy=f"{_gigabytes(bytes_)} are little for {jobs} compilers at once: use a smaller --jobs or build.jobs, or "
        "give it more.",
    )


def _namespaces() -> Check:
    """Local invocation mounts the layer at /opt in a mount namespace."""
    try:
        allowed = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:  # no Linux
        allowed = False
    return Check(
        name="mount namespaces (for invoke)",
        ok=allowed,
        required=False,
        found="allowed",
        remedy="On Linux, allow them: sysctl kernel.unprivileged_userns_clone=1, or run as root.",
    )


# -- AWS --------------------------------------------------------------------------------------------------------------


def _aws(settings: Settings) -> Iterator[Check]:
    """Ask who we are, then in each region: an account that has not opted into one is not known there."""
    from phplayer.aws import Aws

    name, regions = "AWS credentials (for publish)", settings.texts("publish.regions")
    try:
        aws = Aws(
            profile=settings.text("publish.profile"), endpoint_url=settings.text("publish.endpoint_url"), hasty=True
        )
        first = (*regions, os.environ.get("AWS_REGION") or aws.default_region or _FALLBACK_REGION)[0]
        identity = aws.identity(first)
    except PhplayerError as error:
        yield Check(name=name, ok=False, required=False, remedy=f"{error.message} {error.remedy}")
        return
    yield Check(name=name, ok=True, required=False, found=f"account {identity.account} as {identity.principal}")

    def refusal(region: str) -> PhplayerError | None:
        try:
            aws.identity(region)
        except PhplayerError as error:
            return error
        return None

    if len(regions) > 1:
        with ThreadPoolExecutor(max_workers=8) as pool:
            refused = {r: error for r, error in zip(regions, pool.map(refusal, regions), strict=True) if error}
        yield Check(
            name="regions (for publish)",
            ok=not refused,
            required=False,
            found=f"the account is known in {', '.join(regions)}",
            remedy=" ".join(f"{region}: {error.message} {error.remedy}" for region, error in refused.items()),
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
