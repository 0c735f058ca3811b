"""AWS endpoints on loopback: moto's server, and a proxy that puts faults in front of it."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ACCOUNT = "123456789012"  # moto's


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """Run moto's server in a process of its own and yield its URL. ``log`` gets what it prints."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"} | CREDENTIALS
    program = Path(sys.executable).with_name("moto_server")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(urlsplit(url).port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(url, server, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def reset(url: str) -> None:
    """Make the server forget everything."""
    _ask(url, "POST", "/moto-api/reset")


def _ask(url: str, method: str, path: str) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request(method, path)
        connection.getresponse().read()
    finally:
        connection.close()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            _ask(url, "GET", "/moto-api/data.json")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"moto_server did not start:\n{log.read_text()}")


@dataclass(frozen=True)
class Call:
    """A request on its way to AWS."""

    method: str
    path: str
    region: str

    @property
    def publishes(self) -> bool:
        return self.method == "POST" and self.path.endswith("/versions")


@dataclass
class Faults:
    """What goes wrong. Each may sleep too; set anew, they count from the next request on."""

    refuse: Callable[[Call], bool] = lambda _call: False  # AccessDenied, nothing is forwarded
    cut: Callable[[Call], bool] = lambda _call: False  # forwarded, but the answer never arrives
    seen: list[Call] = field(default_factory=list)


@contextmanager
def faulty_proxy(url: str, faults: Faults) -> Iterator[str]:
    """Serve a proxy in front of ``url`` and yield its own URL."""
    behind = urlsplit(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            scope = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/", self.headers.get("Authorization", ""))
            call = Call(method=self.command, path=self.path, region=scope[1] if scope else "")
            faults.seen.append(call)
            if faults.refuse(call):
                refusal = b'{"Message": "User: me is not authorized"}'
                self._answer(403, [("x-amzn-ErrorType", "AccessDeniedException")], refusal)
                return
            connection = http.client.HTTPConnection(str(behind.hostname), behind.port, timeout=60)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
            if faults.cut(call):
                self.close_connection = True
                return
            hop_by_hop = {"content-length", "transfer-encoding", "connection"}
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop_by_hop]
            self._answer(answer.status, kept, data)

        def __getattr__(self, name: str) -> object:
            if name.startswith("do_"):  # http.server's names for the methods of HTTP
                return self._forward
            raise AttributeError(name)

        def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
