"""A function on this machine: events in, results out, a fresh runtime whenever one died."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from phplayer.emulator.runtime_api import Answer, Invocation, RuntimeApi
from phplayer.emulator.sandbox import Sandbox, SandboxSpec, first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

INIT_LIMIT = 10.0
"""Seconds that Lambda gives a runtime from its start to its first request for an event."""

_REGION = "us-east-1"
_ACCOUNT = "123456789012"
_AFTERWORK = 2.0  # seconds to end after having reported that the start failed


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """A function as Lambda would be told of it."""

    folder: Path  # becomes /var/task
    layers: Path  # the merged layer trees: becomes /opt
    handler: str
    name: str
    timeout: float = 30.0  # seconds
    memory_mb: int = 1024  # told to the function, not enforced
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """The ARN that events carry; region and account stand for themselves."""
        return f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:{self.name}"


@dataclass(frozen=True, kw_only=True)
class FunctionError:
    """An error as Lambda's callers see it."""

    type: str
    message: str
    stack: tuple[str, ...] = ()

    @classmethod
    def decode(cls, body: bytes) -> FunctionError:
        """Read what a runtime reported; anything but Lambda's shape becomes the message."""
        try:
            document: Any = json.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            return cls(type="Unknown", message=body.decode(errors="replace"))
        stack = document.get("stackTrace")
        return cls(
            type=str(document.get("errorType", "Unknown")),
            message=str(document.get("errorMessage", "")),
            stack=tuple(str(line) for line in stack) if isinstance(stack, list) else (),
        )

    def encode(self) -> bytes:
        """Return the payload that Lambda would give the caller."""
        document: dict[str, Any] = {"errorType": self.type, "errorMessage": self.message}
        if self.stack:
            document["stackTrace"] = self.stack
        return json.dumps(document).encode()


@dataclass(frozen=True, kw_only=True)
class InvokeResult:
    """What came of one event."""

    request_id: str
    payload: bytes  # the result, or the error as JSON
    error: FunctionError | None
    logs: str
    duration_ms: float
    init_ms: float | None  # None when the runtime was there already
    peak_memory_mb: float  # MB by the million bytes; of the runtime and the processes it started


