"""The emulator's own promises, kept to runtimes that die, hang, grow, and work side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phplayer.emulator.events import Caller
from phplayer.emulator.faults import FaultKind, Faults, Route, Script, none
from phplayer.emulator.function import INIT_LIMIT, LocalFunction
from phplayer.emulator.result import InvokeResult
from phplayer.emulator.spec import FunctionSpec
from phplayer.errors import UsageError
from tests.integration.fake_api import assert_no_complaint
from tests.integration.functions import layer, shell, write

if TYPE_CHECKING:
    from tests.conftest import Built


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def spec(opt: Path, folder: Path, **more: Any) -> FunctionSpec:
    return FunctionSpec(layers=opt, folder=folder, handler="index", name="probe", **more)


def serve(
    described: FunctionSpec,
    *events: Any,
    faults: Faults = none,
    init_limit: float = 60.0,
    caller: Caller | None = None,
) -> list[InvokeResult]:
    async def run() -> list[InvokeResult]:
        async with LocalFunction(described, faults=faults, init_limit=init_limit) as function:
            return [await function.invoke(json.dumps(event).encode(), caller=caller) for event in events]

    results = asyncio.run(run())
    assert_no_complaint("".join(result.logs for result in results), Path("/opt"))
    return results


def report(result: InvokeResult) -> Mapping[str, str]:
    return dict(field.split(": ", 1) for field in result.report.split("\t"))


def test_the_report_has_lambdas_fields(opt: Path, tmp_path: Path) -> None:
    source = "function index($data) { if ($data === 'throw') throw new DomainException('no'); return 1; }"
    cold, warm, failed = serve(spec(opt, write(tmp_path, {"src/index.php": source}), memory_mb=256), 1, 2, "throw")
    assert report(cold)["REPORT RequestId"] == cold.request_id
    assert report(cold)["Memory Size"] == "256 MB"
    assert report(cold)["Init Duration"] == f"{cold.init_ms:.2f} ms"
    assert cold.init_ms is not None
    assert cold.billed_ms >= cold.duration_ms + cold.init_ms
    assert "Init Duration" not in report(warm)
    assert "Status" not in report(warm)
    assert (report(failed)["Status"], report(failed)["Error Type"]) == ("error", failed.error_type)
    assert failed.error_type


def test_a_start_that_fails_is_repeated_within_the_event(opt: Path, tmp_path: Path) -> None:
    """Lambda's init phase has a limit; after it, or an error in it, the function's own time begins."""
    (result,) = serve(spec(opt, shell(tmp_path, "echo starting; exit 3"), timeout=60), {})
    assert result.error is not None
    assert result.error.type == "Runtime.ExitError"
    assert result.error.message == f"RequestId: {result.request_id} Error: Runtime exited with error: exit status 3"
    assert json.loads(result.payload) == {"errorType": result.error.type, "errorMessage": result.error.message}
    assert result.logs == "starting\n" * 2
    first, second = result.failed_starts
    assert first.startswith("INIT_REPORT Init Duration: ")
    assert first.endswith("\tPhase: init\tStatus: error\tError Type: Runtime.ExitError")
    assert "\tPhase: invoke\t" in second
    assert result.init_ms is None


def test_a_start_that_takes_too_long_is_repeated_too(opt: Path, tmp_path: Path) -> None:
    (result,) = serve(spec(opt, shell(tmp_path, "echo here; exec sleep 600"), timeout=1), {}, init_limit=0.5)
    assert result.error is not None
    assert result.error.type == "Sandbox.Timedout"
    assert result.error.message.endswith("Error: Task timed out after 1.00 seconds")
    assert result.status == "timeout"
    assert [line.split("\t", 1)[1] for line in result.failed_starts] == [
        "Phase: init\tStatus: timeout",
        "Phase: invoke\tStatus: timeout",
    ]


def test_lambdas_init_phase_has_ten_seconds(opt: Path, tmp_path: Path) -> None:
    hanging = spec(opt, shell(tmp_path, "exec sleep 600"), timeout=1)
    (result,) = serve(hanging, {}, init_limit=INIT_LIMIT)
    assert float(result.failed_starts[0].removeprefix("INIT_REPORT Init Duration: ").split()[0]) >= 10_000


def test_a_slow_start_succeeds_in_the_events_own_time(opt: Path, tmp_path: Path) -> None:
    write(tmp_path, {"src/index.php": "function index() { return 'late'; }"})
    slow = shell(tmp_path, "sleep 1; exec /opt/bootstrap")
    (result,) = serve(spec(opt, slow, timeout=120), {}, init_limit=0.3)
    assert (result.error, result.payload) == (None, b'"late"')
    assert len(result.failed_starts) == 1
    assert result.init_ms is None
    assert result.duration_ms >= 1000, "the second start is part of the event"


def test_without_a_bootstrap_it_says_where_it_looked(opt: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (result,) = serve(spec(empty, tmp_path), {})
    assert result.error is not None
    assert result.error.type == "Runtime.InvalidEntrypoint"
    assert "/opt/bootstrap" in result.error.message


def test_memory_beyond_the_limit_ends_the_runtime(opt: Path, tmp_path: Path) -> None:
    """Of a child too; PHP's own limit would not notice."""
    source = r"""
        function index($data) {
            if ($data === 'ok') return 'fine';
            $code = 'ini_set("memory_limit", "-1"); while (true) { $a[] = str_repeat("x", 1 << 20); usleep(500); }';
            $child = proc_open(['/opt/bin/php', '-n', '-r', $code], [], $pipes);
            proc_close($child);
            return 'not reached';
        }
    """
    described = spec(opt, write(tmp_path, {"src/index.php": source}), memory_mb=192, timeout=120)
    grown, after = serve(described, "grow", "ok")
    assert grown.error is not None
    assert grown.error.type == "Runtime.ExitError"
    assert grown.error.message == f"RequestId: {grown.request_id} Error: Runtime exited with error: signal: killed"
    assert (report(grown)["Error Type"], report(grown)["Max Memory Used"]) == ("Runtime.OutOfMemory", "192 MB")
    assert after.payload == b'"fine"'


