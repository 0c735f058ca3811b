"""A function on this machine: events in, results out, a fresh runtime whenever one died.

An event's way, as on Lambda: a sandbox is started if there is none (the init phase, 10 seconds at most; one that
fails is repeated within the event's own time), the event is handed to the runtime, and its answer, its error, its end
or the time-out decides what the caller gets. A runtime that did not answer is killed with all its processes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from phplayer.emulator import faults as fault_plans
from phplayer.emulator import result
from phplayer.emulator.events import Caller, Invocation
from phplayer.emulator.result import FunctionError, InvokeResult
from phplayer.emulator.runtime_api import EVENT_LIMIT, RuntimeApi
from phplayer.emulator.sandbox import Sandbox, SandboxSpec, first_of
from phplayer.emulator.spec import FunctionSpec, environment
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from phplayer.emulator.faults import Faults

__all__ = ["FunctionError", "FunctionSpec", "InvokeResult", "LocalFunction", "environment"]

INIT_LIMIT = 10.0
"""Seconds of the init phase: from the start of a runtime to its first request for an event."""

_AFTERWORK = 2.0  # seconds to end after having reported that the start failed
_LAST_WORDS = 2.0  # seconds in which the sockets of a dead runtime are read to their end
_MEMORY_INTERVAL = 0.02  # seconds between two looks at the memory in use
_ATTEMPTS = 3  # to find a runtime that lives long enough to take the event
_TIMED_OUT = "Sandbox.Timedout"
_EXITED = "Runtime.ExitError"
_OUT_OF_MEMORY = "Runtime.OutOfMemory"


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """Why there is no answer."""

    error: FunctionError
    report_type: str = ""  # of Lambda's report; empty for a time-out


@dataclass(kw_only=True)
class _Runtime:
    """A sandbox, and what is known of it."""

    sandbox: Sandbox
    events: int = 0  # under way
    condemned: bool = False  # takes no more events
    out_of_memory: bool = False
    peak_kb: int = 0
    watch: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        return not self.condemned and not self.sandbox.ended.done()


@dataclass(frozen=True, kw_only=True)
class _Start:
    """A runtime for an event, and how it came to be ready."""

    runtime: _Runtime
    init_ms: float | None = None  # None when it was ready already, or needed a second start
    failure: _Failure | None = None  # why it never will be ready
    failed: tuple[str, ...] = ()  # what Lambda logs about starts that failed
    repeated: float | None = None  # seconds on the monotonic clock when the second start began: the event's own time


class LocalFunction:
    """A function ready for events. An asynchronous context manager.

    ``invoke`` may be called again before it has returned; more events than the function's concurrency wait their
    turn. With several at once the log of an event holds all that was printed while it was under way.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        on_log: Callable[[str], None] = lambda _line: None,
        *,
        faults: Faults = fault_plans.none,
        init_limit: float = INIT_LIMIT,
    ) -> None:
        self._spec = spec
        self._on_log = on_log
        self._faults = faults
        self._init_limit = init_limit
        self._line = bytearray()  # printed, and not yet whole
        self._logs: list[bytearray] = []  # of the events under way
        self._stack = AsyncExitStack()
        self._slots = asyncio.Semaphore(spec.concurrency)
        self._starting = asyncio.Lock()
        self._emptied = asyncio.Event()  # set when a runtime has no event under way
        self._runtime: _Runtime | None = None

    async def __aenter__(self) -> Self:
        self._api = await self._stack.enter_async_context(
            RuntimeApi(concurrency=self._spec.concurrency, faults=self._faults)
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stop()
        await self._stack.aclose()

    async def invoke(
        self, event: bytes, *, caller: Caller | None = None, on_data: Callable[[bytes], None] | None = None
    ) -> InvokeResult:
        """Serve one event; whatever goes wrong in the function is in the result.

        ``on_data`` is told each piece of a streamed response as it comes.

        Raises:
            UsageError: the event is larger than Lambda takes.
            EnvironmentMissingError: this machine cannot run the sandbox.

        """
        if len(event) > EVENT_LIMIT:
            raise UsageError(
                f"Request must be smaller than {EVENT_LIMIT} bytes for the InvokeFunction operation.",
                remedy="Pass a reference to the data instead, such as an S3 key.",
            )
        async with self._slots:
            log = bytearray()
            self._logs.append(log)
            try:
                invocation = Invocation(
                    event=event,
                    function_arn=self._spec.arn,
                    timeout=self._spec.timeout,
                    caller=caller or Caller(),
                    on_data=on_data,
                )
                return await self._serve(invocation, log)
            finally:
                self._logs = [other for other in self._logs if other is not log]

    async def _serve(self, invocation: Invocation, log: bytearray) -> InvokeResult:
        for attempt in range(_ATTEMPTS):
            start = await self._ready(invocation)
            runtime, failure = start.runtime, start.failure
            runtime.events += 1
            try:
                begin = start.repeated or time.monotonic()
                if failure is None:
                    invocation.timeout = max(self._spec.timeout - (time.monotonic() - begin), 0.0)
                    failure = await self._hand_over(invocation, runtime)
                end = time.monotonic()
                await self._settle(invocation, runtime)
            finally:
                runtime.events -= 1
                if not runtime.events:
                    self._emptied.set()
            runtime.peak_kb = max(runtime.peak_kb, runtime.sandbox.memory().peak)
            self._condemn(runtime, failed=failure is not None)
            runtime.sandbox.drain()
            untouched = start.failure is None and not invocation.taken.done() and runtime.sandbox.ended.done()
            if not untouched or attempt == _ATTEMPTS - 1:
                break
            # The runtime ended while it was idle: nobody has seen the event, so another may have it.
        if not self._logs[1:]:
            self._tell(rest=True)
        if start.repeated is None and invocation.taken.done():
            begin = invocation.taken.result()
        return self._result(invocation, start, failure, logs=bytes(log), duration_ms=(end - begin) * 1000)

    async def _hand_over(self, invocation: Invocation, runtime: _Runtime) -> _Failure | None:
        """Give the event to the runtime and wait for the answer; return why there is none."""
        sandbox = runtime.sandbox
        self._api.offer(invocation)
        try:
            await first_of(invocation.answered, sandbox.ended, timeout=invocation.timeout)
            if not invocation.answered.done() and sandbox.ended.done():
                await self._api.hear_out(_LAST_WORDS)
        finally:
            self._api.withdraw(invocation)
        if invocation.answered.done():
            return None
        if sandbox.ended.done():
            return _exited(invocation, runtime)
        return _timed_out(invocation, self._spec.timeout)

    def _result(
        self, invocation: Invocation, start: _Start, failure: _Failure | None, *, logs: bytes, duration_ms: float
    ) -> InvokeResult:
        answer = invocation.answered.result() if invocation.answered.done() and failure is None else None
        error = failure.error if failure is not None else None
        status: result.Status = "success"
        error_type = ""
        if failure is not None:
            status = "error" if failure.report_type else "timeout"
            error_type = failure.report_type
        elif answer is not None and answer.failed:
            error = FunctionError.decode(answer.body)
            status, error_type = "error", answer.error_type or error.type
        taken = invocation.taken.result() if invocation.taken.done() else None
        first_byte = answer.first_byte if answer is not None else None
        return InvokeResult(
            request_id=invocation.request_id,
            payload=answer.body if answer is not None else error.encode() if error is not None else b"",
            error=error,
            logs=logs.decode(errors="replace"),
            duration_ms=duration_ms,
            init_ms=start.init_ms,
            peak_memory_mb=start.runtime.peak_kb / 1024,
            memory_mb=self._spec.memory_mb,
            status=status,
            error_type=error_type,
            first_byte_ms=(first_byte - taken) * 1000 if first_byte is not None and taken is not None else None,
            failed_starts=start.failed,
        )

    # -- the runtime ----------------------------------------------------------------------------------------------

    async def _ready(self, invocation: Invocation) -> _Start:
        """Return a runtime that waits for events.

        A start that fails in the init phase is repeated within the function's own time.
        """
        async with self._starting:
            while self._runtime is not None and self._runtime.events and not self._runtime.usable:
                self._emptied.clear()
                await self._emptied.wait()
            if self._runtime is not None and self._runtime.usable:
                return _Start(runtime=self._runtime)
            failed: list[str] = []
            repeated: float | None = None
            for phase, limit in (("init", self._init_limit), ("invoke", self._spec.timeout)):
                if failed:
                    repeated = time.monotonic()
                runtime = await self._start()
                failure = await self._init(invocation, runtime, limit)
                now = time.monotonic()
                started = runtime.sandbox.started.result() if runtime.sandbox.started.done() else now
                if failure is None:
                    init_ms = None if failed else (self._api.ready.result() - started) * 1000
                    break
                failed.append(result.failed_start((now - started) * 1000, phase=phase, error_type=failure.report_type))
                runtime.condemned = True
            else:
                init_ms = None
            return _Start(runtime=runtime, init_ms=init_ms, failure=failure, failed=tuple(failed), repeated=repeated)

    async def _start(self) -> _Runtime:
        self._stop()
        self._api.expect_runtime()
        command = self._spec.bootstrap
        sandbox = await Sandbox.start(
            SandboxSpec(
                command=(command or "/opt/bootstrap",),
                environment=environment(self._spec, api=self._api.address),
                binds={"/opt": self._spec.layers, "/var/task": self._spec.folder},
                tmp_mb=self._spec.tmp_mb,
            ),
            self._hear,
        )
        self._runtime = _Runtime(sandbox=sandbox)
        self._runtime.watch = asyncio.create_task(self._watch(self._runtime))
        return self._runtime

    async def _watch(self, runtime: _Runtime) -> None:
        """Kill the runtime when it uses more memory than the function has."""
        limit_kb = self._spec.memory_mb * 1024
        while not runtime.sandbox.ended.done():
            memory = runtime.sandbox.memory()
            runtime.peak_kb = max(runtime.peak_kb, memory.peak)
            if memory.charged > limit_kb:
                runtime.out_of_memory = True
                runtime.sandbox.kill()
                return
            await first_of(runtime.sandbox.ended, timeout=_MEMORY_INTERVAL)

    async def _init(self, invocation: Invocation, runtime: _Runtime, limit: float) -> _Failure | None:
        """Wait until the runtime asks for its first event; return why it never will."""
        sandbox, api = runtime.sandbox, self._api
        if self._spec.bootstrap is None:
            message = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
            return _failed(invocation, "Runtime.InvalidEntrypoint", message)
        await first_of(api.ready, api.init_error, sandbox.ended, timeout=limit)
        if not api.ready.done() and not api.init_error.done() and sandbox.ended.done():
            await api.hear_out(_LAST_WORDS)
        if api.ready.done():
            return None
        if api.init_error.done():
            await first_of(sandbox.ended, timeout=_AFTERWORK)
            answer = api.init_error.result()
            error = FunctionError.decode(answer.body)
            return _Failure(error=error, report_type=answer.error_type or error.type)
        if sandbox.ended.done():
            return _exited(invocation, runtime)
        return _timed_out(invocation, self._spec.timeout)

    async def _settle(self, invocation: Invocation, runtime: _Runtime) -> None:
        """Wait until the runtime asks for the next event or ends: what it logs until then belongs to this one."""
        if self._spec.concurrency > 1 or not invocation.answered.done() or runtime.sandbox.ended.done():
            return
        idle = asyncio.create_task(self._api.idle.wait())
        remaining = invocation.timeout - (time.monotonic() - invocation.taken.result())
        await first_of(idle, runtime.sandbox.ended, timeout=max(remaining, 0.0))
        if not idle.done() and not runtime.sandbox.ended.done():
            runtime.condemned = True  # it works on and on after its answer
        idle.cancel()

    def _condemn(self, runtime: _Runtime, *, failed: bool) -> None:
        """Kill a runtime that failed, after the events that are under way beside this one."""
        runtime.condemned |= failed
        if runtime.condemned and not runtime.events and self._runtime is runtime:
            self._stop()

    def _stop(self) -> None:
        if self._runtime is not None:
            self._runtime.sandbox.kill()
            if self._runtime.watch is not None:
                self._runtime.watch.cancel()
            self._runtime = None

    # -- the log --------------------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        for log in self._logs:
            log.extend(data)
        self._line += data
        self._tell()

    def _tell(self, *, rest: bool = False) -> None:
        """Hand whole lines on, and at last the rest."""
        end = len(self._line) if rest else self._line.rfind(b"\n") + 1
        if end:
            for line in self._line[:end].decode(errors="replace").splitlines():
                self._on_log(line)
            del self._line[:end]


def _failed(invocation: Invocation, error_type: str, message: str, report_type: str = "") -> _Failure:
    error = FunctionError(type=error_type, message=f"RequestId: {invocation.request_id} Error: {message}")
    return _Failure(error=error, report_type=report_type or error_type)


def _timed_out(invocation: Invocation, timeout: float) -> _Failure:
    message = f"RequestId: {invocation.request_id} Error: Task timed out after {timeout:.2f} seconds"
    return _Failure(error=FunctionError(type=_TIMED_OUT, message=message))


def _exited(invocation: Invocation, runtime: _Runtime) -> _Failure:
    """Lambda's own words for a runtime that ended without an answer."""
    ending = runtime.sandbox.ended.result()
    if runtime.out_of_memory:
        return _failed(invocation, _EXITED, "Runtime exited with error: signal: killed", _OUT_OF_MEMORY)
    reason = f"Runtime exited with error: {ending}" if ending.code else "Runtime exited without providing a reason"
    return _failed(invocation, _EXITED, reason)
