"""A port that leads to a socket, as a tunnel to another machine does."""

from __future__ import annotations

import contextlib
import socket
import socketserver
from collections.abc import Iterator
from pathlib import Path
from threading import Thread


@contextlib.contextmanager
def port_to(path: Path) -> Iterator[int]:
    """Forward a free port of loopback to a socket and yield its number."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as inner:
                inner.connect(str(path))
                back = Thread(target=_copy, args=(inner, self.request))
                back.start()
                _copy(self.request, inner)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of a connection that one side drops."""

    with Server(("127.0.0.1", 0), Forward) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _copy(source: socket.socket, into: socket.socket) -> None:
    """Pass on what comes and then its end, which does not end the other direction."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            into.sendall(data)
    with contextlib.suppress(OSError):
        into.shutdown(socket.SHUT_WR)
