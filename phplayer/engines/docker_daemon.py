"""The connection to a Docker daemon: found as Docker's own client finds it; what it refuses is told with a remedy."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING

from phplayer.engines import docker_context
from phplayer.engines.docker_context import EndpointError
from phplayer.errors import BuildFailedError, EnvironmentMissingError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import APIClient

    from phplayer.engines.docker_context import Endpoint

LABEL = "phplayer"
"""On all that is made in a daemon; its value says what it is."""

PLATFORMS = {Architecture.X86_64: "amd64", Architecture.ARM64: "arm64"}
"""Docker's names of Lambda's architectures."""

_PROBE = 10  # seconds in which a daemon must answer to be taken for one
_ANY_VERSION = "1.24"  # of the API: for asking which versions the daemon speaks, which is asked of none in particular
_TIMEOUT = 600  # seconds of silence after which a request has failed; dnf can be silent for minutes


class DaemonMissingError(EnvironmentMissingError):
    """No Docker daemon can be used; the message says why in one sentence."""


class NotRunningHereError(DaemonMissingError):
    """Nothing listens where the daemon of this machine would: Docker is not installed, or not started."""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A daemon that answered, and what it said of its machine."""

    api: APIClient
    address: str
    origin: str  # who says that it is there: DOCKER_HOST, or a context of Docker's client
    version: str
    platform: str  # linux's name of its architecture, by Docker's names: amd64
    processors: int
    memory: int  # bytes

    def runs_natively(self, architecture: Architecture) -> bool:
        """Tell whether its processors are of that architecture."""
        return self.platform == PLATFORMS[architecture]

    @contextmanager
    def asked_to(self, what: str) -> Iterator[None]:
        """Turn what the SDK raises into our errors; ``what`` completes "the daemon was asked to"."""
        from docker.errors import APIError, DockerException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except APIError as error:
            raise refused(what, error.explanation or str(error)) from error
        except (DockerException, HTTPError, HTTPException, OSError) as error:  # requests' errors are OSErrors
            said = _said_ssh(self.api)
            raise EnvironmentMissingError(
                f"The Docker daemon at {self.address} went away when it was asked to {what}: "
                f"{said or _innermost(error)}.",
                remedy="Look why it ended (journalctl -u docker), start it, and run the same command again.",
            ) from error


def connect() -> Daemon:
    """Connect to the daemon that Docker's own client would ask.

    Raises:
        DaemonMissingError: none answers, or it does not let this user in.

    """
    from docker.errors import DockerException

    address, api = "of Docker's configuration", None
    try:
        where = docker_context.endpoint()
        address = where.address
        _knock(address)
        api = _client(where, version=_ANY_VERSION)
        version = api.version(api_version=False)
        api.close()
        api = _client(where, version=version["ApiVersion"])
        info = api.info()
        api.timeout = _TIMEOUT
    except (DockerException, OSError, ValueError) as error:
        said = _said_ssh(api)
        if api is not None:
            api.close()
        raise (_unreached(address, said) if said else _missing(address, error)) from error
    return Daemon(
        api=api,
        address=address,
        origin=where.origin,
        version=version["Version"],
        platform=version["Arch"],
        processors=info["NCPU"],
        memory=info["MemTotal"],
    )


def _client(where: Endpoint, *, version: str) -> APIClient:
    """Return a client that gives up soon, so that a daemon that does not answer is told from one that works."""
    from docker import APIClient

    if where.address.startswith("ssh://"):
        from phplayer.engines.docker_ssh import SshClient

        return SshClient(where.address, version=version)
    return APIClient(base_url=where.address, version=version, timeout=_PROBE, tls=where.tls or False)


def refused(what: str, reason: str) -> BuildFailedError:
    """Return the error for a daemon that answered no."""
    remedy = "Docker's own words tell what to mend; then run the same command again."
    if "no space left on device" in reason.lower():
        remedy = "The disk of the Docker daemon is full: docker system prune frees what nothing uses there."
    return BuildFailedError(f"The Docker daemon refused to {what}: {reason.strip().rstrip('.')}.", remedy=remedy)


def _knock(address: str) -> None:
    """Connect to a socket of this machine and hang up: where nobody opens, the SDK would leave its own unclosed."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(_PROBE)
            knocking.connect(address.removeprefix("unix://"))


def _said_ssh(api: APIClient | None) -> str:
    """Return what ssh, or what it ran, said went wrong; empty where the daemon is not behind ssh, or all is well."""
    said: str = api.said() if api is not None and hasattr(api, "said") else ""
    return said.rstrip(".")


def _unreached(address: str, said: str) -> DaemonMissingError:
    """Return the error for a daemon that ssh does not get to."""
    by_words = {
        "permission denied (": "Give ssh a key that this machine accepts (ssh-copy-id, ssh-add)",
        "host key verification failed": "Connect once by hand (ssh), so that its key is known",
        "not found": "Install Docker's client there, where a shell without login finds it",
        "permission denied while": "Add that user to the group docker there",
        "cannot connect to the docker daemon": "Start Docker there",
        "no such file": "Start Docker there",
    }
    remedy = next((remedy for words, remedy in by_words.items() if words in said.lower()), "Mend what ssh says")
    return DaemonMissingError(
        f"No Docker daemon can be used: {address} is not reached: {said}.",
        remedy=f"{remedy}, or compile on this machine with --engine host.",
    )


def _missing(address: str, error: Exception) -> DaemonMissingError:
    message, remedy, kind = str(error), "Check DOCKER_HOST and docker context ls", DaemonMissingError
    if not isinstance(error, EndpointError):
        cause = _innermost(error)
        message, remedy = _why(address, address.removeprefix("unix://"), cause)
        if address == docker_context.SOCKET and isinstance(cause, FileNotFoundError | ConnectionRefusedError):
            kind = NotRunningHereError
    return kind(
        f"No Docker daemon can be used: {message}.", remedy=f"{remedy}, or compile on this machine with --engine host."
    )


def _why(address: str, path: str, cause: BaseException) -> tuple[str, str]:
    """Return what is wrong with a daemon, and what to do."""
    by_number = {
        errno.ENOENT: (
            f"there is no socket at {path}",
            "Install and start Docker, or set DOCKER_HOST to where its daemon listens",
        ),
        errno.EACCES: (
            f"permission denied at {path}",
            "Add yourself to the group docker (sudo usermod -aG docker $USER) and log in again",
        ),
        errno.ECONNREFUSED: (
            f"no daemon listens at {path}",
            "Start it (sudo systemctl start docker, or Docker Desktop)",
        ),
    }
    number = cause.errno if isinstance(cause, OSError) else None
    if number in by_number:
        return by_number[number]
    if isinstance(cause, TimeoutError) or "timed out" in str(cause).lower():
        reason = f"the one at {path} does not answer within {_PROBE} seconds"
        return reason, "Look what it is doing (journalctl -u docker) and restart it"
    return f"{address} gives {cause}", "Check DOCKER_HOST and docker context ls"


def _innermost(error: BaseException) -> BaseException:
    """Return what the operating system said: the SDK and its HTTP libraries wrap it in one another's arguments."""
    seen: set[int] = set()
    waiting, last = [error], error
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError) and isinstance(current.errno, int):
            return current
        last = current if str(current) else last
        inner = (current.__cause__, current.__context__, *current.args)
        waiting.extend(each for each in inner if isinstance(each, BaseException))
    return last
