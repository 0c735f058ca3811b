"""Answers that are streamed, and a connection that breaks where their end or their failure is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from phplayer.emulator.faults import FaultKind, Route, Script
from phplayer.emulator.function import FunctionSpec, InvokeResult, LocalFunction
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from tests.conftest import Built


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def serve_three(opt: Path, folder: Path, source: str, kind: FaultKind) -> list[InvokeResult]:
    """Serve the events 1, 2 and 3; the second one's stream meets the fault. Each is run once."""
    write(folder, {"src/index.php": source})

    async def run() -> list[InvokeResult]:
        spec = FunctionSpec(layers=opt, folder=folder, handler="index", name="probe", timeout=60)
        faults = Script(Route.RESPONSE, None, kind, seconds=0.05)
        async with LocalFunction(spec, faults=faults) as function:
            return [await function.invoke(json.dumps(number).encode()) for number in (1, 2, 3)]

    results = asyncio.run(run())
    log = "".join(result.logs for result in results)
    assert [log.count(f"ran {number}\n") for number in (1, 2, 3)] == [1, 1, 1]
    return results


@pytest.mark.parametrize("kind", FaultKind)
def test_a_late_failure_is_told_whatever_becomes_of_its_trailers(opt: Path, tmp_path: Path, kind: FaultKind) -> None:
    source = r"""
        function index($data) {
            file_put_contents('php://stderr', "ran {$data}\n");
            yield 'begun';
            throw new DomainException("late {$data}");
        }
    """
    results = serve_three(opt, tmp_path, source, kind)
    told = [(result.error.type, result.error.message) for result in results if result.error is not None]
    expected = [("DomainException", f"late {number}") for number in (1, 2, 3)]
    if kind is FaultKind.SERVER_ERROR:  # after which a runtime has to end
        assert told[1][0] == "Runtime.ExitError"
        told[1] = expected[1]
    assert told == expected


@pytest.mark.parametrize("kind", [FaultKind.RESET_UNHEARD, FaultKind.RESET, FaultKind.SERVER_ERROR])
def test_a_stream_that_the_handler_failed_to_end_is_told(opt: Path, tmp_path: Path, kind: FaultKind) -> None:
    source = r"""
        function index($data, $context) {
            file_put_contents('php://stderr', "ran {$data}\n");
            $stream = $context->stream();
            $stream->write("{$data}");
            try { $stream->close(); } catch (Throwable) { }
        }
    """
    results = serve_three(opt, tmp_path, source, kind)
    heard = kind is FaultKind.RESET
    assert [result.error and result.error.type for result in results] == [
        None,
        None if heard else "Function.StreamBroken",
        None,
    ]
