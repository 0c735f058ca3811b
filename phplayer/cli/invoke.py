"""``phplayer invoke``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.emulator.layers import Archive
    from phplayer.emulator.result import InvokeResult


def invoke(
    context: typer.Context,
    function_dir: Annotated[
        Path, typer.Argument(metavar="[FUNCTION_DIR]", help="The function's folder.", readable=False)
    ] = Path(),
    *,
    event: Annotated[
        list[Path] | None,
        typer.Option(
            "--event",
            metavar="FILE",
            readable=False,
            allow_dash=True,
            help="JSON file with an event, or - for stdin; repeatable. Without one: {}.",
        ),
    ] = None,
    payload: Annotated[
        list[str] | None, typer.Option("--payload", metavar="JSON", help="An event, written out; repeatable.")
    ] = None,
    handler: Annotated[
        str | None,
        typer.Option(
            "--handler", metavar="HANDLER", help="What to call. Without it: the Handler in template.yaml, or index."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            max=900,
            help="Time that an event may take. Without it: the Timeout in template.yaml, or 30.",
        ),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            "--memory",
            metavar="MB",
            min=128,
            max=10240,
            help="Memory of the function. Without it: the MemorySize in template.yaml, or 1024.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="An environment variable of the function; repeatable."),
    ] = None,
    layer: Annotated[
        list[Path] | None,
        typer.Option("--layer", metavar="ZIP", readable=False, help="A layer on top of those built; repeatable."),
    ] = None,
    client_context: Annotated[
        str | None, typer.Option("--client-context", metavar="JSON", help="What an SDK sends as the client context.")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", metavar="N", min=1, help="Send the events N times.")] = 1,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Run a function on this machine.

    The built layers are at /opt and the function at /var/task, as on Lambda. The result goes to stdout; the
    function's log, marked with |, and the figures go to stderr.
    """
    from phplayer import invocation
    from phplayer.emulator import layers
    from phplayer.emulator.events import Caller
    from phplayer.emulator.spec import FunctionSpec

    console = Console.of(context)
    folder = invocation.function_folder(function_dir)
    events = [_read(path) for path in event or ()]
    events += [invocation.event(os.fsencode(text), "--payload") for text in payload or ()]
    events = (events or [b"{}"]) * repeat
    caller = Caller(client_context=invocation.client_context(client_context) if client_context is not None else "")
    variables = invocation.variables(env or ())
    archives = _layers(folder, layer or ())
    layers.check(archives, folder)
    spec = FunctionSpec(
        folder=folder,
        layers=layers.unpack(archives),
        handler=handler or invocation.handler_of(folder),
        name=invocation.name_of(folder),
        timeout=timeout or invocation.timeout_of(folder),
        memory_mb=memory or invocation.memory_of(folder),
        environment=variables,
    )
    results = invocation.invoke_local(
        spec,
        events,
        on_log=(lambda _line: None) if console.as_json else (lambda line: console.note(f"| {line}")),
        on_result=(lambda _result: None) if console.as_json else (lambda result: _show(console, result, len(events))),
        caller=caller,
    )
    _finish(console, results)


def _layers(folder: Path, further: Sequence[Path]) -> tuple[Archive, ...]:
    """Return what was built, and the further layers on top; these alone if they are all there is."""
    from phplayer import dist, invocation
    from phplayer.emulator.layers import LayerZip
    from phplayer.errors import NothingSelectedError
    from phplayer.runtime import Architecture
    from phplayer.settings import Settings

    added = tuple(LayerZip.read(path) for path in further)
    try:
        built = dist.archives(Settings.load(start=folder))
    except NothingSelectedError:
        if not added:
            raise
        return added
    return (*invocation.layers_for(built, Architecture.of_this_machine()), *added)


def _read(path: Path) -> bytes:
    from phplayer import invocation
    from phplayer.errors import UsageError

    if str(path) == "-":
        return invocation.event(sys.stdin.buffer.read(), "The event on stdin")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The event {path} cannot be read: {error.strerror}.", remedy="Name a JSON file, or - for stdin."
        ) from error
    return invocation.event(data, str(path))


def _show(console: Console, result: InvokeResult, count: int) -> None:
    """Print one result as it comes. The failure of an only event is left to the error that the command ends with."""
    if result.error is None:
        console.raw(result.payload.decode(errors="replace"))
    elif count > 1:
        console.note(f"Failed with {result.error.type}: {result.error.message}")
    for line in (*result.failed_starts, result.report):
        console.note(line.replace("\t", "  "))
    if result.streamed and result.first_byte_ms is not None:
        console.note(f"Streamed: the first byte came after {result.first_byte_ms:.2f} ms")


def _finish(console: Console, results: Sequence[InvokeResult]) -> None:
    """Print all results as JSON if asked to, and fail if an event failed."""
    from phplayer.errors import FunctionFailedError

    failed = [result.error for result in results if result.error is not None]
    failure = None
    if failed:
        first = failed[0]
        count = f"{len(failed)} of {len(results)} events failed, the first with: " if len(results) > 1 else ""
        failure = FunctionFailedError(f"{count}{first.type}: {first.message}", details=first.stack)
    if console.as_json:
        document: dict[str, Any] = {"results": [_document(result) for result in results]}
        if failure is not None:
            document["error"] = console.error_document(failure)
        console.result(document)
        if failure is not None:
            raise typer.Exit(failure.exit_code)
    if failure is not None:
        raise failure


def _document(result: InvokeResult) -> dict[str, Any]:
    from phplayer import invocation

    try:
        payload, text = invocation.strict_json(result.payload), None
    except (ValueError, RecursionError):  # a streamed result may be anything
        payload, text = None, result.payload.decode(errors="replace")
    error = result.error
    return {
        "request_id": result.request_id,
        "payload": payload,
        "payload_text": text,
        "error": error and {"type": error.type, "message": error.message, "stack": list(error.stack)},
        "logs": result.logs,
        "status": result.status,
        "report": result.report,
        "failed_starts": list(result.failed_starts),
        "duration_ms": round(result.duration_ms, 3),
        "billed_ms": result.billed_ms,
        "streamed": result.streamed,
        "first_byte_ms": None if result.first_byte_ms is None else round(result.first_byte_ms, 3),
        "init_ms": None if result.init_ms is None else round(result.init_ms, 3),
        "memory_mb": result.memory_mb,
        "peak_memory_mb": round(result.peak_memory_mb, 1),
    }
