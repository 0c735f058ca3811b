"""The Lambda Runtime API on loopback: events out, answers in.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; states, status codes and the shapes of errors are
those of AWS's own emulator (aws-lambda-rie), which it publishes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
from typing import TYPE_CHECKING, Any, Self

from phplayer.emulator import faults as fault_plans
from phplayer.emulator import wire
from phplayer.emulator.events import Answer, Waiting
from phplayer.emulator.faults import FaultKind, Route

if TYPE_CHECKING:
    import h11

    from phplayer.emulator.events import Invocation
    from phplayer.emulator.faults import Faults

EVENT_LIMIT = 6 * 1024 * 1024
"""Bytes of an event of a synchronous invocation (Lambda quotas)."""
RESPONSE_LIMIT = EVENT_LIMIT + 100
"""Bytes of a response that is not streamed: the figure in Lambda's own message about larger ones."""

_BASE = "/2018-06-01/runtime/"
_INVOCATION = re.compile(r"invocation/([^/]+)/(response|error)")
_MODE = "lambda-runtime-function-response-mode"
_ERROR_TYPE = "lambda-runtime-function-error-type"
_ERROR_BODY = "lambda-runtime-function-error-body"


class RuntimeApi:
    """The server. Start it, ``offer`` invocations, await what comes of them.

    With a concurrency of 1 there is one runtime, and what it may do next depends on what it did last. With more,
    any number of runtimes take events side by side, and each event has states of its own.
    """

    def __init__(self, *, concurrency: int = 1, faults: Faults = fault_plans.none) -> None:
        self._concurrency = concurrency
        self._faults = faults
        self._server: asyncio.Server | None = None
        self._waiting = Waiting()
        self._invocations: dict[str, Invocation] = {}
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._asking = 0  # runtimes that wait for an event
        self.expect_runtime()

    def expect_runtime(self) -> None:
        """Forget the last runtime and its connections: a new one is about to start."""
        self._hang_up()
        self.idle = asyncio.Event()  # set while a runtime waits for an event
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[float] = loop.create_future()  # when a runtime first asked for an event
        self.init_error: asyncio.Future[Answer] = loop.create_future()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None  # noqa: S101  it was entered
        self._server.close()
        self._hang_up()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes the sockets

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``: the value of AWS_LAMBDA_RUNTIME_API."""
        assert self._server is not None  # noqa: S101  it was entered
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def offer(self, invocation: Invocation) -> None:
        """Hand the invocation to the runtime that asks next."""
        self._invocations[invocation.request_id] = invocation
        self._waiting.put(invocation)

    def withdraw(self, invocation: Invocation) -> None:
        """Take the invocation back; an answer to it is refused from now on."""
        self._invocations.pop(invocation.request_id, None)
        self._waiting.remove(invocation)

    async def hear_out(self, limit: float) -> None:
        """Wait until all that a dead runtime has sent is dealt with, ``limit`` seconds at most."""
        if self._connections:
            await asyncio.wait(self._connections, timeout=limit)

    # -- connections ----------------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()

    def _hang_up(self) -> None:
        for task, writer in self._connections.items():
            task.cancel()
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        connection = wire.server_side()
        try:
            while (request := await wire.receive(connection, reader, writer, self._pass_on)) is not None:
                if not await self._serve(request, connection, reader, writer):
                    break
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except (h11.ProtocolError, UnicodeDecodeError, ConnectionError):
            pass  # the runtime hung up or does not speak HTTP: it is told by the closed connection

    async def _serve(
        self,
        request: wire.Request,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; tell whether the connection can go on."""
        route, request_id = _route(request.head.path)
        if route is None:
            message = f"No such path: {request.head.path}"
            return await wire.send(connection, writer, _refusal(404, "NotFound", message))
        wanted = "GET" if route is Route.NEXT else "POST"
        if request.head.method != wanted:
            message = f"{request.head.path} wants {wanted}"
            return await wire.send(connection, writer, _refusal(405, "MethodNotAllowed", message))
        fault = self._faults(route)
        if fault is not None and fault.kind is FaultKind.RESET_UNHEARD:
            wire.reset(writer)
            return False
        if fault is not None and fault.kind is FaultKind.SERVER_ERROR:
            return await wire.send(connection, writer, _refusal(500, "InternalServerError", "Internal Server Error"))
        invocation = await self._next(connection, reader) if route is Route.NEXT else None
        if invocation is not None:
            reply = wire.Reply(status=200, headers=invocation.hand_out(), body=invocation.event)
        elif route is Route.NEXT:
            return False
        else:
            reply = self._take_answer(request_id, request, route) if request_id else self._take_init_error(request)
        whole = False
        try:
            if fault is not None and fault.kind is FaultKind.DELAY:
                await asyncio.sleep(fault.seconds)
            whole = await wire.send(connection, writer, reply, fault)
        finally:
            if not whole and invocation is not None:
                self._take_back(invocation)
        return whole and not (fault is not None and fault.kind is FaultKind.DROP)

    def _take_back(self, invocation: Invocation) -> None:
        """Keep an event that did not get through whole for whoever asks next. A sole runtime asks again anyway."""
        if self._concurrency > 1 and invocation.request_id in self._invocations:
            self._waiting.put(invocation, first=True)

    # -- calls ----------------------------------------------------------------------------------------------------

    async def _next(self, connection: h11.Connection, reader: asyncio.StreamReader) -> Invocation | None:
        """Wait for an event, or for the runtime to hang up."""
        if not self.ready.done():
            self.ready.set_result(time.monotonic())
        if self._concurrency == 1:
            again = next((invocation for invocation in self._invocations.values() if invocation.running), None)
            if again is not None:
                return again  # it asks twice for the same event, as when its connection broke
        idle = self.idle  # of this generation of runtimes
        self._asking += 1
        idle.set()
        try:
            while True:
                invocation = await self._await_event(connection, reader)
                if invocation is None or invocation.request_id in self._invocations:
                    return invocation
        finally:
            self._asking -= 1
            if not self._asking:
                idle.clear()

    async def _await_event(self, connection: h11.Connection, reader: asyncio.StreamReader) -> Invocation | None:
        event = self._waiting.take()
        if event.done():
            return event.result()
        kept = False
        hung_up = asyncio.create_task(reader.read(wire.READ))
        try:
            while True:
                either: set[asyncio.Future[Any]] = {event, hung_up}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not hung_up.done():
                    kept = True
                    return event.result()
                data = hung_up.result()
                if not data:
                    return None
                connection.receive_data(data)  # the next request, ahead of its time
                hung_up = asyncio.create_task(reader.read(wire.READ))
        finally:
            if not kept:
                self._waiting.leave(event)
            hung_up.cancel()
            await asyncio.wait({hung_up})  # a reader serves one at a time

    def _take_init_error(self, request: wire.Request) -> wire.Reply:
        if self.ready.done() or self.init_error.done():
            return self._not_allowed("InitError")
        error_type = request.head.headers.get(_ERROR_TYPE, "")
        self.init_error.set_result(Answer(body=request.body, failed=True, error_type=error_type))
        return _accepted()

    def _take_answer(self, request_id: str, request: wire.Request, route: Route) -> wire.Reply:
        invocation = self._invocations.get(request_id)
        target = "InvocationErrorResponse" if route is Route.ERROR else "InvocationResponse"
        if invocation is None or not invocation.taken.done():
            if self._concurrency == 1 and not self._running():
                return self._not_allowed(target)
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        if invocation.answered.done():
            return self._not_allowed(target)
        mode = request.head.headers.get(_MODE, "")
        if route is Route.RESPONSE and mode not in ("", "streaming"):
            invocation.answer(_failure("Runtime.InvalidResponseModeHeader", f"{_MODE}: {mode}"))
            return _refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        limit = wire.STREAM_LIMIT if mode else RESPONSE_LIMIT
        if request.size > limit:
            message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            invocation.answer(_failure("Function.ResponseSizeTooLarge", message))
            return _refusal(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({limit} bytes).")
        invocation.answer(_answer(request, failed=route is Route.ERROR))
        return _accepted()

    def _pass_on(self, head: wire.Head, data: bytes) -> None:
        """Tell a caller that wants to know about a piece of a streamed response."""
        if head.headers.get(_MODE) != "streaming":
            return
        invocation = self._invocations.get(_route(head.path)[1])
        if invocation is not None and invocation.running and invocation.on_data is not None:
            invocation.on_data(data)

    def _running(self) -> bool:
        return any(invocation.running for invocation in self._invocations.values())

    def _not_allowed(self, target: str) -> wire.Reply:
        if not self.ready.done():
            state = "InitError" if self.init_error.done() else "Started"
        elif self._running():
            state = "Running"
        else:
            state = "Ready" if self._asking else "ResponseSent"
        return _refusal(
            403,
            "InvalidStateTransition",
            f"State transition from {state} to {target} failed for runtime. Error: State transition is not allowed",
        )


def _route(path: str) -> tuple[Route | None, str]:
    """Return which call it is, and the request id in it."""
    name = path.removeprefix(_BASE) if path.startswith(_BASE) else ""
    match = _INVOCATION.fullmatch(name)
    if match is not None:
        return (Route.ERROR if match[2] == "error" else Route.RESPONSE), match[1]
    return {"invocation/next": Route.NEXT, "init/error": Route.INIT_ERROR}.get(name), ""


def _answer(request: wire.Request, *, failed: bool) -> Answer:
    """Read an answer; a streamed one may say in its trailers that it failed."""
    first_byte = request.first_byte
    if not failed and _ERROR_TYPE in request.trailers:
        encoded = request.trailers.get(_ERROR_BODY, "")
        try:
            body = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            body = encoded.encode("latin-1")
        return Answer(body=body, failed=True, error_type=request.trailers[_ERROR_TYPE], first_byte=first_byte)
    error_type = request.head.headers.get(_ERROR_TYPE, "") if failed else ""
    return Answer(body=request.body, failed=failed, error_type=error_type, first_byte=first_byte)


def _failure(error_type: str, message: str) -> Answer:
    """Return an error of Lambda's own."""
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return Answer(body=body, failed=True, error_type=error_type)


def _accepted() -> wire.Reply:
    return wire.json_reply(202, {"status": "OK"})


def _refusal(status: int, error_type: str, message: str) -> wire.Reply:
    return wire.json_reply(status, {"errorMessage": message, "errorType": error_type})