def test_a_runtime_that_died_while_idle_costs_no_event(opt: Path, tmp_path: Path) -> None:
    source = "function index() { return getmypid(); }"

    async def run() -> tuple[InvokeResult, InvokeResult]:
        async with LocalFunction(spec(opt, write(tmp_path, {"src/index.php": source}))) as function:
            first = await function.invoke(b"1")
            assert function._runtimes.current is not None
            function._runtimes.current.sandbox.signal(9)
            await function._runtimes.current.sandbox.ended
            return first, await function.invoke(b"2")

    first, second = asyncio.run(run())
    assert (first.error, second.error) == (None, None)
    assert second.init_ms is not None, "another runtime had to be started"


def test_a_runtime_that_asks_and_never_listens_times_out_once(opt: Path, tmp_path: Path) -> None:
    asks = """
        echo "begun\\n";
        $api = stream_socket_client("tcp://" . getenv("AWS_LAMBDA_RUNTIME_API"));
        fwrite($api, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n");
        fclose($api);
        sleep(600);
    """
    (result,) = serve(spec(opt, shell(tmp_path, f"exec /opt/bin/php -n -r '{asks}'"), timeout=1), {})
    assert (result.status, result.failed_starts) == ("timeout", ())
    assert result.logs == "begun\n"


@pytest.mark.parametrize("own", [True, False])
def test_runtimes_work_side_by_side(opt: Path, tmp_path: Path, *, own: bool) -> None:
    """As on Lambda Managed Instances. Each event waits for the others: alone none would end."""
    source = """
        function index($data) {
            touch("/tmp/event-{$data}");
            for ($i = 0; $i < 3000 && count(glob('/tmp/event-*')) < 3; ++$i) { usleep(20000); clearstatcache(); }
            return [getmypid(), count(glob('/tmp/event-*'))];
        }
    """
    folder = write(tmp_path, {"src/index.php": source})
    if own:
        start = "n=$AWS_LAMBDA_MAX_CONCURRENCY; unset AWS_LAMBDA_MAX_CONCURRENCY"
        shell(folder, f"{start}\nwhile [ $n -gt 0 ]; do /opt/bootstrap & n=$((n-1)); done; wait")

    async def run() -> list[InvokeResult]:
        async with LocalFunction(spec(opt, folder, concurrency=3, timeout=120)) as function:
            return await asyncio.gather(*(function.invoke(str(number).encode()) for number in range(3)))

    answers = [json.loads(result.payload) for result in asyncio.run(run())]
    assert len({pid for pid, _ in answers}) == 3
    assert [seen for _, seen in answers] == [3] * 3


