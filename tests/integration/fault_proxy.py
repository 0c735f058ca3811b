"""A proxy in front of an AWS endpoint that makes go wrong what the endpoint itself never does; real bytes travel."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.serving import running

REQUEST_LIMIT = 70_167_211  # bytes: Lambda's answer to larger requests names it


@dataclass(frozen=True)
class Call:
    """A request on its way to AWS."""

    method: str
    path: str
    region: str
    service: str = ""

    @property
    def publishes(self) -> bool:
        return self.method == "POST" and self.path.endswith("/versions")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one request."""

    status: int = 0  # AWS's answer; 0 for no answer, the connection breaks off
    code: str = ""
    message: str = "injected"
    effect: bool = False  # it takes effect all the same
    spoil: Callable[[bytes], bytes] | None = None  # it takes effect and is answered with what this makes of the answer
    length: int = 0  # bytes that the answer claims to have beyond those that it has; then the connection breaks off


RESET_BEFORE = Fault()
RESET_AFTER = Fault(effect=True)
FAILS_BEFORE = Fault(status=500, code="ServiceException")
FAILS_AFTER = Fault(status=500, code="ServiceException", effect=True)
THROTTLED = Fault(status=429, code="TooManyRequestsException")
EXPIRED = Fault(status=403, code="ExpiredTokenException")
CUT_OFF = Fault(spoil=lambda data: data[: len(data) // 2])
CUT_SHORT = Fault(spoil=lambda data: data[: len(data) // 2], length=100)
EMPTY = Fault(spoil=lambda _data: b"")
A_PAGE = Fault(spoil=lambda _data: b"<html><body>Sign in to the network</body></html>")
NOT_TEXT = Fault(spoil=lambda _data: b"\xff\xfe\xfd")
A_LIST = Fault(spoil=lambda _data: b"[1, 2]")
NO_FIELDS = Fault(spoil=lambda _data: b'{"Message": "ok"}')
HALVES = (CUT_OFF, CUT_SHORT, EMPTY, A_PAGE, NOT_TEXT, A_LIST, NO_FIELDS)
RANDOM = (RESET_BEFORE, RESET_AFTER, FAILS_BEFORE, FAILS_AFTER, THROTTLED, *HALVES)


@dataclass
class Faults:
    """What goes wrong. Each function may sleep too; set anew, they count from the next request on."""

    refuse: Callable[[Call], bool] = lambda _call: False  # AccessDenied, nothing is forwarded
    cut: Callable[[Call], bool] = lambda _call: False  # forwarded, but the answer never arrives
    act: Callable[[Call], Fault | None] = lambda _call: None
    seen: list[Call] = field(default_factory=list)
    connections: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_until_idle(self, url: str) -> None:
        """Wait until all that dead clients have sent is done.

        A request of our own, which queues behind them, shows that none of their connections waits to be accepted.
        """
        address = urlsplit(url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/moto-api/data.json")
            connection.getresponse().read()
        with self.changed:
            assert self.changed.wait_for(lambda: self.connections == 0, timeout=60)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, url: str, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(url)
        self.faults = faults


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._count(1)

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            super().finish()
        self._count(-1)

    def _count(self, change: int) -> None:
        with self.server.faults.changed:
            self.server.faults.connections += change
            self.server.faults.changed.notify_all()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            super().handle()

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # it died while it was sending
            self.close_connection = True
            return
        scope = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/([a-z0-9]+)/", self.headers.get("Authorization", ""))
        region, service = scope.groups() if scope else ("", "")
        call = Call(method=self.command, path=self.path, region=region, service=service)
        self.server.faults.seen.append(call)
        fault = self.server.faults.act(call)
        if fault is None and call.publishes and length > REQUEST_LIMIT:
            fault = Fault(status=413, code="RequestEntityTooLargeException")
        if fault is None and self.server.faults.refuse(call):
            fault = Fault(status=403, code="AccessDeniedException", message="User: me is not authorized")
        if fault is not None and not fault.effect and fault.spoil is None:
            self._fail(call, fault)
            return
        status, headers, data = self._ask(body)
        if fault is not None and fault.spoil is not None:
            spoiled = fault.spoil(data)
            kept = [(name, value) for name, value in headers if name != "Content-Length"]
            self.close_connection = bool(fault.length)
            self._answer(status, [*kept, ("Content-Length", str(len(spoiled) + fault.length))], spoiled)
        elif fault is not None:
            self._fail(call, fault)
        elif self.server.faults.cut(call):
            self.close_connection = True
        else:
            self._answer(status, headers, data)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(str(self.server.behind.hostname), self.server.behind.port, timeout=60)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        hop_by_hop = {"content-length", "transfer-encoding", "connection"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop_by_hop]
        if self.command == "HEAD":
            kept.append(("Content-Length", answer.headers.get("Content-Length", "0")))
        return answer.status, kept, data

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):  # http.server's names for the methods of HTTP
            return self._forward
        raise AttributeError(name)

    def _fail(self, call: Call, fault: Fault) -> None:
        if not fault.status:
            self.close_connection = True
            return
        if call.service in {"lambda", "account"}:
            body = f'{{"Message": "{fault.message}"}}'
        else:  # protocols that speak XML
            error = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
            body = error if call.service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        self._answer(fault.status, [("x-amzn-ErrorType", fault.code)], body.encode())

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def faulty_proxy(url: str, faults: Faults) -> Iterator[str]:
    """Serve a proxy in front of ``url`` and yield its own URL."""
    server = _Server(url, faults)
    with running(server) as own:
        yield own
