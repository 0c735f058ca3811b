"""Toolchain images: a base with a compiler and the libraries, made once.

The tag of a toolchain image is a digest of all that defines it: the text of its Dockerfile and the identity of its
base. What was installed is written into the image and identifies what it compiles.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phplayer import cache, resources
from phplayer.engines.docker_base import local
from phplayer.engines.docker_container import CCACHE_FOLDER, FOLDER, USER, read_file, remove
from phplayer.engines.docker_daemon import LABEL, PLATFORMS
from phplayer.errors import EnvironmentMissingError, PhplayerError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from phplayer.catalog import Base
    from phplayer.engines.docker_base import BaseImage
    from phplayer.engines.docker_daemon import Daemon
    from phplayer.events import Listener
    from phplayer.runtime import Architecture

REPOSITORY = "phplayer-toolchain"
TAG_LABEL = f"{LABEL}.tag"

_TAIL = 25  # lines of the log that an error shows
_DIGITS = 12  # of a digest that a tag has
_DISCARD = 10.0  # seconds that a cut-off build has to end


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """An image that can compile."""

    identity: str  # sha256:...
    fingerprint: str  # of what is installed in it


def dockerfile(base: Base, packages: Sequence[str]) -> str:
    """Return the Dockerfile of the toolchain image with these packages and the base's own."""
    from jinja2 import Environment, StrictUndefined

    template = resources.dockerfile("toolchain.Dockerfile.j2").read_text()
    environment = Environment(  # noqa: S701  a Dockerfile, not HTML
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template).render(
        base=base.name,
        image=base.image.reference,
        manager=base.manager,
        install=base.install_command,
        packages=sorted({*packages, *base.image.packages}),
        user=USER,
        folders=[FOLDER, *([CCACHE_FOLDER] if base.image.ccache else [])],
    )


def toolchain(
    daemon: Daemon,
    base: Base,
    image: BaseImage,
    packages: Sequence[str],
    architecture: Architecture,
    listener: Listener,
) -> Toolchain:
    """Return the toolchain image, built on a base or on another toolchain image unless the daemon has it.

    Of several processes that ask for the same image one builds it and the others wait.

    Raises:
        EnvironmentMissingError: it could not be built; carries the tail of the output and the log's path.

    """
    text = dockerfile(base, packages)
    digest = hashlib.sha256(f"{image.identity}\0{text}".encode()).hexdigest()[:_DIGITS]
    tag = f"{REPOSITORY}:{base.name}-{architecture}-{digest}"
    with cache.lock(image_lock(tag)):
        identity = local(daemon, tag, architecture)
        if identity is None:
            build = _Build(daemon=daemon, base=image, architecture=architecture, tag=tag, listener=listener)
            build.run(text)
            identity = local(daemon, tag, architecture) or ""
    installed = sorted(read_file(daemon, identity, "/packages.txt").decode(errors="replace").splitlines())
    return Toolchain(
        identity=identity,
        fingerprint=hashlib.sha256("\n".join([image.identity, *installed]).encode()).hexdigest(),
    )


def image_lock(tag: str) -> str:
    """Return the name of the lock that whoever builds the image of that tag holds."""
    return f"image-{tag.rpartition('-')[2]}"


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One build of a toolchain image."""

    daemon: Daemon
    base: BaseImage
    architecture: Architecture
    tag: str
    listener: Listener

    def run(self, text: str) -> None:
        """Build; of a build that fails or is cut off nothing stays."""
        subject, phase, began = self.tag.partition(":")[2], "toolchain image", time.monotonic()
        self.listener(PhaseStarted(subject=subject, phase=phase))
        try:
            self._steps(text, subject, phase)
        except BaseException:
            discard(self.daemon, self.tag)
            raise
        self.listener(
            PhaseFinished(subject=subject, phase=phase, seconds=time.monotonic() - began, outcome="built once")
        )

    def _steps(self, text: str, subject: str, phase: str) -> None:
        log = cache.folder("logs") / f"image-{subject}.log"
        tail: deque[str] = deque(maxlen=_TAIL)
        with log.open("w", encoding="utf-8") as out, closing(self._messages(text)) as messages:
            for message in messages:
                said = message.get("error") or message.get("stream", "")
                out.write(said)
                tail.extend(line for line in said.splitlines() if line.strip())
                if "error" in message:
                    raise self._failure(tuple(tail)[-_TAIL:], log)
                if said.startswith("Step "):
                    done, _, total = said.split()[1].partition("/")
                    self.listener(
                        PhaseAdvanced(subject=subject, phase=phase, done=int(done), total=int(total), unit="steps")
                    )
        log.unlink()

    def _messages(self, text: str) -> Generator[dict[str, Any]]:
        with self.daemon.asked_to("build the toolchain image"):
            yield from self.daemon.api.build(
                fileobj=_context(text),
                custom_context=True,
                tag=self.tag,
                buildargs={"BASE": self.base.identity, "TAG": self.tag},
                platform=f"linux/{PLATFORMS[self.architecture]}",
                rm=True,
                forcerm=True,
                decode=True,
            )

    def _failure(self, tail: tuple[str, ...], log: Any) -> EnvironmentMissingError:
        text = "\n".join(tail).lower()
        remedy = "The last lines tell why. Mend it, or name another base with --base-image, and run again."
        if "unable to locate package" in text or "no match for argument" in text or "has no installation" in text:
            remedy = "The repositories of the base image lack a package: use an image of another release of it."
        elif "could not resolve" in text or "temporary failure" in text or "curl error" in text:
            remedy = "Containers of this daemon reach no package mirror: check its network, DNS and proxy settings."
        elif "no space left on device" in text:
            remedy = "The disk of the Docker daemon is full: docker system prune frees what nothing uses there."
        return EnvironmentMissingError(
            f"The image to compile in could not be made from {self.base.reference}.",
            remedy=remedy,
            log=log,
            details=tail,
        )


def discard(daemon: Daemon, tag: str) -> None:
    """Remove what an unfinished build of that tag left: containers of its steps and images without a name."""
    from docker.errors import APIError

    deadline = time.monotonic() + _DISCARD
    filters = {"label": f"{TAG_LABEL}={tag}"}
    with suppress(PhplayerError), daemon.asked_to("remove half an image"):
        while time.monotonic() < deadline:
            containers = daemon.api.containers(all=True, filters={"label": [f"{LABEL}=toolchain", filters["label"]]})
            images = daemon.api.images(filters={"dangling": True, **filters})
            for container in containers:
                remove(daemon, container["Id"])
            for image in images:
                with suppress(APIError):  # gone with another, or still in use by the step that is ending
                    daemon.api.remove_image(image["Id"])
            if not containers and not images:
                return
            time.sleep(0.2)


def _context(text: str) -> io.BytesIO:
    """Return the archive that the daemon builds from: the Dockerfile alone."""
    packed, data = io.BytesIO(), text.encode()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    packed.seek(0)
    return packed
