"""Whether an answer is whole: half of one is none.

botocore takes what it can read for all there is: of a body that was cut off, of an empty one or of a proxy's page it
makes an answer without fields. A list that looks empty then would have content published twice, or versions deleted
that functions use. So each answer must have what its operation always tells. A question whose answer lacks it is
asked again; of a call that must not be sent twice nobody knows then what came of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from phplayer.errors import UsageError
from phplayer.layer import LayerArn

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEEDED: dict[str, tuple[str, ...]] = {
    "AddLayerVersionPermission": ("Statement",),
    "CreateMultipartUpload": ("UploadId",),
    "DescribeRegions": ("Regions[].RegionName",),
    "GetCallerIdentity": ("Account", "Arn"),
    "GetLayerVersion": ("LayerVersionArn", "Content.CodeSha256"),
    "GetLayerVersionByArn": ("LayerVersionArn", "Content.CodeSha256", "Content.CodeSize", "Content.Location"),
    "GetLayerVersionPolicy": ("Policy",),
    "GetParameters": ("Parameters[].Name", "Parameters[].Value"),
    "ListFunctions": ("Functions[].FunctionArn",),
    "ListLayerVersions": ("LayerVersions[].LayerVersionArn",),
    "ListRegions": ("Regions[].RegionName",),
    "PublishLayerVersion": ("LayerVersionArn", "Content.CodeSha256"),
    "PutParameter": ("Version",),
}
"""The fields that the answers of the operations always have; ``[]`` is a list, of whose items each has the rest."""

_ATTEMPTS = 6  # to get a whole answer
_PAUSE = 0.2  # seconds before the second; each next one is twice as long
_SUCCESS = range(200, 300)


class HalfAnswer(Exception):  # noqa: N818  what happened, not yet whose fault it is
    """An answer that lacks what its operation always tells."""


def watch(events: Any, *, retry: bool) -> None:
    """Have the answers that a client gets checked, and asked for again if ``retry``; ``events`` are the client's."""
    events.register("before-parse", _clear)
    events.register("after-call", _refuse)
    if retry:
        events.register("needs-retry", _retry)


def lacking(operation: str, answer: Any) -> str:
    """Return what an answer to the operation lacks, or nothing."""
    return next((path for path in _NEEDED.get(operation, ()) if not all(map(_is_good, _found(path, answer)))), "")


def _found(path: str, answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of what the path leads to; None is the value of what is missing."""
    name, _, rest = path.partition(".")
    key = name.removesuffix("[]")
    value = answer.get(key) if isinstance(answer, dict) else None
    if key != name and isinstance(value, list):
        for item in value:
            yield from _found(rest, item)
    elif rest and key == name:
        yield from _found(rest, value)
    else:
        yield key, None if key != name else value


def _is_good(found: tuple[str, Any]) -> bool:
    name, value = found
    if value is None or value == "":
        return False
    try:
        if name == "LayerVersionArn":
            LayerArn.parse(value)
        if name == "Policy":
            return isinstance(json.loads(value), dict)
    except (UsageError, ValueError):
        return False
    return True


def _clear(*, operation_model: Any, response_dict: dict[str, Any], **_event: object) -> None:
    """Empty a body that should be JSON and is none: botocore would take its text for a message, or stumble over it."""
    body = response_dict["body"]
    if "json" in operation_model.service_model.resolved_protocol and isinstance(body, bytes):
        try:
            whole = isinstance(json.loads(body), dict)
        except ValueError:
            whole = False
        if not whole:
            response_dict["body"] = b""


def _refuse(*, http_response: Any, parsed: Any, model: Any, **_event: object) -> None:
    if http_response.status_code in _SUCCESS:
        missing = lacking(model.name, parsed)
        if missing:
            raise HalfAnswer(f"{missing} is missing in the answer to {model.name}")


def _retry(*, response: Any, operation: Any, attempts: int, **_event: object) -> float | None:
    """Return the pause until the question is asked again, None when the answer will do."""
    if response is None or attempts >= _ATTEMPTS:
        return None
    http_response, parsed = response
    if http_response.status_code not in _SUCCESS or not lacking(operation.name, parsed):
        return None
    return float(_PAUSE * 2 ** (attempts - 1))