def test_a_timeout_beside_others_lets_them_finish(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            if ($data === 'hang') proc_close(proc_open(['sleep', '600'], [], $pipes)); // no signal ends that wait
            if ($data === 'work') usleep(5000000);
            return 'done';
        }
    """
    folder = shell(tmp_path, "unset AWS_LAMBDA_MAX_CONCURRENCY; /opt/bootstrap & /opt/bootstrap & wait")
    write(folder, {"src/index.php": source})

    async def run() -> list[InvokeResult]:
        async with LocalFunction(spec(opt, folder, concurrency=2, timeout=12)) as function:
            hanging = asyncio.create_task(function.invoke(b'"hang"'))
            await asyncio.sleep(8)  # within its time the other begins, and ends after it
            return [*await asyncio.gather(hanging, function.invoke(b'"work"')), await function.invoke(b'"next"')]

    hung, worked, after = asyncio.run(run())
    assert hung.status == "timeout"
    assert (worked.error, worked.payload) == (None, b'"done"')
    assert (after.error, after.payload) == (None, b'"done"')


@pytest.mark.parametrize("route", [Route.NEXT, Route.RESPONSE, Route.ERROR])
@pytest.mark.parametrize("kind", FaultKind)
def test_no_fault_of_the_api_loses_or_repeats_an_event(
    opt: Path, tmp_path: Path, kind: FaultKind, route: Route
) -> None:
    source = """
        function index($data) {
            file_put_contents('php://stderr', "ran {$data}\\n");
            if ($data === 2) throw new DomainException('no');
            return $data;
        }
    """
    described = spec(opt, write(tmp_path, {"src/index.php": source}), timeout=60)
    results = serve(described, 1, 2, 3, faults=Script(route, None, kind, seconds=0.05))
    assert all(result.status == "success" or result.error for result in results)
    log = "".join(result.logs for result in results)
    assert [log.count(f"ran {number}\n") for number in (1, 2, 3)] == [1, 1, 1]
    fails = {Route.NEXT: [2], Route.RESPONSE: [2], Route.ERROR: [2]}[route]
    if kind is FaultKind.SERVER_ERROR and route is Route.RESPONSE:
        fails = [2, 3]  # after 500 the runtime must end, and its answer was not heard
    assert [number for number, result in zip((1, 2, 3), results, strict=True) if result.error] == fails


@pytest.mark.parametrize("kind", FaultKind)
def test_no_fault_at_the_end_of_a_stream_repeats_an_event(opt: Path, tmp_path: Path, kind: FaultKind) -> None:
    source = r"""
        function index($data) {
            file_put_contents('php://stderr', "ran {$data}\n");
            yield "[{$data}";
            yield ']';
        }
    """
    described = spec(opt, write(tmp_path, {"src/index.php": source}), timeout=60)
    results = serve(described, 1, 2, 3, faults=Script(Route.RESPONSE, None, kind, seconds=0.05))
    log = "".join(result.logs for result in results)
    assert [log.count(f"ran {number}\n") for number in (1, 2, 3)] == [1, 1, 1]
    assert [result.payload for result in results if result.error is None] == [
        f"[{number}]".encode() for number, result in zip((1, 2, 3), results, strict=True) if result.error is None
    ]
    failed = [result.error.type for result in results if result.error is not None]
    assert failed == {
        FaultKind.RESET_UNHEARD: ["Function.StreamBroken"],  # nothing of it had been heard
        FaultKind.SERVER_ERROR: ["Runtime.ExitError"],
    }.get(kind, [])


def test_an_event_that_lambda_would_not_take_is_refused(opt: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Request must be smaller than 6291456 bytes"):
        serve(spec(opt, tmp_path), "x" * 6291456)


def test_a_stream_tells_when_its_first_byte_came(opt: Path, tmp_path: Path) -> None:
    source = r"""
        function index() {
            yield 'first';
            $caller = stream_socket_client('tcp://' . getenv('CALLER'));
            if (fgets($caller) !== "seen\n") throw new LogicException('it was not seen');
            yield 'second';
        }
    """
    pieces: list[bytes] = []
    seen = asyncio.Event()

    def hear(piece: bytes) -> None:
        pieces.append(piece)
        seen.set()

    async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.wait()
        writer.write(b"seen\n")
        await writer.drain()
        writer.close()

    async def run() -> InvokeResult:
        async with await asyncio.start_server(tell, "127.0.0.1", 0) as caller:
            host, port = caller.sockets[0].getsockname()
            folder = write(tmp_path, {"src/index.php": source})
            described = spec(opt, folder, environment={"CALLER": f"{host}:{port}"}, timeout=120)
            async with LocalFunction(described) as function:
                return await function.invoke(b"{}", on_data=hear)

    result = asyncio.run(run())
    assert (result.error, result.payload) == (None, b"firstsecond"), "the second waited until the first was seen"
    assert (pieces[0], b"".join(pieces)) == (b"first", b"firstsecond")
    assert result.first_byte_ms is not None
    assert 0 < result.first_byte_ms < result.duration_ms
