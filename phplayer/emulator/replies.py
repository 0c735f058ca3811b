"""What the Runtime API replies, byte for byte as AWS's own emulator (aws-lambda-rie) does."""

from __future__ import annotations

import enum
import json

from phplayer.emulator.events import Answer
from phplayer.emulator.wire import Reply


class State(enum.Enum):
    """What the runtime did last, as AWS's emulator calls it."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"
    RUNNING = "Running"
    RESPONSE_SENT = "RuntimeResponseSentState"
    RESPONSE_REFUSED = "InvocationResponse"  # no way leads on from here


NOT_FOUND = Reply(
    status=404,
    headers=(("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")),
    body=b"404 page not found\n",
)


def wrong_method(allowed: str) -> Reply:
    """Refuse a method."""
    return Reply(status=405, headers=(("Allow", allowed),), body=b"")


def failure(error_type: str, message: str) -> Answer:
    """Return an error of Lambda's own."""
    body = json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()
    return Answer(body=body, failed=True, error_type=error_type)


def accepted() -> Reply:
    """Acknowledge an answer."""
    return _document(202, {"status": "OK"})


def not_allowed(target: str, state: State) -> Reply:
    """Refuse what may not follow that state."""
    way = f"State transition from {state.value} to {target}"
    return refusal(403, "InvalidStateTransition", f"{way} failed for runtime. Error: State transition is not allowed")


def too_large(limit: int) -> Reply:
    """Refuse an answer of more bytes than that."""
    return refusal(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({limit} bytes).")


def refusal(status: int, error_type: str, message: str) -> Reply:
    """Refuse a call."""
    return _document(status, {"errorMessage": message, "errorType": error_type})


def _document(status: int, document: dict[str, str]) -> Reply:
    body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    return Reply(status=status, headers=(("Content-Type", "application/json"),), body=body)
