"""Several builds side by side, each in a process of its own.

A build that fails, or is killed, takes no other with it, and a process can be interrupted wherever it is: it cleans
up as it would after Ctrl-C. The processes send their events here; this process is the only one that Ctrl-C reaches,
and it ends the others. Should this process be killed, they end themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing import connection, resource_tracker
from typing import TYPE_CHECKING

from phplayer import termination
from phplayer.errors import BuildFailedError, PhplayerError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted, SubjectFailed, unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path
    from types import FrameType

    from phplayer.building import BuildResult
    from phplayer.engines import Engine, EngineOptions
    from phplayer.events import Event, Listener
    from phplayer.runtime import Runtime
    from phplayer.settings import Settings

_CLEAN_UP = 30.0  # seconds that an interrupted build has before it is killed
_PHASE = "all builds"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One build, in values that can go to another process."""

    settings: Settings
    runtime: Runtime
    options: EngineOptions
    engine: Engine | None = None  # opened already; another process opens its own
    source: Path | None
    jobs: int  # compilers at once


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one build ended: with a result or with an error."""

    runtime: Runtime
    seconds: float
    result: BuildResult | None = None
    error: Exception | None = None


def build_one(request: Request, listener: Listener) -> BuildResult:
    """Build one runtime in this process.

    Raises:
        PhplayerError: as ``building.build``.

    """
    from phplayer import building
    from phplayer.engines import choose

    engine = request.engine or choose(request.options, request.runtime, unheard)  # what there is to tell was told
    return building.build(
        request.settings, request.runtime, engine, source=request.source, jobs=request.jobs, listener=listener
    )


def build_all(
    requests: Sequence[Request],
    *,
    parallel: int,
    listener: Listener,
    build: Callable[[Request, Listener], BuildResult] = build_one,
) -> tuple[Outcome, ...]:
    """Build all, at most ``parallel`` at once, and return how each ended, in the order of the requests.

    One request is built in this process. ``build`` must be a module's function, so that another process finds it.
    """
    if len(requests) == 1:
        return (_alone(requests[0], listener, build),)
    listener(PhaseStarted(subject="", phase=_PHASE))
    began, outcomes = time.monotonic(), dict[int, Outcome]()
    waiting, running = list(enumerate(requests)), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                number, request = waiting.pop(0)
                with _signals_held_back():  # one that was started and is not in the list would not be ended
                    running.append(_Running(number, request, build))
            for each in _ready(running):
                if each.receive(listener):
                    continue
                outcomes[each.number] = outcome = each.outcome()
                running.remove(each)
                if outcome.error is not None:
                    listener(_failed(outcome))
                listener(PhaseAdvanced(subject="", phase=_PHASE, done=len(outcomes), total=len(requests), unit="done"))
    finally:
        with _signals_held_back():  # a second Ctrl-C does not cut off the cleaning up, which has its own limit
            _stop(running)
    well = sum(outcome.error is None for outcome in outcomes.values())
    listener(
        PhaseFinished(
            subject="", phase=_PHASE, seconds=time.monotonic() - began, outcome=f"{well} of {len(requests)} built"
        )
    )
    return tuple(outcomes[number] for number in range(len(requests)))


def share(requests: int, *, compilers: int, parallel: int, jobs: int) -> tuple[int, int]:
    """Return how many builds run side by side and how many compilers each may start; 0 stands for "as fits".

    configure uses one processor, so there may be as many builds as the engine carries compilers, which they share.
    """
    at_once = min(parallel or compilers, requests)
    return at_once, max(1, -(-(jobs or compilers) // at_once))


def _alone(request: Request, listener: Listener, build: Callable[[Request, Listener], BuildResult]) -> Outcome:
    began = time.monotonic()
    result, error = None, None
    try:
        result = build(request, listener)
    except Exception as raised:  # noqa: BLE001  the caller gets every error of a build as its outcome
        error = raised
    return Outcome(runtime=request.runtime, seconds=time.monotonic() - began, result=result, error=error)


def _failed(outcome: Outcome) -> SubjectFailed:
    return SubjectFailed(subject=outcome.runtime.identifier, message=str(outcome.error), seconds=outcome.seconds)


class _Running:
    """A build in another process, seen from here."""

    def __init__(self, number: int, request: Request, build: Callable[[Request, Listener], BuildResult]) -> None:
        self.number = number
        self._runtime = request.runtime
        self._began = time.monotonic()
        self._last: BuildResult | Exception | None = None
        spawn = multiprocessing.get_context("spawn")  # as on every platform, and this process may have threads
        self.connection, theirs = spawn.Pipe(duplex=False)
        self.process: SpawnProcess = spawn.Process(
            target=_work, args=(theirs, replace(request, engine=None), build), name=request.runtime.identifier
        )
        self.process.start()
        theirs.close()

    def receive(self, listener: Listener) -> bool:
        """Take one message; tell whether more may come."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return False
        if kind == "event":
            listener(content)
        else:
            self._last = content
        return True

    def outcome(self) -> Outcome:
        """Return how it ended; a process that left no word was killed."""
        self.connection.close()
        seconds, last = time.monotonic() - self._began, self._last
        if last is None:
            last = _died(self.process.exitcode or 0)
        if isinstance(last, Exception):
            return Outcome(runtime=self._runtime, seconds=seconds, error=last)
        return Outcome(runtime=self._runtime, seconds=seconds, result=last)


