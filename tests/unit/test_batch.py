from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from phplayer import batch
from phplayer.batch import Outcome
from phplayer.errors import BuildFailedError, PhplayerError
from phplayer.events import Event, PhaseAdvanced, PhaseFinished, PhaseStarted, SubjectFailed
from tests import stand_ins
from tests.conftest import ROOT


def build(folder: Path, *does: str, parallel: int = 2, heard: Callable[[Event], None] = print) -> tuple[Outcome, ...]:
    requests = [
        stand_ins.request(folder, php, each) for php, each in zip(("8.2", "8.3", "8.4", "8.5"), does, strict=False)
    ]
    return batch.build_all(requests, parallel=parallel, listener=heard, build=stand_ins.build)


def test_builds_run_side_by_side_and_their_events_arrive(tmp_path: Path) -> None:
    heard: list[Event] = []
    outcomes = build(tmp_path, "meet", "meet", heard=heard.append)
    assert [outcome.runtime.identifier for outcome in outcomes] == ["php82-al2023-x86_64", "php83-al2023-x86_64"]
    assert all(outcome.result and outcome.result.folder == tmp_path for outcome in outcomes)
    for subject in ("php82-al2023-x86_64", "php83-al2023-x86_64"):
        kinds = [type(event) for event in heard if getattr(event, "subject", None) == subject]
        assert kinds == [PhaseStarted, PhaseFinished]
    assert [event.done for event in heard if isinstance(event, PhaseAdvanced)] == [1, 2]


def test_no_more_run_at_once_than_asked_for(tmp_path: Path) -> None:
    outcomes = build(tmp_path, "alone", "alone", "alone", parallel=1)
    assert [outcome.error for outcome in outcomes] == [None, None, None]


def test_one_failure_stops_no_other_and_each_is_told(tmp_path: Path) -> None:
    heard: list[Event] = []
    fine, broken, full, dead = build(tmp_path, "fine", "fail", "full", "die", heard=heard.append)
    assert fine.result is not None
    assert isinstance(broken.error, BuildFailedError)
    assert (broken.error.remedy, broken.error.details) == ("Mend it.", ("last line",))
    assert broken.error.log == Path("/logs/build.log")
    assert any("stand_ins.py" in note for note in broken.error.__notes__), "with --debug, where it was raised"
    assert isinstance(full.error, OSError)
    assert (full.error.errno, full.error.filename) == (28, "/cache/x")
    assert isinstance(dead.error, BuildFailedError)
    assert "killed by signal 9" in dead.error.message
    assert {event.subject[:5]: event.message for event in heard if isinstance(event, SubjectFailed)}[
        "php83"
    ] == "It broke."


def test_an_error_that_cannot_travel_is_told_all_the_same(tmp_path: Path) -> None:
    _, outcome = build(tmp_path, "fine", "unportable")
    assert isinstance(outcome.error, PhplayerError)
    assert outcome.error.message == "Unexpected UnportableError: for the test"


def test_one_build_alone_needs_no_process(tmp_path: Path) -> None:
    (outcome,) = build(tmp_path, "fail")
    assert isinstance(outcome.error, BuildFailedError)
    assert (tmp_path / "php82-al2023-x86_64.started").read_text() == str(os.getpid())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def started(folder: Path, number: int) -> list[int]:
    """Wait until that many hang, and return the processes that must not be left."""
    deadline = time.monotonic() + 120
    while len(found := list(folder.glob("*.sleep"))) < number or not all(path.read_text() for path in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(path.read_text()) for path in (*found, *folder.glob("*.started"))]


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def test_an_interrupt_ends_all_and_lets_them_clean_up(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt() -> None:
        pids.extend(started(tmp_path, 2))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, "hang", "hang", "fine", heard=lambda _event: None)
    thread.join()
    assert gone(pids)
    assert len(list(tmp_path.glob("*.cleaned"))) == 2
    assert not (tmp_path / "php84-al2023-x86_64.started").exists(), "what had not begun does not begin"


class Terminated(Exception):  # noqa: N818  it stands for what the command line's handler of SIGTERM raises
    pass


@dataclass(frozen=True, kw_only=True)
class SignalledRequest(batch.Request):
    """Sends this process a signal while it is sent to another one: in the middle of a process's start."""

    number: signal.Signals

    def __reduce__(self) -> str | tuple[Any, ...]:
        os.kill(os.getpid(), self.number)
        return partial(batch.Request, **{name: value for name, value in vars(self).items() if name != "number"}), ()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_build_starts_ends_that_build_too(tmp_path: Path, number: signal.Signals) -> None:
    def terminated(_number: int, _frame: object) -> None:
        raise Terminated

    plain = stand_ins.request(tmp_path, "8.2", "hang")
    started = SignalledRequest(number=number, **vars(plain))
    before = {each: signal.signal(each, terminated) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises((KeyboardInterrupt, Terminated)):
            batch.build_all([started, plain], parallel=1, listener=print, build=stand_ins.build)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_ctrl_c_or_the_end_of_a_terminal_or_a_killed_parent_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    """What a terminal sends goes to every process of its group at once; SIGKILL to the parent alone."""
    code = (
        "import sys; from pathlib import Path; from tests import stand_ins; from phplayer import batch\n"
        "if __name__ == '__main__':\n"
        "    requests = [stand_ins.request(Path(sys.argv[1]), php, 'hang') for php in ('8.2', '8.3')]\n"
        "    batch.build_all(requests, parallel=2, listener=lambda event: None, build=stand_ins.build)\n"
    )
    script = tmp_path / "main.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = started(tmp_path, 2)
    if number == signal.SIGKILL:
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert gone(pids)
    assert len(list(tmp_path.glob("*.cleaned"))) == 2
    assert said.count("Traceback") == (1 if number == signal.SIGINT else 0), said  # this script's own


def test_a_build_that_nobody_hears_any_more_ends_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As that of a parent that was killed, should it tell something before it notices."""
    spawn = multiprocessing.get_context("spawn")
    heard, told = spawn.Pipe(duplex=False)
    heard.close()
    request = stand_ins.request(tmp_path, "8.2", "fine")
    process = spawn.Process(target=batch._work, args=(told, request, stand_ins.build))
    process.start()
    process.join(120)
    assert process.exitcode == 128 + signal.SIGTERM
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("requests", "compilers", "parallel", "jobs", "shared"),
    [
        (1, 8, 0, 0, (1, 8)),
        (4, 8, 0, 0, (4, 2)),
        (16, 8, 0, 0, (8, 1)),
        (3, 8, 2, 0, (2, 4)),
        (2, 2, 0, 0, (2, 1)),
        (3, 8, 0, 16, (3, 6)),
        (5, 1, 4, 0, (4, 1)),
    ],
)
def test_builds_share_the_compilers(
    requests: int, compilers: int, parallel: int, jobs: int, shared: tuple[int, int]
) -> None:
    assert batch.share(requests, compilers=compilers, parallel=parallel, jobs=jobs) == shared
