"""What a sandbox gives to a function and takes away with it: its /tmp, and every process, however hidden."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phplayer.emulator.function import LocalFunction
from phplayer.emulator.result import InvokeResult
from phplayer.emulator.spec import FunctionSpec
from phplayer.runtime import BootstrapMode
from tests.integration.functions import command_of, layer, living_in, shell, write

if TYPE_CHECKING:
    from tests.conftest import Built

MODES = (BootstrapMode.FUNCTION, BootstrapMode.CONSOLE)


@pytest.fixture(scope="module")
def opts(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[BootstrapMode, Path]:
    folder = tmp_path_factory.mktemp("layers")
    return {mode: layer(built.tree, folder / mode.value, mode=mode) for mode in MODES}


def spec(opt: Path, folder: Path, **more: Any) -> FunctionSpec:
    return FunctionSpec(layers=opt, folder=folder, handler="index", name="probe", **more)


def test_tmp_is_the_sandboxs_own_and_ends_with_it(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    source = r"""
        function index($do) {
            if ($do === 'exit') exit(1);
            if ($do === 'fill') @file_put_contents('/tmp/large', str_repeat('x', 12 << 20));
            return [array_values(array_diff(scandir('/tmp'), ['.', '..'])), disk_total_space('/tmp') >> 20,
                (int) @filesize('/tmp/large')];
        }
    """
    described = spec(opts[BootstrapMode.FUNCTION], write(tmp_path, {"src/index.php": source}), tmp_mb=8, timeout=60)

    async def run() -> list[InvokeResult]:
        async with LocalFunction(described) as one, LocalFunction(described) as other:
            return [
                await one.invoke(b'"fill"'),
                await one.invoke(b'"look"'),
                await other.invoke(b'"look"'),
                await one.invoke(b'"exit"'),
                await one.invoke(b'"look"'),
            ]

    filled, warm, beside, gone, anew = asyncio.run(run())
    names, size, large = json.loads(filled.payload)
    assert (names, size) == (["large"], 8)
    assert 7 << 20 <= large <= 8 << 20, "no more than its size fits in"
    assert warm.payload == filled.payload, "it stays for as long as the runtime"
    assert json.loads(beside.payload) == [[], 8, 0]
    assert gone.error is not None
    assert anew.payload == beside.payload


def test_a_time_out_takes_what_has_hidden_itself(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    """A process of another session whose parent has ended, as a daemon is."""
    source = r"""
        function index($do) {
            if ($do === 'ok') return 'fine';
            proc_close(proc_open(['sh', '-c', '(setsid sleep 600 &) </dev/null >/dev/null 2>&1'], [], $pipes));
            file_put_contents('php://stderr', "hidden\n");
            proc_close(proc_open(['sleep', '600'], [], $pipes)); // no signal ends that wait
        }
    """
    folder = write(tmp_path, {"src/index.php": source})
    hidden: list[int] = []

    def hear(line: str) -> None:
        if line == "hidden":
            hidden.extend(pid for pid in living_in(folder) if "600" in command_of(pid))

    async def run() -> tuple[InvokeResult, list[int], InvokeResult]:
        async with LocalFunction(spec(opts[BootstrapMode.FUNCTION], folder, timeout=5), hear) as function:
            hung = await function.invoke(b'"hang"')
            return hung, living_in(folder), await function.invoke(b'"ok"')

    hung, left, after = asyncio.run(run())
    assert (hung.status, after.payload) == ("timeout", b'"fine"')
    assert hidden
    assert left == []
    assert living_in(folder) == []


def test_a_flood_of_output_does_not_hold_up_the_time_out(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    source = r"""
        function index($how) {
            if ($how === 'ok') return 'fine';
            for ($i = 0; $i < 4; ++$i) proc_open(['sh', '-c', 'exec yes "a line of many" >&2'], [], $pipes);
            proc_close(proc_open(['sleep', '600'], [], $pipes)); // no signal ends that wait
        }
    """
    folder = write(tmp_path, {"src/index.php": source})

    async def run() -> tuple[InvokeResult, InvokeResult]:
        async with LocalFunction(spec(opts[BootstrapMode.FUNCTION], folder, timeout=3)) as function:
            return await function.invoke(b'"flood"'), await function.invoke(b'"ok"')

    flooded, after = asyncio.run(run())
    assert (flooded.status, after.payload) == ("timeout", b'"fine"')
    assert "\na line of many\n" in flooded.logs
    assert len(flooded.logs) < 9 << 20, "the end of it is kept"


HANGING = """
    function index($do) {
        if ($do === 'ok') return 'fine';
        file_put_contents('php://stderr', "hanging\\n");
        proc_close(proc_open(['setsid', 'sleep', '600'], [], $pipes));
    }
