"""Tens of thousands of events with random failures, of the functions and of the Runtime API: none is lost or run twice.

Three books are kept apart and compared: what the callers were told; what the API handed out and accepted; and what
the handlers ran, as they themselves wrote down before they did anything else. Three functions side by side, one of
them with several workers. ``PHPLAYER_SOAK_SECONDS`` makes it longer (``make soak SECONDS=900``),
``PHPLAYER_SOAK_SEED`` makes it another.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from phplayer.emulator import processes
from phplayer.emulator.faults import Exchange, Fault, FaultKind, RandomFaults, Route
from phplayer.emulator.function import LocalFunction
from phplayer.emulator.result import InvokeResult
from phplayer.emulator.spec import FunctionSpec
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from tests.conftest import Built

SECONDS = float(os.environ.get("PHPLAYER_SOAK_SECONDS", "120"))
SEED = int(os.environ.get("PHPLAYER_SOAK_SEED", "1"))
WORKERS = (1, 1, 3)  # of each function
TIMEOUT = 3.0

SOURCE = r"""
    function index($event) {
        $n = $event['n'];
        static $book = null;
        $book ??= stream_socket_client('tcp://' . getenv('BOOK'));
        fwrite($book, "{$n}\n");
        if (fgets($book) !== "noted\n") throw new LogicException('the book is closed');
        switch ($event['do']) {
            case 'throw': throw new DomainException("event {$n}");
            case 'exit': echo 'bye'; exit(3);
            case 'fatal': eval('function strlen() {}');
            case 'memory':
                if (getenv('AWS_LAMBDA_MAX_CONCURRENCY')) ini_set('memory_limit', '96M'); // workers share the memory
                while (true) { $kept[] = str_repeat('x', 1 << 20); }
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


# What ends an event without a word of the runtime that the API accepted.
UNTOLD = {"Runtime.ExitError", "Sandbox.Timedout", "Function.ResponseSizeTooLarge"}


@dataclass(kw_only=True)
class Books:
    """What became of one function's events, told by three who do not know of each other."""

    name: str
    results: dict[int, tuple[str, InvokeResult]] = field(default_factory=dict)  # callers: kind, and what they got
    handed_out: Counter[str] = field(default_factory=Counter)  # the API: by request ID
    accepted: dict[Route, Counter[str]] = field(
        default_factory=lambda: {Route.RESPONSE: Counter(), Route.ERROR: Counter()}
    )
    refused: Counter[int] = field(default_factory=Counter)  # by status
    ran: Counter[int] = field(default_factory=Counter)  # the handlers
    wrong: list[str] = field(default_factory=list)

    def witness(self, exchange: Exchange) -> None:
        """Write down what the API carried out."""
        if exchange.route is Route.NEXT and exchange.status == 200:
            self.handed_out[exchange.request_id] += 1
        elif exchange.route in self.accepted and exchange.status == 202:
            self.accepted[exchange.route][exchange.request_id] += 1
        elif exchange.status >= 400:
            self.refused[exchange.status] += 1

    async def write_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write down what a handler is about to do; it goes on when that is done."""
        try:
            while line := await reader.readline():
                self.ran[int(line)] += 1
                writer.write(b"noted\n")
        except ConnectionError:
            pass  # it was killed
        finally:
            writer.close()

    def note(self, number: int, kind: str, result: InvokeResult, expected: set[str] | None) -> None:
        """Write down what a caller was told; a failure must be of these types, where it is known."""
        self.results[number] = kind, replace(result, payload=b"", logs="")  # there will be millions
        if result.error is None:
            if json.loads(result.payload) != [kind, number]:
                self.wrong.append(f"event {number} ({kind}) was answered {result.payload[:200]!r}")
        elif expected is not None and result.error.type not in expected:
            self.wrong.append(f"event {number} ({kind}) failed with {result.error}: {result.logs[-500:]}")

    def check(self) -> None:
        """Compare the books."""
        answered = {number for number, (_, result) in self.results.items() if result.error is None}
        numbers = {result.request_id: number for number, (_, result) in self.results.items()}
        responses, errors = self.accepted[Route.RESPONSE], self.accepted[Route.ERROR]
        assert self.wrong == []
        assert set(self.results) == set(range(len(self.results))), "an event was lost"
        assert len(numbers) == len(self.results)
        assert set(self.ran.values()) == {1}, "an event was run twice"
        assert set((responses + errors).values()) == {1}, "an event was answered twice"
        assert set(self.handed_out) <= set(numbers), "an event came from nowhere"
        assert set(responses + errors) <= set(self.handed_out)
        assert set(self.ran) <= {numbers[request_id] for request_id in self.handed_out}
        assert answered <= set(self.ran), "an answer came from nowhere"
        for number, (kind, result) in self.results.items():
            told = (responses[result.request_id], errors[result.request_id])
            if result.error is None:
                assert told == (1, 0), (number, kind)
            elif told == (0, 0):
                assert result.error.type in UNTOLD, (number, kind, result.error)
            else:  # a stream says at the end of its response that it failed
                assert told == ((1, 0) if kind == "late" and responses[result.request_id] else (0, 1)), (number, kind)

    def figures(self, injected: Counter[FaultKind]) -> str:
        """Return an account of it all."""
        failures = Counter(result.error.type for _, result in self.results.values() if result.error is not None)
        kinds = Counter(kind for kind, _ in self.results.values())
        starts = sum(result.init_ms is not None for _, result in self.results.values())
        accepted = {route.value: counts.total() for route, counts in self.accepted.items()}
        again = self.handed_out.total() - len(self.handed_out)
        return f"""{self.name}:
  callers  {len(self.results)} events: {len(self.results) - failures.total()} answers, {failures.total()} failures
  API      {len(self.handed_out)} handed out, {again} of them again; accepted {accepted}; refused {dict(self.refused)}
  handlers {self.ran.total()} run; {starts} starts
  events   {dict(kinds)}
  failures {dict(failures)}
  faults   {dict(sorted((kind.name, count) for kind, count in injected.items()))}"""

    @property
    def failures(self) -> int:
        """How many callers were told of an error."""
        return sum(result.error is not None for _, result in self.results.values())


class RecentFaults:
    """Random faults, remembered until they are asked for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
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


def total(done: Sequence[tuple[Books, RecentFaults]], seconds: float) -> str:
    """Return the figures of all functions together."""
    events = sum(len(books.results) for books, _ in done)
    failures = sum(books.failures for books, _ in done)
    faults = sum(faults.random.injected.total() for _, faults in done)
    said = f"{seconds:.0f} seconds, seed {SEED}: {events} events ({events / seconds:.0f} a second), "
    return f"{said}{events - failures} answers, {failures} failures, {faults} faults of the API"


def tell(text: str) -> None:
    """Show figures to whoever runs it."""
    sys.stdout.write(text)
    sys.stdout.flush()


async def tell_on_and_on(done: Sequence[tuple[Books, RecentFaults]], begin: float) -> None:
    while True:
        await asyncio.sleep(60)
        tell(f"\n{total(done, time.monotonic() - begin)} so far")


async def soak(opt: Path, task: Path, workers: int, books: Books, faults: RecentFaults, until: float) -> None:
    events = enumerate(kinds(faults.seed))

    async def call_on_and_on(function: LocalFunction) -> None:
        for number, kind in events:
            result = await function.invoke(json.dumps({"n": number, "do": kind}).encode())
            recent = faults.recent()
            # After a fault of the API the runtime may be unable to tell, and a loaded machine may be slow at anything.
            expected = {KINDS[kind][1], "Sandbox.Timedout", "Function.DeadlineNear"}
            # Beside others an event may suffer from what they do, such as ending the whole environment.
            books.note(number, kind, result, None if recent or workers > 1 else expected)
            if time.monotonic() > until and number >= len(KINDS):
                return

    async with await asyncio.start_server(books.write_down, "127.0.0.1", 0) as book:
        host, port = book.sockets[0].getsockname()
        spec = FunctionSpec(
            layers=opt,
            folder=task,
            handler="index",
            name="soak",
            timeout=TIMEOUT,
            memory_mb=192 if workers == 1 else 512,
            concurrency=workers,
            environment={"BOOK": f"{host}:{port}"},
        )
        async with LocalFunction(spec, faults=faults, witness=books.witness) as function:
            await asyncio.gather(*(call_on_and_on(function) for _ in range(workers)))


@pytest.mark.timeout(SECONDS * 3 + 300)
def test_no_event_is_lost_or_run_twice(built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = layer(built.tree, tmp_path / "opt")
    task = write(tmp_path / "task", {"src/index.php": SOURCE})
    before = set(processes.children(os.getpid()))

    done = [
        (Books(name=f"seed {seed}, workers {workers}"), RecentFaults(seed))
        for seed, workers in enumerate(WORKERS, SEED)
    ]
    begin = time.monotonic()

    async def run() -> None:
        telling = asyncio.create_task(tell_on_and_on(done, begin))
        each = zip(WORKERS, done, strict=True)
        await asyncio.gather(*(soak(opt, task, workers, *books, begin + SECONDS) for workers, books in each))
        telling.cancel()

    with capsys.disabled():
        asyncio.run(run())
        tell(f"\n{total(done, time.monotonic() - begin)}\n")
        for books, faults in done:
            tell(f"{books.figures(faults.random.injected)}\n")
    for books, _ in done:
        books.check()
        assert {kind for kind, _ in books.results.values()} == set(KINDS)
    assert set(processes.children(os.getpid())) <= before
    with capsys.disabled():
        tell("None was lost, run twice or answered twice.\n")
