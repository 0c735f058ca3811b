"""Where a recipe runs. An engine offers workspaces; the steps are the same scripts on every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from phplayer.errors import EnvironmentMissingError, UsageError, check_known
from phplayer.events import Noted
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from phplayer.catalog import Base
    from phplayer.events import Listener
    from phplayer.recipe import Recipe
    from phplayer.runtime import Runtime

AUTO, DOCKER, HOST = "auto", "docker", "host"
NAMES = (AUTO, DOCKER, HOST)

_PER_COMPILER = 700_000_000  # bytes: GCC takes 600 MB for the largest file of PHP, Zend/zend_execute.c


class Workspace(Protocol):
    """A folder in which the steps of one part run. Paths are relative to it."""

    @property
    def full_disk_remedy(self) -> str:
        """What to do where a step ends with "No space left on device"."""

    def put(self, source: Path, name: str) -> None:
        """Copy a file or a folder in; ``name`` may lie in a folder that is not there yet."""

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str], on_line: Callable[[str], None]) -> int:
        """Run a program to its end, telling each line that it prints; return its exit status."""

    def exists(self, name: str) -> bool:
        """Tell whether a file is there: how steps that an earlier run finished are known."""

    def mark(self, name: str) -> None:
        """Make an empty file."""

    def get(self, name: str, into: Path) -> None:
        """Copy a file or a folder out, to ``into/name``."""


class Engine(Protocol):
    """A place that can compile."""

    @property
    def name(self) -> str:
        """``host`` or ``docker``."""

    @property
    def base(self) -> Base:
        """The base whose packages this engine has."""

    def compilers(self) -> int:
        """Return how many compilers its processors and its memory carry at once, limits on them included."""

    def require(self, packages: Sequence[str]) -> None:
        """Make sure that the packages are there. What all parts need comes first, what single ones add after it.

        Raises:
            EnvironmentMissingError: names those that are not, and the command that installs them.

        """

    def fingerprint(self, packages: Sequence[str]) -> str:
        """Return what identifies compiler, libc and libraries: if it is the same, so is what a recipe gives."""

    def workspace(self, key: str, recipe: Recipe) -> AbstractContextManager[Workspace]:
        """Open the workspace of a part, with the packages that its recipe names.

        It is deleted when the block ends well; otherwise an engine may keep it to go on from.
        """


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What a user says of where to compile."""

    engine: str = AUTO
    base_image: str = ""  # instead of the one that the catalogue has for the target's own base
    keep_container: bool = False
    compiled: Path | None = None  # where the results of docker-bake.hcl lie: nothing is compiled
    ccache: bool = True
    memory: int = 0  # bytes that a container may have; 0 for all of the engine's
    cpus: float = 0.0  # processors that a container may have; 0 for all of the engine's

    @property
    def need_docker(self) -> tuple[str, ...]:
        """The options, as a user writes them, that only the docker engine knows."""
        asked = {
            "--base-image": self.base_image,
            "--keep-container": self.keep_container,
            "build.memory": self.memory,
            "build.cpus": self.cpus,
        }
        return tuple(name for name, value in asked.items() if value)


def choose(options: EngineOptions, runtime: Runtime, listener: Listener) -> Engine:
    """Return the engine that compiles this runtime, and tell which it is and why.

    ``auto`` is Docker where a daemon answers, else this machine.

    Raises:
        UsageError: no such engine, or options that contradict it.
        EnvironmentMissingError: the engine that was asked for, or any engine, cannot compile here.

    """
    if options.compiled is not None:
        from phplayer.engines.elsewhere import ElsewhereEngine

        return ElsewhereEngine.open(options.compiled, runtime)
    check_known(options.engine, NAMES, "engine")
    if options.engine == HOST:
        return _host(options, runtime)
    from phplayer.engines import docker, docker_daemon

    try:
        daemon = docker_daemon.connect()
    except docker_daemon.DaemonMissingError as missing:
        if options.engine == DOCKER or options.need_docker:
            raise
        return _instead_of_docker(options, runtime, missing, listener)
    engine = docker.DockerEngine.open(daemon, options, runtime, listener)
    where = f"Docker {daemon.version} at {daemon.address} ({daemon.origin})"
    listener(Noted(message=f"Compiling in {engine.image}, with {where}."))
    return engine


def compilers(*, processors: float, memory: int) -> int:
    """Return how many compilers fit into that many processors and bytes; one at least."""
    return max(1, min(int(processors), memory // _PER_COMPILER))


def _host(options: EngineOptions, runtime: Runtime) -> Engine:
    from phplayer.engines.host import HostEngine

    if options.need_docker:
        raise UsageError(
            f"The host engine has no container for {' and '.join(options.need_docker)}.",
            remedy="Use --engine docker, or leave it out.",
        )
    here = Architecture.of_this_machine()
    if runtime.architecture != here:
        raise EnvironmentMissingError(
            f"The host engine compiles for {here}, which this machine is; it cannot build {runtime.identifier}.",
            remedy=f"Use --engine docker, or build it on a machine that is {runtime.architecture}.",
        )
    return HostEngine(ccache=options.ccache)


def _instead_of_docker(
    options: EngineOptions, runtime: Runtime, missing: EnvironmentMissingError, listener: Listener
) -> Engine:
    try:
        engine = _host(options, runtime)
    except EnvironmentMissingError as error:
        raise EnvironmentMissingError(
            error.message, remedy=f"{error.remedy} To compile in a container: {missing.remedy}", details=error.details
        ) from error
    listener(Noted(message=f"Compiling on this machine, because there is no Docker here: {missing.message}"))
    return engine
