"""Base images: found in the daemon or pulled, recognised, and run once where that may need an emulator."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from phplayer import cache, catalog
from phplayer.engines.docker_container import read_file, scratch
from phplayer.engines.docker_daemon import PLATFORMS, Daemon, refused
from phplayer.errors import EnvironmentMissingError, PhplayerError
from phplayer.events import PhaseFinished, PhaseStarted
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phplayer.catalog import Base
    from phplayer.events import Listener

_BY_PLATFORM = "1.49"  # version of the API in which an image is looked at by platform
_DIGITS = 12  # of a digest that a name has
_OS_RELEASE = "/usr/lib/os-release"  # /etc/os-release is a link to it


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """A base in the daemon."""

    reference: str  # as asked for
    identity: str  # sha256:...


HELD = "phplayer-base"
"""Under which base images are held, one for each architecture: their own name stands for one at a time."""


def base_image(daemon: Daemon, reference: str, architecture: Architecture, listener: Listener) -> BaseImage:
    """Return the base image of that architecture, pulled unless the daemon has it.

    A name that stands for another architecture in the daemon does so afterwards.

    Raises:
        EnvironmentMissingError: it can neither be found nor pulled.

    """
    digest = hashlib.sha256(reference.encode()).hexdigest()[:_DIGITS]
    held = {each: f"{HELD}:{each}-{digest}" for each in Architecture}
    with cache.lock(f"pull-{digest}"):
        identity = local(daemon, reference, architecture) or local(daemon, held[architecture], architecture)
        if identity is None:
            there = _inspect(daemon, reference, architecture)
            if there is not None and "@" in reference:
                _let_go(daemon, reference, there, held)
            _pull(daemon, reference, architecture, listener, there=_architecture(there))
            found = _inspect(daemon, reference, architecture)
            if found is None or found["Architecture"] != PLATFORMS[architecture]:
                raise EnvironmentMissingError(
                    f"The base image {reference} is for {_architecture(found) or 'no architecture'}, "
                    f"not for {architecture}.",
                    remedy=f"Name an image that is {architecture} with --base-image.",
                )
            identity = str(found["Id"])
            _hold(daemon, identity, held[architecture])
            if there is not None and "@" not in reference:
                _hold(daemon, there["Id"], reference)
    return BaseImage(reference=reference, identity=identity)


def base_of(daemon: Daemon, image: BaseImage) -> Base:
    """Return the base that an image is, by its os-release.

    Raises:
        EnvironmentMissingError: it is none that the catalogue knows.

    """
    try:
        text = read_file(daemon, image.identity, _OS_RELEASE).decode(errors="replace")
    except PhplayerError:
        text = ""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    identifiers = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    known = catalog.load()
    for identifier in identifiers:
        base = known.base_of(identifier)
        if base is not None:
            return base
    system = fields.get("PRETTY_NAME", "no system that says its name").strip('"')
    names = ", ".join(name for base in known.bases.values() for name in base.os_release)
    raise EnvironmentMissingError(
        f"The base image {image.reference} is {system}, whose packages phplayer does not know.",
        remedy=f"Use an image of one of: {names}.",
    )


def require_execution(daemon: Daemon, image: BaseImage, architecture: Architecture) -> None:
    """Refuse an architecture that neither the daemon's processors nor an emulator of its kernel runs.

    Raises:
        EnvironmentMissingError: says how to set up emulation.

    """
    api = daemon.api
    with scratch(daemon, image.identity, ["true"]) as container, daemon.asked_to("run a container"):
        from docker.errors import APIError

        try:
            api.start(container)
            status = api.wait(container)["StatusCode"]
            said = api.logs(container, stdout=True, stderr=True).decode(errors="replace")
        except APIError as error:
            status, said = 1, error.explanation or str(error)
    if status == 0:
        return
    if "exec format error" not in said and daemon.runs_natively(architecture):
        raise refused(f"run true in {image.reference}", said or f"status {status}")
    raise EnvironmentMissingError(
        f"The Docker daemon's machine is {daemon.platform} and emulates no {PLATFORMS[architecture]}, "
        f"so it cannot compile for {architecture}.",
        remedy="Set up emulation on that machine: docker run --privileged --rm tonistiigi/binfmt --install "
        f"{PLATFORMS[architecture]} (on Debian: apt-get install qemu-user-static binfmt-support). "
        f"Or build on a machine that is {architecture}.",
    )


def local(daemon: Daemon, reference: str, architecture: Architecture) -> str | None:
    """Return the identity of an image that the daemon has, if it is of that architecture."""
    found = _inspect(daemon, reference, architecture)
    return str(found["Id"]) if found is not None and found["Architecture"] == PLATFORMS[architecture] else None


def _inspect(daemon: Daemon, reference: str, architecture: Architecture) -> dict[str, Any] | None:
    """Return what the daemon says of an image: of that architecture, where one name can hold several."""
    from docker.utils import version_gte

    api = daemon.api
    # The SDK's inspect_image cannot ask for a platform, which daemons with containerd's image store take.
    platform = {"os": "linux", "architecture": PLATFORMS[architecture]}
    asked = {"platform": json.dumps(platform)} if version_gte(api.api_version, _BY_PLATFORM) else {}
    with daemon.asked_to(f"look at {reference}"):
        answer = api.get(f"{api.base_url}/v{api.api_version}/images/{quote(reference, safe='/:')}/json", params=asked)
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    if not answer.ok:
        raise refused(f"look at {reference}", str(answer.json()["message"]))
    found: dict[str, Any] = answer.json()
    return found


def _architecture(found: dict[str, Any] | None) -> str:
    """Return the architecture of an image by our names where we have one; empty where there is no image."""
    theirs = str(found["Architecture"]) if found is not None else ""
    return next((str(ours) for ours, name in PLATFORMS.items() if name == theirs), theirs)


def _hold(daemon: Daemon, identity: str, name: str) -> None:
    """Give an image a name, or it would have none once its own stands for another."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    with daemon.asked_to(f"name an image {name}"):
        daemon.api.tag(identity, repository, tag)