class LocalFunction:
    """A function ready for events. An asynchronous context manager; one event at a time."""

    def __init__(self, spec: FunctionSpec, on_log: Callable[[str], None] = lambda _line: None) -> None:
        self._spec = spec
        self._on_log = on_log
        self._logs = bytearray()
        self._told = 0
        self._stack = AsyncExitStack()
        self._sandbox: Sandbox | None = None

    async def __aenter__(self) -> Self:
        self._api = await self._stack.enter_async_context(RuntimeApi())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stop()
        await self._stack.aclose()

    async def invoke(self, event: bytes) -> InvokeResult:
        """Serve one event; whatever goes wrong in the function is in the result.

        Raises:
            EnvironmentMissingError: this machine cannot run the sandbox.

        """
        self._logs, self._told = bytearray(), 0
        cold = self._sandbox is None or self._sandbox.ended.done()
        sandbox = await self._start() if self._sandbox is None or cold else self._sandbox
        invocation = Invocation(event=event, function_arn=self._spec.arn, timeout=self._spec.timeout)
        self._api.offer(invocation)
        try:
            error = await self._take(invocation, sandbox) or await self._finish(invocation, sandbox)
        finally:
            self._api.withdraw(invocation)
        end = time.monotonic()
        taken = invocation.taken.result() if invocation.taken.done() else None
        await self._settle(invocation, sandbox)
        peak_kb = sandbox.peak_kb()
        if error is not None and not invocation.answered.done():
            self._stop()
        sandbox.drain()
        self._tell(rest=True)
        return InvokeResult(
            request_id=invocation.request_id,
            payload=error.encode() if error is not None and not invocation.answered.done() else _payload(invocation),
            error=error,
            logs=self._logs.decode(errors="replace"),
            duration_ms=(end - taken) * 1000 if taken is not None else 0.0,
            init_ms=((taken or end) - sandbox.started.result()) * 1000 if cold and sandbox.started.done() else None,
            peak_memory_mb=max(peak_kb, sandbox.peak_kb()) * 1024 / 1_000_000,
        )

    async def _start(self) -> Sandbox:
        self._stop()
        self._api.expect_runtime()
        self._sandbox = await Sandbox.start(
            SandboxSpec(
                command=("/opt/bootstrap",),
                environment=environment(self._spec, api=self._api.address),
                binds={"/opt": self._spec.layers, "/var/task": self._spec.folder},
            ),
            self._hear,
        )
        return self._sandbox

    def _stop(self) -> None:
        if self._sandbox is not None:
            self._sandbox.kill()
            self._sandbox = None

    async def _take(self, invocation: Invocation, sandbox: Sandbox) -> FunctionError | None:
        """Wait until the runtime has the event; return why it never will."""
        init_error = self._api.init_error
        await first_of(invocation.taken, sandbox.ended, init_error, timeout=INIT_LIMIT)
        if invocation.taken.done():
            return None
        if init_error.done():
            await first_of(sandbox.ended, timeout=_AFTERWORK)
            return FunctionError.decode(init_error.result().body)
        if sandbox.ended.done():
            return _exited(invocation, sandbox)
        return FunctionError(
            type="Sandbox.Timedout",
            message=f"RequestId: {invocation.request_id} Error: The start took longer than {INIT_LIMIT:.2f} seconds",
        )

    async def _finish(self, invocation: Invocation, sandbox: Sandbox) -> FunctionError | None:
        """Wait for the answer; return the error if it is one, or why there is none."""
        await first_of(invocation.answered, sandbox.ended, timeout=self._spec.timeout)
        if invocation.answered.done():
            answer: Answer = invocation.answered.result()
            return FunctionError.decode(answer.body) if answer.failed else None
        if sandbox.ended.done():
            return _exited(invocation, sandbox)
        return FunctionError(
            type="Sandbox.Timedout",
            message=f"RequestId: {invocation.request_id} Error: Task timed out after {self._spec.timeout:.2f} seconds",
        )

    async def _settle(self, invocation: Invocation, sandbox: Sandbox) -> None:
        """Wait until the runtime asks for the next event or ends: what it logs until then belongs to this one."""
        if not invocation.answered.done() or sandbox.ended.done():
            return
        idle = asyncio.create_task(self._api.idle.wait())
        remaining = self._spec.timeout - (time.monotonic() - invocation.taken.result())
        await first_of(idle, sandbox.ended, timeout=max(remaining, 0.0))
        if not idle.done() and not sandbox.ended.done():
            self._stop()  # it works on and on after its answer
        idle.cancel()

    def _hear(self, data: bytes) -> None:
        self._logs += data
        self._tell()

    def _tell(self, *, rest: bool = False) -> None:
        """Hand whole lines on, and at last the rest."""
        end = len(self._logs) if rest else self._logs.rfind(b"\n") + 1
        if end > self._told:
            for line in self._logs[self._told : end].decode(errors="replace").splitlines():
                self._on_log(line)
            self._told = end


def environment(spec: FunctionSpec, *, api: str) -> dict[str, str]:
    """Return the environment that Lambda gives a function with a custom runtime, and the function's own variables.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    stream = hashlib.sha256(spec.name.encode()).hexdigest()[:32]
    return {
        **spec.environment,
        "_HANDLER": spec.handler,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"2000/01/01/[$LATEST]{stream}",
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_REGION": _REGION,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "TZ": ":UTC",
    }


def _payload(invocation: Invocation) -> bytes:
    return invocation.answered.result().body


def _exited(invocation: Invocation, sandbox: Sandbox) -> FunctionError:
    """Lambda's own words for a runtime that ended without an answer."""
    ending = sandbox.ended.result()
    reason = f"Runtime exited with error: {ending}" if ending.code else "Runtime exited without providing a reason"
    return FunctionError(type="Runtime.ExitError", message=f"RequestId: {invocation.request_id} Error: {reason}")
