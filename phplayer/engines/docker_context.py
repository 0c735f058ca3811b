"""Which daemon Docker's own client would ask: DOCKER_HOST first, then DOCKER_CONTEXT, then the context in use.

Docker Desktop, colima and a rootless daemon make themselves known by a context. The SDK reads contexts too, but only
beside a ``config.json``, which ``docker context create`` does not write.

Layout: https://docs.docker.com/engine/manage-contexts/, folder names are the SHA-256 of the context's name.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker.tls import TLSConfig

DEFAULT = "default"

SOCKET = "unix:///var/run/docker.sock"
"""Where a daemon of this machine listens unless it is told otherwise."""

_PEMS = ("ca", "cert", "key")


class EndpointError(ValueError):
    """There is no endpoint to ask: the message says why, wholly."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a daemon listens, and whose word that is."""

    address: str
    origin: str  # DOCKER_HOST, or the context
    tls: TLSConfig | None = None


def endpoint() -> Endpoint:
    """Return the endpoint that Docker's client would use.

    Raises:
        EndpointError: the context does not exist or cannot be read.
        docker.errors.TLSParameterError: a certificate is missing.

    """
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        found = kwargs_from_env()
        return Endpoint(address=found["base_url"], origin="DOCKER_HOST", tls=found.get("tls"))
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name, origin = os.environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not name:
        name, origin = _read(folder / "config.json").get("currentContext"), str(folder / "config.json")
    if not name or name == DEFAULT:
        return Endpoint(address=SOCKET, origin=f"context {DEFAULT}")
    digest = hashlib.sha256(name.encode()).hexdigest()
    docker = _read(folder / "contexts" / "meta" / digest / "meta.json").get("Endpoints", {}).get("docker", {})
    if not docker.get("Host"):
        raise EndpointError(f"there is no context {name!r}, which {origin} names")
    return Endpoint(
        address=docker["Host"],
        origin=f"context {name}",
        tls=_tls(folder / "contexts" / "tls" / digest / "docker", verify=not docker.get("SkipTLSVerify")),
    )


def _tls(folder: Path, *, verify: bool) -> TLSConfig | None:
    """Return how to speak to a context's daemon; None where the context says nothing of TLS."""
    from docker.tls import TLSConfig

    ca, cert, key = (str(path) if path.is_file() else None for path in (folder / f"{n}.pem" for n in _PEMS))
    if verify and not (ca or cert):
        return None
    return TLSConfig(client_cert=(cert, key) if cert and key else None, ca_cert=ca if verify else None, verify=verify)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EndpointError(f"{path} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}
