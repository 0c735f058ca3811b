"""A function on this machine: events in, results out, a fresh runtime whenever one died.

An event's way, as on Lambda: a sandbox is started if there is none (the init phase, 10 seconds at most; one that
fails is repeated within the event's own time), the event is handed to the runtime, and its answer, its error, its end
or the time-out decides what the caller gets. A runtime that did not answer is killed with all its processes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from phplayer.emulator import faults as fault_plans
from phplayer.emulator import result
from phplayer.emulator.events import Caller, Invocation
from phplayer.emulator.log import Log
from phplayer.emulator.result import FunctionError, InvokeResult
from phplayer.emulator.runtime_api import EVENT_LIMIT, RuntimeApi
from phplayer.emulator.runtimes import LAST_WORDS, Runtimes, exited, timed_out
from phplayer.emulator.sandbox import first_of
from phplayer.emulator.spec import FunctionSpec, environment
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from phplayer.emulator.faults import Faults, Witness
    from phplayer.emulator.log import EventLog
    from phplayer.emulator.runtimes import Failure, Runtime, Start

__all__ = ["FunctionError", "FunctionSpec", "InvokeResult", "LocalFunction", "environment"]

INIT_LIMIT = 10.0
"""Seconds of the init phase: from the start of a runtime to its first request for an event."""

_ATTEMPTS = 3  # to find a runtime that lives long enough to take the event


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
        witness: Witness = fault_plans.ignore,
        init_limit: float = INIT_LIMIT,
    ) -> None:
        self._spec = spec
        self._log = Log(on_log)
        self._faults = faults
        self._witness = witness
        self._init_limit = init_limit
        self._stack = AsyncExitStack()
        self._slots = asyncio.Semaphore(spec.concurrency)

    async def __aenter__(self) -> Self:
        self._api = await self._stack.enter_async_context(
            RuntimeApi(concurrency=self._spec.concurrency, faults=self._faults, witness=self._witness)
        )
        self._runtimes = Runtimes(self._spec, self._api, self._log.hear, self._init_limit)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._runtimes.close()
        await self._stack.aclose()

    async def invoke(
        self, event: bytes, *, caller: Caller | None = None, on_data: Callable[[bytes], None] | None = None
    ) -> InvokeResult:
        """Serve one event; whatever goes wrong in the function is in the result.

        ``on_data`` is told each piece of a streamed response as it comes.

        Raises:
            UsageError: the event is larger than Lambda takes.
            RuntimeError: the function was closed while the event waited.
            EnvironmentMissingError: this machine cannot run the sandbox.

        """
        if len(event) > EVENT_LIMIT:
            raise UsageError(
                f"Request must be smaller than {EVENT_LIMIT} bytes for the InvokeFunction operation.",
                remedy="Pass a reference to the data instead, such as an S3 key.",
            )
        async with self._slots:
            invocation = Invocation(
                event=event,
                function_arn=self._spec.arn,
                timeout=self._spec.timeout,
                caller=caller or Caller(),
                on_data=on_data,
            )
            with self._log.of_event() as log:
                return await self._serve(invocation, log)

    async def _serve(self, invocation: Invocation, log: EventLog) -> InvokeResult:
        for attempt in range(_ATTEMPTS):
            start = await self._runtimes.ready(invocation)
            runtime, failure = start.runtime, start.failure
            with self._runtimes.busy(runtime):
                begin = start.repeated or time.monotonic()
                if failure is None:
                    invocation.timeout = max(self._spec.timeout - (time.monotonic() - begin), 0.0)
                    failure = await self._hand_over(invocation, runtime)
                end = time.monotonic()
                await self._settle(invocation, runtime)
                untouched = start.failure is None and not invocation.taken.done() and runtime.sandbox.ended.done()
                runtime.peak_kb = max(runtime.peak_kb, runtime.sandbox.memory().peak)
                runtime.condemned |= failure is not None
            runtime.sandbox.drain()
            if not untouched or attempt == _ATTEMPTS - 1:
                break
            # The runtime ended while it was idle: nobody has seen the event, so another may have it.
        if start.repeated is None and invocation.taken.done():
            begin = invocation.taken.result()
        return self._result(invocation, start, failure, logs=log.text, duration_ms=(end - begin) * 1000)

    async def _hand_over(self, invocation: Invocation, runtime: Runtime) -> Failure | None:
        """Give the event to the runtime and wait for the answer; return why there is none."""
        sandbox = runtime.sandbox
        self._api.offer(invocation)
        try:
            await first_of(invocation.answered, sandbox.ended, timeout=invocation.timeout)
            if not invocation.answered.done() and sandbox.ended.done():
                await self._api.hear_out(LAST_WORDS)
        finally:
            self._api.withdraw(invocation)
        if invocation.answered.done():
            return None
        if sandbox.ended.done():
            return exited(invocation, runtime)
        return timed_out(invocation, self._spec.timeout)

    def _result(
        self, invocation: Invocation, start: Start, failure: Failure | None, *, logs: str, duration_ms: float
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
            logs=logs,
            duration_ms=duration_ms,
            init_ms=start.init_ms,
            peak_memory_mb=start.runtime.peak_kb / 1024,
            memory_mb=self._spec.memory_mb,
            status=status,
            error_type=error_type,
            streamed=answer is not None and answer.streamed,
            first_byte_ms=(first_byte - taken) * 1000 if first_byte is not None and taken is not None else None,
            failed_starts=start.failed,
        )

    async def _settle(self, invocation: Invocation, runtime: Runtime) -> None:
        """Wait until the runtime asks for the next event or ends: what it logs until then belongs to this one."""
        if self._spec.concurrency > 1 or not invocation.answered.done() or runtime.sandbox.ended.done():
            return
        idle = asyncio.create_task(self._api.idle.wait())
        remaining = invocation.timeout - (time.monotonic() - invocation.taken.result())
        await first_of(idle, runtime.sandbox.ended, timeout=max(remaining, 0.0))
        if not idle.done() and not runtime.sandbox.ended.done():
            runtime.condemned = True  # it works on and on after its answer
        idle.cancel()
