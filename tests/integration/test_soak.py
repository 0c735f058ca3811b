"""Tens of thousands of events with random failures, of the functions and of the Runtime API: none is lost or run twice.

Two functions side by side. ``PHPLAYER_SOAK_SECONDS`` makes it longer (``make soak``).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phplayer.emulator import processes
from phplayer.emulator.faults import Fault, FaultKind, RandomFaults, Route
from phplayer.emulator.function import LocalFunction
from phplayer.emulator.result import InvokeResult
from phplayer.emulator.spec import FunctionSpec
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from tests.conftest import Built

SECONDS = float(os.environ.get("PHPLAYER_SOAK_SECONDS", "120"))
SEED = int(os.environ.get("PHPLAYER_SOAK_SEED", "1"))
FUNCTIONS = 2
TIMEOUT = 3.0

SOURCE = r"""
    function index($event) {
        $n = $event['n'];
        file_put_contents('php://stderr', "ran {$n}\n");
        switch ($event['do']) {
            case 'throw': throw new DomainException("event {$n}");
            case 'exit': echo 'bye'; exit(3);
            case 'fatal': eval('function strlen() {}');
            case 'memory': while (true) { $kept[] = str_repeat('x', 1 << 20); }
            case 'bad result': return ['deep' => ["\xff"]];
            case 'too large': return str_repeat('x', (6 << 20) + 200);
            case 'killed': proc_open(['sh', '-c', 'kill -9 $PPID'], [], $pipes); sleep(60);
            case 'hang': proc_close(proc_open(['sleep', '60'], [], $pipes)); // no signal ends that wait
            case 'deadline': while (true) { usleep(1000); }
            case 'stream': return stream($n, false);
            case 'late': return stream($n, true);
        }
        return [$event['do'], $n];
    }
    function stream($n, $fail) {
        yield "[\"stream\",";
        if ($fail) throw new DomainException("event {$n}");
        yield "{$n}]";
    }
"""

# Per mille of the events, and the type of error that the caller is told of; "" for an answer.
KINDS = {
    "plain": (0, ""),  # all others
    "stream": (30, ""),
    "throw": (30, "DomainException"),
    "bad result": (10, "Function.BadResult"),
    "late": (5, "DomainException"),
    "exit": (2, "Function.Exit"),
    "fatal": (1, "Function.FatalError"),
    "memory": (1, "Function.OutOfMemory"),
    "too large": (1, "Function.ResponseSizeTooLarge"),
    "killed": (1, "Runtime.ExitError"),
    "hang": (0.1, "Sandbox.Timedout"),
    "deadline": (0.1, "Function.DeadlineNear"),
}
RATES = {
    FaultKind.DELAY: 0.003,
    FaultKind.RESET_UNHEARD: 0.003,
    FaultKind.RESET: 0.003,
    FaultKind.TRUNCATED_HEADER: 0.003,
    FaultKind.TRUNCATED_BODY: 0.003,
    FaultKind.SERVER_ERROR: 0.001,
    FaultKind.CLOSE: 0.01,
    FaultKind.DROP: 0.01,
}


@dataclass
class Tally:
    """What one function was asked and what came of it."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    ran: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    expected: set[int] = field(default_factory=set)  # events that were answered, so must have been run
    wrong: list[str] = field(default_factory=list)
    starts: int = 0

    def hear(self, line: str) -> None:
        if line.startswith("ran "):
            self.ran[int(line.removeprefix("ran "))] += 1

    def note(self, number: int, kind: str, result: InvokeResult, faults: tuple[FaultKind, ...]) -> None:
        self.kinds[kind] += 1
        self.starts += result.init_ms is not None
        if result.error is None:
            self.answered += 1
            if json.loads(result.payload) != [kind, number]:
                self.wrong.append(f"event {number} ({kind}) was answered {result.payload[:200]!r}")
            self.expected.add(number)
        else:
            self.failed[result.error.type] += 1
            # After a fault of the API the runtime may be unable to tell, and a loaded machine may be slow at anything.
            expected = {KINDS[kind][1], "Sandbox.Timedout", "Function.DeadlineNear"}
            if not faults and result.error.type not in expected:
                self.wrong.append(f"event {number} ({kind}, {faults}) failed with {result.error}: {result.logs[-500:]}")


class Faults:
    """Random faults, remembered until they are asked for."""

    def __init__(self, seed: int) -> None:
        self.random = RandomFaults(RATES, seed=seed)
        self._recent: list[FaultKind] = []
        self._before: list[FaultKind] = []

    def __call__(self, route: Route) -> Fault | None:
        fault = self.random(route)
        if fault is not None:
            self._recent.append(fault.kind)
        return fault

    def recent(self) -> tuple[FaultKind, ...]:
        """Return those since the call before the last: what is drawn when a runtime asks may hit the event after."""
        recent = (*self._before, *self._recent)
        self._before, self._recent = self._recent, []
        return recent


def kinds(seed: int) -> Iterator[str]:
    """Each kind once, then at random by its rate."""
    yield from KINDS
    drawn = random.Random(seed)  # noqa: S311  nothing secret
    names, rates = list(KINDS), [rate for rate, _ in KINDS.values()]
    rates[0] = 1000 - sum(rates)
    while True:
        yield from drawn.choices(names, rates, k=1000)


async def soak(spec: FunctionSpec, seed: int, until: float) -> tuple[Tally, Faults]:
    tally, faults = Tally(), Faults(seed)
    async with LocalFunction(spec, tally.hear, faults=faults) as function:
        for number, kind in enumerate(kinds(seed)):
            if time.monotonic() > until and number >= len(KINDS):
                break
            event: dict[str, Any] = {"n": number, "do": kind}
            result = await function.invoke(json.dumps(event).encode())
            tally.note(number, kind, result, faults.recent())
    return tally, faults


@pytest.mark.timeout(SECONDS * 3 + 300)
def test_no_event_is_lost_or_run_twice(built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = layer(built.tree, tmp_path / "opt")
    task = write(tmp_path / "task", {"src/index.php": SOURCE})
    before = set(processes.children(os.getpid()))

    async def run() -> list[tuple[Tally, Faults]]:
        until = time.monotonic() + SECONDS
        spec = FunctionSpec(layers=opt, folder=task, handler="index", name="soak", timeout=TIMEOUT, memory_mb=192)
        return await asyncio.gather(*(soak(spec, SEED + number, until) for number in range(FUNCTIONS)))

    done = asyncio.run(run())
    for tally, faults in done:
        handed_out = sum(tally.kinds.values())
        injected = {kind.name: count for kind, count in faults.random.injected.items()}
        figures = (
            f"{handed_out} events: {tally.answered} answers, {tally.failed.total()} failures {dict(tally.failed)}; "
            f"{tally.starts} starts; faults {injected}"
        )
        with capsys.disabled():
            print(figures)  # noqa: T201  figures for whoever ran it
        assert tally.wrong == []
        assert handed_out == tally.answered + tally.failed.total()
        assert max(tally.ran.values()) == 1, "an event was run twice"
        assert tally.expected <= set(tally.ran), "an answer came from nowhere"
        assert set(tally.kinds) == set(KINDS)
    assert set(processes.children(os.getpid())) <= before
