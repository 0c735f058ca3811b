"""The docker engine: recipes run in a container of the target's own system, wherever its daemon is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from phplayer import catalog
from phplayer.engines import compilers, docker_base, docker_container, docker_image
from phplayer.engines.docker_daemon import LABEL
from phplayer.events import Warned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from phplayer.catalog import Base
    from phplayer.engines import EngineOptions
    from phplayer.engines.docker_base import BaseImage
    from phplayer.engines.docker_container import ContainerWorkspace
    from phplayer.engines.docker_daemon import Daemon
    from phplayer.engines.docker_image import Toolchain
    from phplayer.events import Listener
    from phplayer.recipe import Recipe
    from phplayer.runtime import Architecture, Runtime

_SHORT = 12  # digits of a key that a container's name has


class DockerEngine:
    """Compiles in containers."""

    name = "docker"

    def __init__(
        self,
        daemon: Daemon,
        *,
        base: Base,
        image: BaseImage,
        architecture: Architecture,
        options: EngineOptions,
        listener: Listener,
    ) -> None:
        self.base = base
        self.image = image.reference
        self._daemon = daemon
        self._base_image = image
        self._architecture = architecture
        self._options = options
        self._listener = listener
        self._toolchains: dict[frozenset[str], Toolchain] = {}

    @classmethod
    def open(cls, daemon: Daemon, options: EngineOptions, runtime: Runtime, listener: Listener) -> DockerEngine:
        """Return the engine for a runtime, once its base image is there and is known to run.

        Raises:
            EnvironmentMissingError: the image cannot be had, is no known base, or its architecture cannot be run.

        """
        base = catalog.load().bases[runtime.target.native_base]
        reference = options.base_image or base.image.reference
        image = docker_base.base_image(daemon, reference, runtime.architecture, listener)
        if options.base_image:
            base = docker_base.base_of(daemon, image)
        if not daemon.runs_natively(runtime.architecture):
            docker_base.require_execution(daemon, image, runtime.architecture)
            listener(
                Warned(
                    message=f"{runtime.architecture} is emulated on this {daemon.platform} daemon: "
                    "compiling takes about ten times as long as on a machine that is one."
                )
            )
        return cls(
            daemon, base=base, image=image, architecture=runtime.architecture, options=options, listener=listener
        )

    def compilers(self) -> int:
        """Return how many compilers a container carries at once."""
        return compilers(
            processors=min(self._options.cpus or self._daemon.processors, self._daemon.processors),
            memory=min(self._options.memory or self._daemon.memory, self._daemon.memory),
        )

    def require(self, packages: Sequence[str]) -> None:
        """Make the image that has the packages, unless the daemon has it.

        Raises:
            EnvironmentMissingError: it could not be made.

        """
        self._toolchain(packages)

    def fingerprint(self, packages: Sequence[str]) -> str:
        """Return a digest of the base image's identity and of all that is installed in the toolchain image."""
        return self._toolchain(packages).fingerprint

    def workspace(self, key: str, recipe: Recipe) -> AbstractContextManager[ContainerWorkspace]:
        """Open a container for one part, of the image that has its packages."""
        ccache = ("", "")
        if self._options.ccache and self.base.image.ccache:
            volume = f"phplayer-ccache-{self.base.name}-{self._architecture}"
            with self._daemon.asked_to("make a volume"):
                self._daemon.api.create_volume(volume, labels={LABEL: "ccache"})
            ccache = (self.base.image.ccache, volume)
        return docker_container.workspace(
            self._daemon,
            self._toolchain(recipe.packages).identity,
            key[:_SHORT],
            options=self._options,
            ccache=ccache,
            listener=self._listener,
        )

    def _toolchain(self, packages: Sequence[str]) -> Toolchain:
        """Return the first image that has the packages; one that lacks some is made on top of the very first.

        So a part that takes more than the others changes nothing of what they are compiled in.
        """
        wanted = frozenset(packages)
        for there, toolchain in self._toolchains.items():
            if wanted <= there:
                return toolchain
        below, missing = self._base_image, wanted
        for there, toolchain in self._toolchains.items():
            below = replace(below, identity=toolchain.identity)
            missing, wanted = wanted - there, wanted | there
            break
        self._toolchains[wanted] = docker_image.toolchain(
            self._daemon,
            self.base,
            below,
            sorted(missing),
            self._architecture,
            self._listener,
        )
        return self._toolchains[wanted]
