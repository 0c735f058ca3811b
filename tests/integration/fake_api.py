"""A Runtime API of a few lines, and the bootstrap run against it without a sandbox."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds after which a test gives up: far beyond what any step takes, also on a machine under load."""

HANG_UP = 1.0
"""Seconds after which a bootstrap that was told to end is hung up on."""


def assert_no_complaint(log: str, opt: Path) -> None:
    """Let no notice pass that PHP gives about the bootstrap itself."""
    ours = rf"{re.escape(str(opt))}/(?:bootstrap|phplayer/\w+\.php)"
    complaint = re.search(rf"^.*\bin {ours} on line \d+.*$", log, re.MULTILINE)
    assert complaint is None, complaint[0]


@dataclass(frozen=True, kw_only=True)
class Told:
    """A request of the bootstrap that says something."""

    path: str  # below /2018-06-01/runtime/
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Ran:
    """What came of a run."""

    told: list[Told]
    log: str
    code: int

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]


@dataclass(kw_only=True)
class FakeApi:
    """Hands out the events, each once, with IDs from ``0`` on."""

    events: Sequence[Any]
    headers: Mapping[str, str] = field(default_factory=dict)  # of each event
    timeout: float = 300.0  # seconds from an event to its deadline
    told: list[Told] = field(default_factory=list)
    taken: int = 0
    taken_by: list[int] = field(default_factory=list)  # the connection's port, per event
    exhausted: threading.Event = field(
        default_factory=threading.Event
    )  # the next event was asked for, and there is none
    waiting: list[socket.socket] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        opt: Path,
        folder: Path,
        *,
        handler: str = "index",
        environment: Mapping[str, str] | None = None,
        php: Sequence[str] = ("-n",),
        when: Callable[[subprocess.Popen[bytes]], None] | None = None,
    ) -> Ran:
        """Run the bootstrap until it ends, or has served all: then SIGTERM ends it."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [opt / "bin" / "php", *php, opt / "bootstrap"],
                env={
                    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_address[1]}",
                    "AWS_LAMBDA_FUNCTION_NAME": "probe",
                    "LAMBDA_TASK_ROOT": str(folder),
                    "PATH": os.environ["PATH"],
                    "_HANDLER": handler,
                    **(environment or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                if when is not None:
                    when(process)
                until = time.monotonic() + PATIENCE
                while process.poll() is None and not self.exhausted.wait(0.02) and time.monotonic() < until:
                    pass
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)  # once: another might meet a PHP that is about to end
                while time.monotonic() < until:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(HANG_UP)
                        break
                    self.hang_up()  # a signal that comes just before PHP waits does not end the wait
            finally:
                ended = process.poll()
                process.kill()
                process.wait()
                server.shutdown()
                server.server_close()
            log.seek(0)
            text = log.read().decode(errors="replace")
        assert ended is not None, f"still running after {PATIENCE} s\n{text}"
        assert_no_complaint(text, opt)
        return Ran(told=self.told, log=text, code=ended)

    def hang_up(self) -> None:
        """Close the connections on which an event is awaited that there is not."""
        with self.lock:
            waiting, self.waiting = self.waiting, []
        for connection in waiting:
            with suppress(OSError):  # closed by the other side
                connection.shutdown(socket.SHUT_RDWR)

    def look(self) -> None:
        """See whether this is all."""
        with self.lock:
            if self.taken > len(self.events) and len(self.told) >= len(self.events):
                self.exhausted.set()


def _chunked(file: BufferedIOBase) -> tuple[bytes, dict[str, str]]:
    body, trailers = b"", {}
    while size := int(file.readline(), 16):
        body += file.read(size)
        file.readline()
    while line := file.readline().strip().decode():
        name, _, value = line.partition(":")
        trailers[name] = value.strip()
    return body, trailers


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            with api.lock:
                number = api.taken
                api.taken += 1
                if number < len(api.events):
                    api.taken_by.append(self.client_address[1])
            if number >= len(api.events):
                with api.lock:
                    api.waiting.append(self.connection)
                api.look()
                self.rfile.read(1)  # until the bootstrap is gone
                self.close_connection = True
                return
            event = api.events[number]
            body = event if isinstance(event, bytes) else json.dumps(event).encode()
            self._reply(
                200,
                {
                    "Lambda-Runtime-Aws-Request-Id": str(number),
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + api.timeout) * 1000)),
                    **api.headers,
                },
                body,
            )

        def do_POST(self) -> None:
            trailers: dict[str, str] = {}
            if self.headers.get("Transfer-Encoding") == "chunked":
                body, trailers = _chunked(self.rfile)
            else:
                body = self.rfile.read(int(self.headers["Content-Length"]))
            path = self.path.removeprefix("/2018-06-01/runtime/")
            told = Told(path=path, headers=dict(self.headers.items()), body=body, trailers=trailers)
            with api.lock:
                api.told.append(told)
            api.look()
            self._reply(202, {}, b'{"status":"OK"}')

        def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_arguments: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError, ValueError):  # the bootstrap was killed in the middle of a request
                super().handle()

    return Handler
