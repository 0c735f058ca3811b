"""The Lambda Runtime API on loopback: events out, answers in.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, with the status codes and error shapes that AWS's own
emulator (aws-lambda-rie) gives. HTTP is h11's work; the connection stays in our hands, as trailers and, in tests,
broken connections need.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import h11

EVENT_LIMIT = 6 * 1024 * 1024
"""Bytes of an event of a synchronous invocation (Lambda quotas)."""
RESPONSE_LIMIT = EVENT_LIMIT + 100
"""Bytes of a response that is not streamed: the figure in Lambda's own message about larger ones."""

_BASE = "/2018-06-01/runtime/"
_INVOCATION = re.compile(r"invocation/([^/]+)/(response|error)")
_READ = 65536


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the runtime sent for an event: a result, or with ``failed`` the JSON that describes an error."""

    body: bytes
    failed: bool


@dataclass(kw_only=True)
class Invocation:
    """An event on its way through the API."""

    event: bytes
    function_arn: str
    timeout: float  # seconds, from when a runtime takes the event
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(
        default_factory=lambda: (
            f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
        )
    )
    taken: asyncio.Future[float] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    answered: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def headers(self) -> list[tuple[str, str]]:
        """Return what `next` says about the event, its deadline counted from now."""
        return [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", self.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int((time.time() + self.timeout) * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", self.function_arn),
            ("Lambda-Runtime-Trace-Id", self.trace_id),
        ]


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class _Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    sent: asyncio.Future[float] | None = None  # told the time when the reply is on its way


class RuntimeApi:
    """The server. Start it, ``offer`` invocations, await what comes of them."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._waiting: asyncio.Queue[Invocation] = asyncio.Queue()
        self._invocations: dict[str, Invocation] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self.idle = asyncio.Event()  # set while a runtime waits for an event
        self.init_error: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None  # noqa: S101  it was entered
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``: the value of AWS_LAMBDA_RUNTIME_API."""
        assert self._server is not None  # noqa: S101  it was entered
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def expect_runtime(self) -> None:
        """Forget what the last runtime said of its start: a new one is about to."""
        self.idle.clear()
        self.init_error = asyncio.get_running_loop().create_future()

    def offer(self, invocation: Invocation) -> None:
        """Hand the invocation to the runtime that asks next."""
        self._invocations[invocation.request_id] = invocation
        self._waiting.put_nowait(invocation)

    def withdraw(self, invocation: Invocation) -> None:
        """Take the invocation back; an answer to it is refused from now on."""
        self._invocations.pop(invocation.request_id, None)

    # -- connections ----------------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        connection = h11.Connection(h11.SERVER)
        try:
            while (request := await _receive(connection, reader)) is not None:
                reply = await self._answer(request, connection, reader)
                if reply is None:
                    break
                await _send(connection, writer, reply)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except (h11.ProtocolError, ConnectionError):
            pass  # the runtime hung up or does not speak HTTP: it is told by the closed connection
        finally:
            writer.close()

    async def _answer(
        self, request: _Request, connection: h11.Connection, reader: asyncio.StreamReader
    ) -> _Reply | None:
        route = request.path.removeprefix(_BASE) if request.path.startswith(_BASE) else ""
        match = _INVOCATION.fullmatch(route)
        if match is None and route not in ("invocation/next", "init/error"):
            return _refusal(404, "NotFound", f"No such path: {request.path}")
        wanted = "GET" if route == "invocation/next" else "POST"
        if request.method != wanted:
            return _refusal(405, "MethodNotAllowed", f"{request.path} wants {wanted}")
        if match is not None:
            return self._take_answer(match[1], request, failed=match[2] == "error")
        if route == "invocation/next":
            return await self._next(connection, reader)
        if not self.init_error.done():
            self.init_error.set_result(Answer(body=request.body, failed=True))
        return _accepted()

    async def _next(self, connection: h11.Connection, reader: asyncio.StreamReader) -> _Reply | None:
        """Wait for an event, or for the runtime to hang up."""
        event = asyncio.create_task(self._offered())
        hung_up = asyncio.create_task(reader.read(_READ))
        self.idle.set()
        try:
            await asyncio.wait({event, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if hung_up.done():
                data = hung_up.result()
                if not data and not event.done():
                    return None
                connection.receive_data(data)
                await event
            invocation = event.result()
        finally:
            event.cancel()
            hung_up.cancel()
            await asyncio.wait({event, hung_up})
        self.idle.clear()
        return _Reply(status=200, headers=invocation.headers(), body=invocation.event, sent=invocation.taken)

    async def _offered(self) -> Invocation:
        while True:
            invocation = await self._waiting.get()
            if invocation.request_id in self._invocations:
                return invocation

    def _take_answer(self, request_id: str, request: _Request, *, failed: bool) -> _Reply:
        invocation = self._invocations.get(request_id)
        if invocation is None:
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        if invocation.answered.done():
            state = "InvocationErrorResponse" if failed else "InvocationResponse"
            return _refusal(
                403,
                "InvalidStateTransition",
                f"State transition from Ready to {state} failed for runtime. Error: State transition is not allowed",
            )
        streamed = request.headers.get("lambda-runtime-function-response-mode") == "streaming"
        body = request.body
        if streamed and "lambda-runtime-function-error-type" in request.trailers:
            failed = True
            body = base64.b64decode(request.trailers.get("lambda-runtime-function-error-body", ""))
        if not streamed and len(body) > RESPONSE_LIMIT:
            message = f"Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
            return _refusal(413, "RequestEntityTooLarge", message)
        invocation.answered.set_result(Answer(body=body, failed=failed))
        return _accepted()


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader) -> _Request | None:
    """Read a whole request; None when the peer has hung up."""
    import h11

    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _Request(
                method=head.method.decode(),
                path=head.target.decode(),
                headers=_names(head.headers),
                body=bytes(body),
                trailers=_names(event.headers),
            )
        else:
            return None


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, reply: _Reply) -> None:
    import h11

    headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
    if reply.sent is not None and not reply.sent.done():
        reply.sent.set_result(time.monotonic())
    writer.write(
        (connection.send(h11.Response(status_code=reply.status, headers=headers)) or b"")
        + (connection.send(h11.Data(data=reply.body)) or b"")
        + (connection.send(h11.EndOfMessage()) or b"")
    )
    await writer.drain()


def _names(headers: Any) -> dict[str, str]:
    return {name.decode().lower(): value.decode("latin-1") for name, value in headers}


def _accepted() -> _Reply:
    return _json(202, {"status": "OK"})


def _refusal(status: int, error_type: str, message: str) -> _Reply:
    return _json(status, {"errorMessage": message, "errorType": error_type})


def _json(status: int, document: dict[str, str]) -> _Reply:
    return _Reply(status=status, headers=[("Content-Type", "application/json")], body=json.dumps(document).encode())
