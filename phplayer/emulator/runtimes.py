"""The runtimes of a function, one after the other: started, watched, ended; and why one gives no answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phplayer.emulator import result
from phplayer.emulator.result import FunctionError
from phplayer.emulator.sandbox import Sandbox, SandboxSpec, first_of
from phplayer.emulator.spec import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phplayer.emulator.events import Invocation
    from phplayer.emulator.runtime_api import RuntimeApi
    from phplayer.emulator.spec import FunctionSpec

LAST_WORDS = 2.0
"""Seconds in which the sockets of a dead runtime are read to their end."""

_AFTERWORK = 2.0  # seconds to end after having reported that the start failed
_MEMORY_INTERVAL = 0.02  # seconds between two looks at the memory in use
_TIMED_OUT = "Sandbox.Timedout"
_EXITED = "Runtime.ExitError"
_OUT_OF_MEMORY = "Runtime.OutOfMemory"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no answer."""

    error: FunctionError
    report_type: str = ""  # of Lambda's report; empty for a time-out


@dataclass(kw_only=True)
class Runtime:
    """A sandbox, and what is known of it."""

    sandbox: Sandbox
    events: int = 0  # under way
    condemned: bool = False  # takes no more events
    out_of_memory: bool = False
    peak_kb: int = 0
    watch: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """Whether it takes events."""
        return not self.condemned and not self.sandbox.ended.done()


@dataclass(frozen=True, kw_only=True)
class Start:
    """A runtime for an event, and how it came to be ready."""

    runtime: Runtime
    init_ms: float | None = None  # None when it was ready already, or needed a second start
    failure: Failure | None = None  # why it never will be ready
    failed: tuple[str, ...] = ()  # what Lambda logs about starts that failed
    repeated: float | None = None  # seconds on the monotonic clock when the second start began: the event's own time


class Runtimes:
    """At most one runtime, in a sandbox of its own; another when it is gone. ``hear`` is told what it prints."""

    def __init__(self, spec: FunctionSpec, api: RuntimeApi, hear: Callable[[bytes], None], init_limit: float) -> None:
        self._spec = spec
        self._api = api
        self._hear = hear
        self._init_limit = init_limit
        self._starting = asyncio.Lock()
        self._emptied = asyncio.Event()  # set when a runtime has no event under way
        self._closed = False
        self.current: Runtime | None = None

    @contextmanager
    def busy(self, runtime: Runtime) -> Iterator[None]:
        """Count an event that the runtime works on. One that is condemned by then is killed after its last event.

        Nor does a runtime live on whose event is given up: it works for nobody.
        """
        runtime.events += 1
        try:
            yield
        except BaseException:
            runtime.condemned = True
            raise
        finally:
            runtime.events -= 1
            if not runtime.events:
                self._emptied.set()
                if runtime.condemned and self.current is runtime:
                    self.stop()

    async def ready(self, invocation: Invocation) -> Start:
        """Return a runtime that waits for events.

        A start that fails in the init phase is repeated within the function's own time.

        Raises:
            RuntimeError: the function has been closed.

        """
        async with self._starting:
            while self.current is not None and self.current.events and not self.current.usable:
                self._emptied.clear()
                await self._emptied.wait()
            if self.current is not None and self.current.usable:
                return Start(runtime=self.current)
            failed: list[str] = []
            repeated: float | None = None
            for phase, limit in (("init", self._init_limit), ("invoke", self._spec.timeout)):
                if failed:
                    repeated = time.monotonic()
                runtime = await self._start()
                try:
                    failure = await self._init(invocation, runtime, limit)
                except BaseException:  # nobody waits for it any more
                    self.stop()
                    raise
                now = time.monotonic()
                started = runtime.sandbox.started.result() if runtime.sandbox.started.done() else now
                if failure is None:
                    init_ms = None if failed else (self._api.ready.result() - started) * 1000
                    break
                failed.append(result.failed_start((now - started) * 1000, phase=phase, error_type=failure.report_type))
                runtime.condemned = True
            else:
                init_ms = None
            return Start(runtime=runtime, init_ms=init_ms, failure=failure, failed=tuple(failed), repeated=repeated)

    async def _start(self) -> Runtime:
        self._check_open()
        self.stop()
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
        self.current = Runtime(sandbox=sandbox)
        self._check_open()  # that took a while
        self.current.watch = asyncio.create_task(self._watch(self.current))
        return self.current

    def _check_open(self) -> None:
        if self._closed:
            self.stop()
            raise RuntimeError("The function has been closed.")

    async def _watch(self, runtime: Runtime) -> None:
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

    async def _init(self, invocation: Invocation, runtime: Runtime, limit: float) -> Failure | None:
        """Wait until the runtime asks for its first event; return why it never will."""
        sandbox, api = runtime.sandbox, self._api
        if self._spec.bootstrap is None:
            message = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
            return _failed(invocation, "Runtime.InvalidEntrypoint", message)
        await first_of(api.ready, api.init_error, sandbox.ended, timeout=limit)
        if not api.ready.done() and not api.init_error.done() and sandbox.ended.done():
            await api.hear_out(LAST_WORDS)
        if api.ready.done():
            return None
        if api.init_error.done():
            await first_of(sandbox.ended, timeout=_AFTERWORK)
            answer = api.init_error.result()
            error = FunctionError.decode(answer.body)
            return Failure(error=error, report_type=answer.error_type or error.type)
        if sandbox.ended.done():
            return exited(invocation, runtime)
        return timed_out(invocation, self._spec.timeout)

    def close(self) -> None:
        """Kill the runtime and start no other."""
        self._closed = True
        self.stop()

    def stop(self) -> None:
        """Kill the runtime, if there is one."""
        if self.current is not None:
            self.current.sandbox.kill()
            if self.current.watch is not None:
                self.current.watch.cancel()
            self.current = None


def _failed(invocation: Invocation, error_type: str, message: str, report_type: str = "") -> Failure:
    error = FunctionError(type=error_type, message=f"RequestId: {invocation.request_id} Error: {message}")
    return Failure(error=error, report_type=report_type or error_type)


def timed_out(invocation: Invocation, timeout: float) -> Failure:
    """Lambda's own words for a runtime that did not answer in time."""
    message = f"RequestId: {invocation.request_id} Error: Task timed out after {timeout:.2f} seconds"
    return Failure(error=FunctionError(type=_TIMED_OUT, message=message))


def exited(invocation: Invocation, runtime: Runtime) -> Failure:
    """Lambda's own words for a runtime that ended without an answer."""
    ending = runtime.sandbox.ended.result()
    if runtime.out_of_memory:
        return _failed(invocation, _EXITED, "Runtime exited with error: signal: killed", _OUT_OF_MEMORY)
    reason = f"Runtime exited with error: {ending}" if ending.code else "Runtime exited without providing a reason"
    return _failed(invocation, _EXITED, reason)