def _let_go(daemon: Daemon, reference: str, there: dict[str, Any], held: Mapping[Architecture, str]) -> None:
    """Take a digest from the image of another architecture, which is held instead.

    A daemon gives the digest of an index to one of its images, and refuses to pull another one by it.
    """
    for architecture, name in held.items():
        if there["Architecture"] == PLATFORMS[architecture]:
            _hold(daemon, there["Id"], name)
            with daemon.asked_to(f"take {reference} from an image"):
                daemon.api.remove_image(reference)


def _pull(daemon: Daemon, reference: str, architecture: Architecture, listener: Listener, *, there: str) -> None:
    """Pull an image; ``there`` is the architecture of the one that has the name, or empty."""
    from docker.errors import APIError
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(reference)
    phase, began = f"pull {reference}", time.monotonic()
    listener(PhaseStarted(subject=str(architecture), phase=phase))
    reason = ""
    with daemon.asked_to(f"pull {reference}"):
        try:
            for message in daemon.api.pull(
                repository, tag=tag or "latest", platform=f"linux/{PLATFORMS[architecture]}", stream=True, decode=True
            ):
                reason = message.get("error", "")
                if reason:
                    break
        except APIError as error:
            reason = error.explanation or str(error)
    if reason:
        state = (
            f"is for {there} in the Docker daemon, not for {architecture}" if there else "is not in the Docker daemon"
        )
        raise EnvironmentMissingError(
            f"The base image {reference} {state}, and pulling it fails: {reason.strip().rstrip('.')}.",
            remedy="Check the name and the daemon's network, name an image that it has with --base-image, "
            "or compile on this machine with --engine host.",
        )
    listener(PhaseFinished(subject=str(architecture), phase=phase, seconds=time.monotonic() - began, outcome="pulled"))
