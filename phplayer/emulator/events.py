"""Events on their way through the Runtime API."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the runtime sent for an event: a result, or with ``failed`` the JSON that describes an error."""

    body: bytes
    failed: bool
    error_type: str = ""  # as the header or trailer of the report names it
    first_byte: float | None = field(default=None, compare=False)  # seconds on the monotonic clock
    streamed: bool = field(default=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What a caller may send along with an event."""

    client_context: str = ""  # JSON of a mobile SDK
    cognito_identity: str = ""  # JSON with cognitoIdentityId and cognitoIdentityPoolId
    tenant_id: str = ""
    trace_id: str = ""  # an X-Ray header; made up if empty


@dataclass(kw_only=True)
class Invocation:
    """An event, and what becomes of it."""

    event: bytes
    function_arn: str
    timeout: float  # seconds, from when a runtime takes the event
    caller: Caller = field(default_factory=Caller)
    on_data: Callable[[bytes], None] | None = None  # told each piece of a streamed response
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    taken: asyncio.Future[float] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    answered: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _deadline_ms: int = field(default=0, init=False)
    _trace_id: str = field(default="", init=False)

    def hand_out(self) -> tuple[tuple[str, str], ...]:
        """Return what `next` says about the event. The first time its deadline is set."""
        if not self.taken.done():
            self.taken.set_result(time.monotonic())
            self._deadline_ms = int((time.time() + self.timeout) * 1000)
            self._trace_id = self.caller.trace_id or _trace_id()
        headers = (
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", self.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(self._deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", self.function_arn),
            ("Lambda-Runtime-Trace-Id", self._trace_id),
            ("Lambda-Runtime-Client-Context", _one_line(self.caller.client_context)),
            ("Lambda-Runtime-Cognito-Identity", _one_line(self.caller.cognito_identity)),
            ("Lambda-Runtime-Aws-Tenant-Id", self.caller.tenant_id),
        )
        return tuple((name, value) for name, value in headers if value)

    @property
    def running(self) -> bool:
        """Whether a runtime has it and has not answered."""
        return self.taken.done() and not self.answered.done()

    def answer(self, answer: Answer) -> None:
        """Note the answer; only the first counts."""
        if not self.answered.done():
            self.answered.set_result(answer)


class Waiting:
    """The events that no runtime has taken, and the runtimes that wait for one.

    A sole runtime that asks again has lost its connection, whether or not that is seen already: ``newest_first`` then
    keeps the event from going nowhere.
    """

    def __init__(self, *, newest_first: bool) -> None:
        self._newest_first = newest_first
        self._events: deque[Invocation] = deque()
        self._runtimes: deque[asyncio.Future[Invocation]] = deque()

    def put(self, invocation: Invocation, *, first: bool = False) -> None:
        """Give the event to a runtime that waits, or keep it for one."""
        while self._runtimes:
            runtime = self._runtimes.pop() if self._newest_first else self._runtimes.popleft()
            if not runtime.done():
                runtime.set_result(invocation)
                return
        if first:
            self._events.appendleft(invocation)
        else:
            self._events.append(invocation)

    def remove(self, invocation: Invocation) -> None:
        """Forget an event that nobody has taken."""
        if invocation in self._events:
            self._events.remove(invocation)

    def take(self) -> asyncio.Future[Invocation]:
        """Return a future event."""
        future: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        if self._events:
            future.set_result(self._events.popleft())
        else:
            self._runtimes.append(future)
        return future

    def leave(self, future: asyncio.Future[Invocation]) -> None:
        """Wait no more; an event that has come goes back."""
        if future.done() and not future.cancelled():
            self.put(future.result(), first=True)
        else:
            future.cancel()
            if future in self._runtimes:
                self._runtimes.remove(future)


def _trace_id() -> str:
    """Return a header of X-Ray's form: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


def _one_line(text: str) -> str:
    """Return JSON as a header may hold it: without line ends, ASCII only."""
    try:
        return json.dumps(json.loads(text), separators=(",", ":")) if text else ""
    except ValueError:
        return " ".join(text.split())
