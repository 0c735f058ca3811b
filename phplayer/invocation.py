"""Invokes a function on this machine: the built layers at /opt, its folder at /var/task, one event after the other.

The runtime stays alive between the events of a call, as it does on Lambda, and is started anew when it died.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

from phplayer.emulator.function import LocalFunction
from phplayer.emulator.runtime_api import EVENT_LIMIT
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.layer import RuntimeManifest
from phplayer.runtime import Architecture, PhpVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from phplayer.emulator.events import Caller
    from phplayer.emulator.result import InvokeResult
    from phplayer.emulator.spec import FunctionSpec
    from phplayer.layer import LayerArchive

DEFAULT_HANDLER = "index"
DEFAULT_TIMEOUT = 30  # seconds
DEFAULT_MEMORY = 1024  # MB
TEMPLATE = "template.yaml"
_CLIENT_CONTEXT_LIMIT = 3583  # bytes in base64: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_TIMEOUT = re.compile(r"^\s*Timeout:\s*([1-9]\d{0,2})\s*(?:#.*)?$", re.MULTILINE)
_MEMORY = re.compile(r"^\s*MemorySize:\s*([1-9]\d{2,4})\s*(?:#.*)?$", re.MULTILINE)
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+")  # CreateFunction's pattern
_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]+")  # not of CreateFunction's pattern of names
_HANDLER = re.compile(r"""^\s*Handler:\s*("[^"]+"|'[^']+'|[^\s"'#]+)\s*(?:#.*)?$""", re.MULTILINE)


def event(data: bytes, origin: str) -> bytes:
    """Check that an event is JSON that Lambda would take, and return it.

    Raises:
        UsageError: it is not JSON (says the line and column), or too large.

    """
    try:
        strict_json(data)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{origin} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            remedy="Correct the event; it may be any JSON value.",
        ) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise UsageError(
            f"{origin} is not JSON: byte {data[error.start]:#04x} at line {line}, column {column} is not UTF-8.",
            remedy="Save it as UTF-8.",
        ) from error
    except _NoJsonError as error:
        raise UsageError(
            f"{origin} is not JSON: it has no word for {error}.", remedy="Use null, or a number or text instead."
        ) from error
    except RecursionError as error:
        raise UsageError(f"{origin} is nested too deeply.", remedy="Make the event flatter.") from error
    if len(data) > EVENT_LIMIT:
        raise UsageError(
            f"{origin} has {len(data):,} bytes; Lambda takes events up to {EVENT_LIMIT:,}.",
            remedy="Pass a reference to the data instead, such as an S3 key.",
        )
    return data


class _NoJsonError(ValueError):
    """A word that Python takes for JSON and nobody else does."""


def strict_json(data: bytes) -> Any:
    """Return the value that JSON in UTF-8 stands for.

    Raises:
        ValueError: it is not that.
        RecursionError: it is nested too deeply.

    """
    return json.loads(data.decode(), parse_constant=_no_constant)


def _no_constant(word: str) -> None:
    raise _NoJsonError(word)


def client_context(text: str) -> str:
    """Check what an SDK would send as the client context, and return it.

    Raises:
        UsageError: it is not a JSON object, or larger than Lambda takes.

    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError(
            "--client-context is not a JSON object.", remedy="""For instance: '{"custom": {"name": "value"}}'"""
        )
    size = len(base64.b64encode(text.encode()))
    if size > _CLIENT_CONTEXT_LIMIT:
        raise UsageError(
            f"--client-context has {size:,} bytes in base64; Lambda takes up to {_CLIENT_CONTEXT_LIMIT:,}.",
            remedy="Pass the data in the event.",
        )
    return text


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """Return environment variables given as ``NAME=VALUE``.

    Raises:
        UsageError: a pair is none, or Lambda would not take the name.

    """
    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not _VARIABLE.fullmatch(name) or "\0" in value:
            raise UsageError(
                f"--env {pair} is not NAME=VALUE.",
                remedy="A name has two letters, digits or _ at least and begins with a letter.",
            )
        found[name] = value
    return found


def function_folder(path: Path) -> Path:
    """Return the folder of a function, absolute.

    Raises:
        UsageError: it is none.

    """
    folder = path.resolve()
    if not folder.is_dir():
        raise UsageError(f"There is no function folder {folder}.", remedy="Make one with: phplayer new-function NAME")
    return folder


def name_of(folder: Path) -> str:
    """Return what a function in that folder is called: the folder's name, in letters that Lambda takes for names."""
    return _UNNAMEABLE.sub("-", folder.name).strip("-")[:64] or "function"


def handler_of(folder: Path) -> str:
    """Return the handler that the function's SAM template names, if it names exactly one; else ``index``."""
    found = _in_template(folder, _HANDLER)
    if found is None:
        return DEFAULT_HANDLER
    if found.startswith('"'):
        with contextlib.suppress(ValueError):  # YAML has further escapes, of no use in a handler
            return str(json.loads(found))
    return found.strip("\"'")


def timeout_of(folder: Path) -> float:
    """Return the seconds of ``Timeout`` in the function's SAM template, if it names exactly one; else 30."""
    return float(_in_template(folder, _TIMEOUT) or DEFAULT_TIMEOUT)


def memory_of(folder: Path) -> int:
    """Return the MB of ``MemorySize`` in the function's SAM template, if it names exactly one; else 1024."""
    return int(_in_template(folder, _MEMORY) or DEFAULT_MEMORY)


def _in_template(folder: Path, pattern: re.Pattern[str]) -> str | None:
    path = folder / TEMPLATE
    if not path.is_file():
        return None
    found = {match[1] for match in pattern.finditer(path.read_text(errors="replace"))}
    return found.pop() if len(found) == 1 else None


def layers_for(archives: Sequence[LayerArchive], architecture: Architecture) -> tuple[LayerArchive, ...]:
    """Return the newest runtime for this architecture, and the vendor layer that was built with it.

    Raises:
        NothingSelectedError: no runtime was built for the architecture.

    """
    runtimes = [
        (PhpVersion.parse(archive.manifest.php), archive)
        for archive in archives
        if isinstance(archive.manifest, RuntimeManifest) and archive.manifest.architecture == architecture
    ]
    if not runtimes:
        built = sorted({archive.manifest.architecture for archive in archives})
        raise NothingSelectedError(
            f"This machine runs {architecture} functions, but what was built is for {', '.join(built)}.",
            remedy="Run: phplayer build",
        )
    runtime = max(runtimes, key=lambda pair: pair[0])[1]
    vendor = (
        archive
        for archive in archives
        if archive.path.parent == runtime.path.parent and not isinstance(archive.manifest, RuntimeManifest)
    )
    return (runtime, *vendor)


def invoke_local(
    spec: FunctionSpec,
    events: Sequence[bytes],
    *,
    on_log: Callable[[str], None],
    on_result: Callable[[InvokeResult], None],
    caller: Caller | None = None,
) -> tuple[InvokeResult, ...]:
    """Serve the events in order and return what came of each. The callbacks are told as it happens.

    Raises:
        EnvironmentMissingError: this machine cannot run the sandbox.

    """
    return asyncio.run(_serve(spec, events, on_log, on_result, caller))


async def _serve(
    spec: FunctionSpec,
    events: Sequence[bytes],
    on_log: Callable[[str], None],
    on_result: Callable[[InvokeResult], None],
    caller: Caller | None,
) -> tuple[InvokeResult, ...]:
    results = []
    async with LocalFunction(spec, on_log) as function:
        for data in events:
            results.append(await function.invoke(data, caller=caller))
            on_result(results[-1])
    return tuple(results)