def _died(code: int) -> BuildFailedError:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    return BuildFailedError(
        f"The process of this build {how}.",
        remedy="If the machine ran out of memory, build with a smaller --parallel or --jobs. Run the same command to "
        "go on.",
    )


def _ready(running: Sequence[_Running]) -> list[_Running]:
    ready = connection.wait([each.connection for each in running])
    return [each for each in running if each.connection in ready]


def _stop(running: Sequence[_Running]) -> None:
    """End what still runs and wait until it has cleaned up after itself."""
    for each in running:
        each.process.terminate()
    deadline = time.monotonic() + _CLEAN_UP
    for each in running:
        while each.process.is_alive() and time.monotonic() < deadline:
            if each.connection.poll(0.05):  # its last words; a full pipe would hold it up
                with contextlib.suppress(EOFError, OSError):
                    each.connection.recv()
                    continue
                each.process.join(0.05)
        if each.process.is_alive():
            each.process.kill()
        each.process.join()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP until the end of the block, and act on the first of them then.

    In a process that is started here SIGINT stays blocked: Ctrl-C goes to all processes of a terminal, and one must
    decide.
    """
    heard: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    resource_tracker.ensure_running()  # starting the first process would start it, which unblocks signals
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, *termination.heeded())}
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in previous.items():
            signal.signal(number, handler)
    for first in heard[:1]:
        signal.raise_signal(first)


# -- in the other process -------------------------------------------------------------------------------------------


def _work(sink: Connection, request: Request, build: Callable[[Request, Listener], BuildResult]) -> None:
    """Run one build and send its events, then its result or its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    termination.heed()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()

    def send(kind: str, content: Event | Exception | BuildResult) -> None:
        try:
            sink.send((kind, content))
        except BrokenPipeError:  # nobody hears it any more; what is cleaned up already is not cut off
            if not termination.has_begun():
                termination.end(signal.SIGTERM)

    try:
        result = build(request, lambda event: send("event", event))
    except Exception as error:  # noqa: BLE001  it is raised, or shown, where the user is
        error.add_note(traceback.format_exc())
        send("failed", _portable(error))
    else:
        send("done", result)


def _portable(error: Exception) -> Exception:
    """Return the error, or one of ours that says the same if it cannot go to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  it was made right here
    except Exception:  # noqa: BLE001  whatever is wrong with it
        return PhplayerError(
            f"Unexpected {type(error).__name__}: {error}",
            remedy="Run the same command with --debug and report what it prints.",
            details=tuple(traceback.format_exception(error)),
        )
    return error


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
