"""The Lambda Runtime API on loopback: events out, answers in.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; states, status codes and the shapes of errors are
those of AWS's own emulator (aws-lambda-rie), which it publishes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from phplayer.emulator import faults as fault_plans
from phplayer.emulator import replies, wire
from phplayer.emulator.events import Answer, Waiting
from phplayer.emulator.faults import Exchange, FaultKind, Route
from phplayer.emulator.replies import State

if TYPE_CHECKING:
    import h11

    from phplayer.emulator.events import Invocation
    from phplayer.emulator.faults import Faults, Witness

EVENT_LIMIT = 6 * 1024 * 1024
"""Bytes of an event of a synchronous invocation (Lambda quotas)."""
RESPONSE_LIMIT = EVENT_LIMIT + 100
"""Bytes of a response that is not streamed: the figure in Lambda's own message about larger ones."""

_BASE = "/2018-06-01/runtime/"
_REMEMBERED = 1000  # events whose answers are known to be second ones, where several runtimes poll
_INVOCATION = re.compile(r"invocation/([^/]+)/(response|error)")
_MODE = "lambda-runtime-function-response-mode"
_ERROR_TYPE = "lambda-runtime-function-error-type"
_ERROR_BODY = "lambda-runtime-function-error-body"


class RuntimeApi:
    """The server. Start it, ``offer`` invocations, await what comes of them.

    With a concurrency of 1 there is one runtime, and what it may do next depends on what it did last. With more,
    any number of runtimes take events side by side, and each event has states of its own.
    """

    def __init__(
        self, *, concurrency: int = 1, faults: Faults = fault_plans.none, witness: Witness = fault_plans.ignore
    ) -> None:
        self._concurrency = concurrency
        self._faults = faults
        self._witness = witness
        self._server: asyncio.Server | None = None
        self._waiting = Waiting(newest_first=concurrency == 1)
        self._invocations: dict[str, Invocation] = {}
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._asking = 0  # runtimes that wait for an event
        self._handed_out: deque[str] = deque(maxlen=_REMEMBERED)  # IDs that an answer may name
        self.expect_runtime()

    def expect_runtime(self) -> None:
        """Forget the last runtime and its connections: a new one is about to start."""
        self._hang_up()
        self._state = State.STARTED
        self._handed_out.clear()
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
        if not invocation.answered.done() and invocation.request_id in self._handed_out:
            self._handed_out.remove(invocation.request_id)

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
        except h11.RemoteProtocolError as error:
            wire.refuse(connection, writer, error)
        except ConnectionError:
            pass  # the runtime hung up

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
            return await wire.send(connection, writer, replies.NOT_FOUND)
        wanted = "GET" if route is Route.NEXT else "POST"
        if request.head.method != wanted:
            return await wire.send(connection, writer, replies.wrong_method(wanted))
        fault = self._faults(route)
        if fault is not None and fault.kind is FaultKind.RESET_UNHEARD:
            wire.reset(writer)
            return False
        if fault is not None and fault.kind is FaultKind.SERVER_ERROR:
            reply = replies.refusal(500, "InternalServerError", "Internal Server Error")
            return await wire.send(connection, writer, reply)
        invocation = None
        if route is not Route.NEXT:
            reply = self._take_answer(request_id, request, route) if request_id else self._take_init_error(request)
        elif self._state in (State.INIT_ERROR, State.RESPONSE_REFUSED):
            reply = replies.not_allowed("Ready", self._state)
        else:
            invocation = await self._next(connection, reader)
            if invocation is None:
                return False
            request_id, reply = invocation.request_id, self._hand_out(invocation)
        self._witness(Exchange(route=route, request_id=request_id, status=reply.status))
        whole = False
        try:
            if fault is not None and fault.kind is FaultKind.DELAY:
                await asyncio.sleep(fault.seconds)
            whole = await wire.send(connection, writer, reply, fault)
        finally:
            if not whole and invocation is not None:
                self._take_back(invocation)
        return whole and not (fault is not None and fault.kind is FaultKind.DROP)

    def _hand_out(self, invocation: Invocation) -> wire.Reply:
        self._state = State.RUNNING
        if invocation.request_id not in self._handed_out:
            self._handed_out.append(invocation.request_id)
        return wire.Reply(status=200, headers=invocation.hand_out(), body=invocation.event)

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
            self._handed_out.clear()  # who asks has done with what was before
        self._state = State.READY
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
            return replies.not_allowed("InitError", self._state)
        error_type = request.head.headers.get(_ERROR_TYPE, "")
        self.init_error.set_result(Answer(body=request.body, failed=True, error_type=error_type))
        self._state = State.INIT_ERROR
        return replies.accepted()

    def _take_answer(self, request_id: str, request: wire.Request, route: Route) -> wire.Reply:
        if request_id not in self._handed_out:
            return replies.refusal(400, "InvalidRequestID", "Invalid request ID")
        invocation = self._invocations.get(request_id)
        if invocation is None or invocation.answered.done():
            target = "InvocationErrorResponse" if route is Route.ERROR else "InvocationResponse"
            return replies.not_allowed(target, self._state if self._concurrency == 1 else State.RESPONSE_SENT)
        mode = request.head.headers.get(_MODE, "")
        if route is Route.RESPONSE and mode not in ("", "streaming"):
            invocation.answer(replies.failure("Runtime.InvalidResponseModeHeader", f"{_MODE}: {mode}"))
            self._answered(State.RESPONSE_REFUSED)
            return replies.refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        limit = wire.STREAM_LIMIT if mode else RESPONSE_LIMIT
        if request.size > limit:
            message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            invocation.answer(replies.failure("Function.ResponseSizeTooLarge", message))
            self._answered(State.RESPONSE_SENT)
            return replies.too_large(limit)
        invocation.answer(_answer(request, failed=route is Route.ERROR))
        self._answered(State.RESPONSE_SENT)
        return replies.accepted()

    def _answered(self, state: State) -> None:
        """Note what a sole runtime may do next; several are in states of their own."""
        if self._concurrency == 1:
            self._state = state

    def _pass_on(self, head: wire.Head, data: bytes) -> None:
        """Tell a caller that wants to know about a piece of a streamed response."""
        if head.headers.get(_MODE) != "streaming":
            return
        invocation = self._invocations.get(_route(head.path)[1])
        if invocation is not None and invocation.running and invocation.on_data is not None:
            invocation.on_data(data)


def _route(path: str) -> tuple[Route | None, str]:
    """Return which call it is, and the request id in it."""
    name = path.removeprefix(_BASE) if path.startswith(_BASE) else ""
    match = _INVOCATION.fullmatch(name)
    if match is not None:
        return (Route.ERROR if match[2] == "error" else Route.RESPONSE), match[1]
    return {"invocation/next": Route.NEXT, "init/error": Route.INIT_ERROR}.get(name), ""


def _answer(request: wire.Request, *, failed: bool) -> Answer:
    """Read an answer; a streamed one may say in its trailers that it failed."""
    first_byte, streamed = request.first_byte, bool(request.head.headers.get(_MODE))
    if not failed and _ERROR_TYPE in request.trailers:
        encoded = request.trailers.get(_ERROR_BODY, "")
        try:
            body = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            body = encoded.encode("latin-1")
        return Answer(
            body=body, failed=True, error_type=request.trailers[_ERROR_TYPE], first_byte=first_byte, streamed=streamed
        )
    error_type = request.head.headers.get(_ERROR_TYPE, "") if failed else ""
    return Answer(body=request.body, failed=failed, error_type=error_type, first_byte=first_byte, streamed=streamed)
