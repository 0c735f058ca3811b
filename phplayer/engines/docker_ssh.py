"""Daemons behind ``ssh://``: reached as Docker's own client does, through ``ssh HOST docker system dial-stdio``.

The user's own ``ssh`` runs, so its configuration, agent, known hosts and jump hosts count. The SDK has such a
transport, but it takes paramiko even where it runs ssh, and its connections are no sockets that can be waited for. Here
each connection is one end of a pair of sockets whose other end is ssh's standard input and output: to the SDK it is a
socket as any other, and when this process ends, however it ends, ssh reads the end and so does the daemon.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from docker import APIClient
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from phplayer.engines.docker_context import EndpointError

_CONNECT = 30  # seconds in which ssh must have its connection; Docker's client waits as long
_TIMEOUT = _CONNECT + 10  # seconds, so that ssh is the first to say why there is none
_ANYWHERE = "http+unix:///ssh"  # the SDK wants a name for what it does not use
_END = 5.0  # seconds that an ssh has to end when its connection is gone
_SAID = 2000  # bytes of what ssh printed last

# Ctrl-C reaches all programs of the terminal; what must still be removed from the daemon needs its connections.
_UNTOUCHED = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What ``ssh://USER@HOST:PORT/SOCKET`` names."""

    host: str
    user: str | None
    port: int | None
    path: str  # of the daemon's socket there; the default one if empty

    @classmethod
    def parse(cls, address: str) -> Target:
        """Read an address.

        Raises:
            EndpointError: it names no host, a port that is none, or holds a password, which ssh takes from nobody.

        """
        parts = urlsplit(address)
        if not parts.hostname:
            raise EndpointError(f"{address} names no host")
        if parts.password is not None:
            raise EndpointError(f"the address of {parts.hostname} holds a password, which ssh does not take: use a key")
        try:
            port = parts.port
        except ValueError as error:
            raise EndpointError(f"{address} names no port that could be: {error}") from error
        return cls(host=parts.hostname, user=parts.username, port=port, path=parts.path.rstrip("/"))

    def ssh(self, *options: str) -> tuple[str, ...]:
        """Return the command line of ssh to there, up to the host."""
        user = ("-l", self.user) if self.user else ()
        port = ("-p", str(self.port)) if self.port else ()
        return ("ssh", *options, *user, *port, "--", self.host)

    def dial(self) -> tuple[str, ...]:
        """Return the command line that connects its input and output to the daemon's socket."""
        path = ("--host", f"unix://{self.path}") if self.path else ()
        remote = shlex.join(("docker", *path, "system", "dial-stdio"))
        return (*self.ssh("-T", "-o", "LogLevel=ERROR", "-o", f"ConnectTimeout={_CONNECT}"), remote)


class SshClient(APIClient):
    """The SDK's client for a daemon behind ssh. Nothing is connected before something is asked."""

    def __init__(self, address: str, *, version: str) -> None:
        """Raise EndpointError where the address is wrong or this machine has no ssh."""
        target = Target.parse(address)
        if shutil.which("ssh") is None:
            raise EndpointError(f"{address} takes ssh, which is not installed on this machine")
        super().__init__(base_url=_ANYWHERE, version=version, timeout=_TIMEOUT)
        self._tunnels = _Tunnels(target)
        self._custom_adapter = _Adapter(self._tunnels)
        self.mount("http+docker://", self._custom_adapter)

    def said(self) -> str:
        """Return the last line that ssh, or what it ran, printed of what went wrong; empty if there is none."""
        return self._tunnels.said()


class _Tunnels:
    """The ssh programs that carry a client's connections."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._opening = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  as long as the tunnels
        self._finalizer = weakref.finalize(self, _end, self._running, self._errors)

    def open(self) -> socket.socket:
        """Return one end of a connection to the daemon."""
        ours, theirs = socket.socketpair()
        with theirs, self._opening:
            self._running[:] = [tunnel for tunnel in self._running if tunnel.poll() is None]
            end = theirs.fileno()
            command = (*_UNTOUCHED, *self._target.dial())
            self._running.append(subprocess.Popen(command, stdin=end, stdout=end, stderr=self._errors))
        return ours

    def said(self) -> str:
        """Return the last line that one of them printed of what went wrong; empty if there is none."""
        if self._errors.closed:
            return ""
        file = self._errors.fileno()  # its position is shared with the programs that write
        size = os.fstat(file).st_size
        lines = os.pread(file, _SAID, max(0, size - _SAID)).decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End them all."""
        self._finalizer()


def _end(running: list[subprocess.Popen[bytes]], errors: IO[bytes]) -> None:
    for tunnel in running:
        tunnel.terminate()
    for tunnel in running:
        try:
            tunnel.wait(_END)
        except subprocess.TimeoutExpired:
            tunnel.kill()
            tunnel.wait()
    running.clear()
    errors.close()


class _Adapter(UnixHTTPAdapter):
    """Gives the SDK its connections."""

    def __init__(self, tunnels: _Tunnels) -> None:
        super().__init__(_ANYWHERE, _TIMEOUT)
        self._tunnels = tunnels

    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:
        del proxies
        with self.pools.lock:
            pool: _Pool | None = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _Pool(self._tunnels)
        return pool

    def close(self) -> None:
        super().close()
        self._tunnels.close()


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, tunnels: _Tunnels) -> None:
        super().__init__(_ANYWHERE, "", _TIMEOUT)
        self._tunnels = tunnels

    def _new_conn(self) -> Any:
        return _Connection(self._tunnels)


class _Connection(UnixHTTPConnection):
    def __init__(self, tunnels: _Tunnels) -> None:
        super().__init__(_ANYWHERE, "", _TIMEOUT)
        self._tunnels = tunnels

    def connect(self) -> None:
        self.sock = self._tunnels.open()
        self.sock.settimeout(self.timeout)
