"""Several workers side by side, and one that is replaced after so many events: none of their events is lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from phplayer.emulator.faults import FaultKind, Route, Script
from phplayer.emulator.function import FunctionSpec, LocalFunction
from tests.integration.fake_api import FakeApi
from tests.integration.functions import layer, serve, write

if TYPE_CHECKING:
    from tests.conftest import Built


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def function(folder: Path, source: str) -> Path:
    return write(folder, {"src/index.php": source})


WORKERS = """
    // Waits until three handlers run at once.
    function index($round) {
        if ($round === 'die') posix_kill(getmypid(), SIGKILL);
        touch(__DIR__ . "/{$round}-" . getmypid());
        for ($end = microtime(true) + 60; count(glob(__DIR__ . "/{$round}-*")) < 3 && microtime(true) < $end;) {
            usleep(5000);
        }
        return [count(glob(__DIR__ . "/{$round}-*")), getenv('PHPLAYER_WORKER')];
    }
"""


def test_workers_serve_at_once_and_a_dead_one_is_replaced(opt: Path, tmp_path: Path) -> None:
    events = ["one"] * 3 + ["die"] + ["two"] * 3
    ran = FakeApi(events=events).run(opt, function(tmp_path, WORKERS), environment={"AWS_LAMBDA_MAX_CONCURRENCY": "3"})
    answers = [told for told in ran.told if told.path.endswith("/response")]
    assert [told.json[0] for told in answers] == [3] * 6, ran.log
    for told in (answers[:3], answers[3:]):
        assert {each.json[1] for each in told} == {"0", "1", "2"}
    (failure,) = [told for told in ran.told if told.path.endswith("/error")]
    assert failure.path == "invocation/3/error"
    assert failure.headers["Lambda-Runtime-Function-Error-Type"] == failure.json["errorType"] == "Function.Killed"
    assert "was ended by signal 9 before this event was answered" in failure.json["errorMessage"]
    assert [record["requestId"] for record in ran.records] == ["3"]
    assert ran.code == 0
    assert "is replaced" in ran.log


def test_workers_that_cannot_start_end_all(opt: Path, tmp_path: Path) -> None:
    ran = FakeApi(events=[1]).run(opt, tmp_path, environment={"AWS_LAMBDA_MAX_CONCURRENCY": "2"})
    assert ran.code == 1
    assert {told.path for told in ran.told} == {"init/error"}


@pytest.mark.parametrize("how", ["posix_kill(getmypid(), SIGKILL);", "posix_kill(getmypid(), SIGSEGV);"])
def test_workers_that_die_while_the_function_is_loaded_end_all(opt: Path, tmp_path: Path, how: str) -> None:
    ran = FakeApi(events=[1]).run(opt, function(tmp_path, how), environment={"AWS_LAMBDA_MAX_CONCURRENCY": "2"})
    (told,) = ran.told
    assert told.path == "init/error"
    assert told.json["errorType"] == "Function.Killed"
    assert "while the function was loaded" in told.json["errorMessage"]
    assert ran.code == 1


def test_an_event_whose_worker_is_killed_fails_and_no_other(opt: Path, tmp_path: Path) -> None:
    source = "function index($n) { if ($n % 5 === 0) posix_kill(getmypid(), SIGKILL); return $n; }"

    async def run() -> dict[int, str]:
        spec = FunctionSpec(
            layers=opt, folder=function(tmp_path, source), handler="index", name="probe", timeout=120, concurrency=2
        )
        async with LocalFunction(spec, init_limit=60.0) as served:
            results = await asyncio.gather(*(served.invoke(json.dumps(number).encode()) for number in range(20)))
        return {
            number: result.error.type if result.error else result.payload.decode()
            for number, result in enumerate(results)
        }

    assert asyncio.run(run()) == {n: str(n) if n % 5 else "Function.Killed" for n in range(20)}


RECYCLED = """
    register_shutdown_function(fn () => print("ended\\n"));
    function index($how) {
        static $calls = 0;
        if ($how === 'kill') posix_kill(getmypid(), SIGKILL);
        if ($how === 'exit') exit(0);
        if ($how === 'late') { register_shutdown_function(fn () => 1); throw new Exception('no'); }
        return ++$calls;
    }
"""


def test_a_process_replaced_after_so_many_events_costs_none(opt: Path, tmp_path: Path) -> None:
    """Neither its end nor that of one that fails meanwhile is the end of what Lambda has started."""
    events = ["fine"] * 5 + ["kill", "fine", "exit", "fine", "late", "fine"]
    results = serve(
        opt, function(tmp_path, RECYCLED), *events, timeout=60, environment={"PHPLAYER_MAX_INVOCATIONS": "2"}
    )
    outcomes = [result.error.type if result.error else json.loads(result.payload) for result in results]
    assert outcomes == [1, 2, 1, 2, 1, "Function.Killed", 1, "Function.Exit", 1, "Exception", 1]
    assert [result.init_ms is None for result in results] == [False] + [True] * 10, "one runtime served them all"
    assert sum(result.logs.count("ended\n") for result in results) >= 4


def test_an_event_that_the_runtime_api_failed_is_not_laid_to_the_function(opt: Path, tmp_path: Path) -> None:
    """After a 500 the process has to end; the one that watches it tells the event, and why."""
    source = "function index($n) { return $n; }"

    async def run() -> list[object]:
        spec = FunctionSpec(
            layers=opt,
            folder=function(tmp_path, source),
            handler="index",
            name="probe",
            timeout=120,
            environment={"PHPLAYER_MAX_INVOCATIONS": "100"},
        )
        async with LocalFunction(
            spec, init_limit=60.0, faults=Script(Route.RESPONSE, None, FaultKind.SERVER_ERROR)
        ) as served:
            results = [await served.invoke(json.dumps(number).encode()) for number in range(3)]
        return [result.error.type if result.error else json.loads(result.payload) for result in results]

    assert asyncio.run(run()) == [0, "Runtime.ApiFailed", 2]