"""


def test_an_exception_of_the_caller_leaves_nothing(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    folder = write(tmp_path, {"src/index.php": HANGING})

    async def run() -> None:
        hanging = asyncio.Event()
        described = spec(opts[BootstrapMode.FUNCTION], folder, timeout=600)
        async with LocalFunction(described, lambda _line: hanging.set()) as function:
            under_way, queued = (asyncio.create_task(function.invoke(b'"hang"')) for _ in range(2))
            await hanging.wait()
            try:
                raise LookupError
            finally:
                cut_off.extend([under_way, queued])

    async def look() -> None:
        with pytest.raises(LookupError):
            await run()
        assert living_in(folder) == []
        under_way, queued = await asyncio.gather(*cut_off, return_exceptions=True)
        assert isinstance(under_way, InvokeResult)
        assert under_way.error is not None
        assert isinstance(queued, RuntimeError)
        assert living_in(folder) == [], "nor is anything started for the one that waited"

    cut_off: list[asyncio.Task[InvokeResult]] = []
    asyncio.run(look())


def test_a_function_closed_while_it_starts_leaves_nothing(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    folder = write(tmp_path, {"src/index.php": HANGING})

    async def run() -> None:
        async with LocalFunction(spec(opts[BootstrapMode.FUNCTION], folder, timeout=600)) as function:
            starting = asyncio.create_task(function.invoke(b'"ok"'))
            await asyncio.sleep(0)
            assert function._runtimes._starting.locked()
        with pytest.raises(RuntimeError, match="closed"):
            await starting
        assert living_in(folder) == []

    asyncio.run(run())


def test_an_event_given_up_does_not_hold_up_the_next(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    folder = write(tmp_path, {"src/index.php": HANGING})

    async def run() -> tuple[list[int], InvokeResult]:
        hanging = asyncio.Event()
        described = spec(opts[BootstrapMode.FUNCTION], folder, timeout=60)
        async with LocalFunction(described, lambda _line: hanging.set()) as function:
            given_up = asyncio.create_task(function.invoke(b'"hang"'))
            await hanging.wait()
            given_up.cancel()
            await asyncio.wait([given_up])
            return living_in(folder), await function.invoke(b'"ok"')

    left, after = asyncio.run(run())
    assert left == []
    assert (after.error, after.payload) == (None, b'"fine"')


def test_a_runtime_that_leaves_its_work_to_a_daemon_has_ended(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    folder = shell(write(tmp_path, {"src/index.php": "function index() {}"}), "(/opt/bootstrap &); exit 0")

    async def run() -> InvokeResult:
        async with LocalFunction(spec(opts[BootstrapMode.FUNCTION], folder, timeout=60)) as function:
            return await function.invoke(b"1")

    result = asyncio.run(run())
    assert result.error is not None
    assert result.error.type == "Runtime.ExitError"
    assert result.error.message.endswith("Error: Runtime exited without providing a reason")
    assert living_in(folder) == []


def test_a_command_beyond_its_time_ends_and_the_next_one_runs(opts: dict[BootstrapMode, Path], tmp_path: Path) -> None:
    program = """
        if ($argv[1] === 'ok') { echo 'fine'; exit(4); }
        pcntl_signal(SIGTERM, SIG_IGN);
        echo "begun\\n";
        proc_open(['sleep', '600'], [], $pipes);
        while (true) usleep(1000);
    """
    folder = write(tmp_path, {"bin/console": f"<?php {program}"})

    async def run() -> tuple[InvokeResult, InvokeResult]:
        async with LocalFunction(spec(opts[BootstrapMode.CONSOLE], folder, timeout=8)) as function:
            return await function.invoke(b'"hang"'), await function.invoke(b'{"command": "ok"}')

    late, after = asyncio.run(run())
    assert late.error is not None
    # Where a busy machine does not let the command's watch come first, the alarm or the emulator ends it.
    assert late.error.type in {"Phplayer\\CommandTimedOut", "Function.DeadlineNear", "Sandbox.Timedout"}
    assert "begun" in late.logs
    assert json.loads(after.payload) == {"exitCode": 4, "output": "fine"}
    assert living_in(folder) == []
