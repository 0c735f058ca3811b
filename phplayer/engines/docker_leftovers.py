"""What phplayer has in a Docker daemon, and what of it nobody needs any more.

A build removes its own container whatever happens, and the daemon removes it when the build's process is gone. What
can stay behind is what a daemon that died could not remove.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phplayer import cache
from phplayer.engines.docker_base import HELD
from phplayer.engines.docker_container import CLIENT_LABEL, remove
from phplayer.engines.docker_daemon import LABEL
from phplayer.engines.docker_image import TAG_LABEL, image_lock
from phplayer.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.engines.docker_daemon import Daemon

_STARTING = 120.0  # seconds in which a container that does not run may be about to


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing in the daemon."""

    kind: str  # container, image, volume
    identity: str
    name: str
    size: int  # bytes, 0 where the daemon does not say


def find(daemon: Daemon, *, everything: bool = False) -> tuple[Leftover, ...]:
    """Return what no running build needs; with ``everything`` also what the next build would use again.

    That is: toolchain images, names that phplayer holds base images by, ccache volumes and containers that were kept
    on purpose.
    """
    with daemon.asked_to("list what phplayer made"):
        return (
            *_containers(daemon, everything=everything),
            *_images(daemon, everything=everything),
            *(_volumes(daemon) if everything else ()),
        )


def sweep(daemon: Daemon, leftovers: tuple[Leftover, ...]) -> tuple[Leftover, ...]:
    """Remove them and return those that are gone; one that turns out to be in use stays."""
    from docker.errors import APIError

    gone = []
    with daemon.asked_to("remove what phplayer made"):
        for each in leftovers:
            with suppress(APIError):
                if each.kind == "container":
                    remove(daemon, each.identity)
                elif each.kind == "image":
                    daemon.api.remove_image(each.identity)
                else:
                    daemon.api.remove_volume(each.identity)
                gone.append(each)
    return tuple(gone)


def _containers(daemon: Daemon, *, everything: bool) -> Iterator[Leftover]:
    for container in daemon.api.containers(all=True, filters={"label": LABEL}):
        labels = container["Labels"]
        kept = labels[LABEL] == "kept"
        if everything if kept else _is_orphan(container):
            name = container["Names"][0].lstrip("/") if container["Names"] else container["Id"][:12]
            yield Leftover(kind="container", identity=container["Id"], name=name, size=0)


def _is_orphan(container: dict[str, Any]) -> bool:
    """Tell whether nobody works with a container: a running one dies with its client, if the client is known."""
    client = container["Labels"].get(CLIENT_LABEL, "")
    host, _, pid = client.rpartition(":")
    if host == socket.gethostname():
        return not is_alive(int(pid))
    return bool(container["State"] != "running") and time.time() - container["Created"] > _STARTING


def _images(daemon: Daemon, *, everything: bool) -> Iterator[Leftover]:
    ours = f"{LABEL}=toolchain"
    if not everything:
        for image in daemon.api.images(filters={"label": ours, "dangling": True}):
            tag = (image["Labels"] or {}).get(TAG_LABEL, "")
            with cache.try_lock(image_lock(tag)) as nobody_builds_it:
                if nobody_builds_it:
                    yield _image(image, image["Id"])
        return
    for image in daemon.api.images(filters={"label": ours}):
        for name in _names(image) or [image["Id"]]:
            yield _image(image, name)
    for image in daemon.api.images(filters={"reference": HELD}):
        names = _names(image)
        for name in names:
            if name.startswith(f"{HELD}:"):
                yield _image(image, name, shared=len(names) > 1)


def _names(image: dict[str, Any]) -> list[str]:
    return [tag for tag in image["RepoTags"] or () if tag != "<none>:<none>"]


def _image(image: dict[str, Any], name: str, *, shared: bool = False) -> Leftover:
    """Return an image by one of its names; the bytes of one that is shared are still taken without it."""
    return Leftover(kind="image", identity=name, name=name, size=0 if shared else image["Size"])


def _volumes(daemon: Daemon) -> Iterator[Leftover]:
    for volume in daemon.api.volumes(filters={"label": f"{LABEL}=ccache"})["Volumes"] or ():
        yield Leftover(kind="volume", identity=volume["Name"], name=volume["Name"], size=0)
