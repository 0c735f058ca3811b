"""What comes of an event: the answer or the error, and the figures that Lambda writes into its log."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["success", "error", "timeout"]


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
        except (ValueError, RecursionError):
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
        return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True, kw_only=True)
class InvokeResult:
    """What came of one event."""

    request_id: str
    payload: bytes  # the result, or the error as JSON
    error: FunctionError | None
    logs: str
    duration_ms: float
    init_ms: float | None  # None when the runtime was there already, or its start was part of the duration
    peak_memory_mb: float  # MB of 1,048,576 bytes; of the runtime and the processes it started
    memory_mb: int = 0  # what the function may use
    status: Status = "success"
    error_type: str = ""  # of the report, which calls some failures otherwise than the payload does
    streamed: bool = False  # the answer, or its beginning
    first_byte_ms: float | None = None  # from the event to the first byte of its answer
    failed_starts: tuple[str, ...] = ()  # Lambda's INIT_REPORT lines

    @property
    def billed_ms(self) -> int:
        """Whole milliseconds, the start included, as Lambda bills all functions since August 2025."""
        return math.ceil(self.duration_ms + (self.init_ms or 0.0))

    @property
    def report(self) -> str:
        """The line that Lambda ends an event's log with."""
        fields = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {self.billed_ms} ms",
            f"Memory Size: {self.memory_mb} MB",
            f"Max Memory Used: {min(math.ceil(self.peak_memory_mb), self.memory_mb)} MB",
        ]
        if self.init_ms is not None:
            fields.append(f"Init Duration: {self.init_ms:.2f} ms")
        if self.status != "success":
            fields.append(f"Status: {self.status}")
        if self.status == "error":
            fields.append(f"Error Type: {self.error_type}")
        return "\t".join(fields)


def failed_start(duration_ms: float, *, phase: str, error_type: str) -> str:
    """Return Lambda's line about a start that failed; without an error type it took too long."""
    status = f"Status: error\tError Type: {error_type}" if error_type else "Status: timeout"
    return f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: {phase}\t{status}"
