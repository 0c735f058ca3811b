"""Handlers that do what a guest should not: each event is still told once, with its reason, and the next is served."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.fake_api import PATIENCE, FakeApi, Ran
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from tests.conftest import Built

HALF = {"PHPLAYER_DEADLINE_MARGIN_MS": "60000"}
"""The alarm rings when half of an event's time is over."""


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def run(
    opt: Path,
    folder: Path,
    source: str,
    events: Sequence[Any],
    *,
    timeout: float = 300.0,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    write(folder, {"src/index.php": source})
    return FakeApi(events=events, timeout=timeout).run(opt, folder, environment=environment)


def outcomes(ran: Ran) -> list[Any]:
    """Per report, in their order: the value, or the type and message of the error."""
    for number, told in enumerate(ran.told):
        assert told.path.startswith(f"invocation/{number}/"), f"not one report for each event: {ran.told}"
    return [
        (told.json["errorType"], told.json["errorMessage"]) if told.path.endswith("/error") else told.json
        for told in ran.told
    ]


DESTRUCTOR = """
    class Fragile implements JsonSerializable {
        function __construct(private string $how) {}
        function jsonSerialize(): mixed { return 'whole'; }
        function __destruct() { if ($this->how === 'exit') exit(3); throw new LogicException('in the destructor'); }
    }
    class Holder extends DomainException { public $held; }
    function index($how) {
        if ($how === 'held') { $holder = new Holder('thrown'); $holder->held = new Fragile('throw'); throw $holder; }
        return $how === 'fine' ? 'fine' : new Fragile($how);
    }
"""


def test_a_destructor_that_fails_is_told_before_the_answer_or_not_at_all(opt: Path, tmp_path: Path) -> None:
    ran = run(opt, tmp_path, DESTRUCTOR, ["fine", "throw", "held", "fine", "exit"])
    *before, ended = outcomes(ran)
    assert before == ["fine", ("LogicException", "in the destructor"), ("Holder", "thrown"), "fine"]
    assert ended[0] == "Function.Exit"
    messages = [record["errorMessage"] for record in ran.records]
    assert messages[:3] == ["in the destructor", "thrown", "in the destructor"]


def test_a_generator_that_throws_when_it_is_closed_fails_its_event_alone(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($fail) {
            try { yield 'begun'; if ($fail) yield []; } finally { if ($fail) throw new Exception('on close'); }
        }
    """
    failed, after = run(opt, tmp_path, source, [True, False]).told
    assert failed.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.BadResult"
    assert (after.path, after.body, after.trailers) == ("invocation/1/response", b"begun", {})


def test_a_fork_that_comes_back_from_the_handler_answers_nothing(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($how) {
            if (pcntl_fork() === 0) return $how === 'throw' ? throw new Exception('of the fork') : 'of the fork';
            pcntl_wait($status);
            return pcntl_wexitstatus($status);
        }
    """
    ran = run(opt, tmp_path, source, ["return", "throw", "return"])
    assert outcomes(ran) == [0, 255, 0]
    assert [record["errorMessage"] for record in ran.records] == ["of the fork"]


def test_where_no_descriptor_is_left_failures_are_told_and_logged(opt: Path, tmp_path: Path) -> None:
    source = """
        set_error_handler(fn ($type, $message) => throw new ErrorException($message));
        function index() {
            static $files = [];
            posix_setrlimit(POSIX_RLIMIT_NOFILE, 64, 64);
            echo "printed";
            for (;;) { $files[] = fopen('/dev/null', 'r'); }
        }
    """
    ran = run(opt, tmp_path, source, [1, 2])
    for type_, message in outcomes(ran):
        assert type_ == "ErrorException"
        assert "Too many open files" in message
    assert ["Too many open files" in record["errorMessage"] for record in ran.records] == [True, True]


def test_closed_standard_streams_cost_no_report(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($n) {
            if ($n === 0) { fclose(STDOUT); fclose(STDERR); }
            echo 'lost';
            throw new Exception("n{$n}");
        }
    """
    ran = run(opt, tmp_path, source, [0, 1])
    assert outcomes(ran) == [("Exception", "n0"), ("Exception", "n1")]
    assert [record["errorMessage"] for record in ran.records] == ["n0", "n1"]


RECURSION = {
    "without variables": "function deep() { return 1 + deep(); }",
    "with an argument": "function deep($n = 0) { return 1 + deep($n + 1); }",
    "with many variables": "function deep($a = 1, $b = 2) { $c = $a + $b; $d = strlen($c); return $d + deep($c, $b); }",
    "of a method": "class Deep { function go(array $x) { foreach ($x as $y) $this->go([$y]); } }"
    " function deep() { (new Deep())->go([1]); }",
}


@pytest.mark.parametrize("kind", RECURSION)
@pytest.mark.parametrize("where", ["in the handler", "at the start"])
def test_endless_recursion_is_told(opt: Path, tmp_path: Path, kind: str, where: str) -> None:
    """PHP's own stack of calls fills the memory, and no shutdown function can be called any more."""
    called = "deep(); function index() {}" if where == "at the start" else "function index() { ob_start(); deep(); }"
    ran = run(opt, tmp_path, f"{RECURSION[kind]} {called}", [1])
    (told,) = ran.told
    assert told.path == ("init/error" if where == "at the start" else "invocation/0/error")
    assert told.json["errorType"] == "Function.OutOfMemory"
    assert told.json["stackTrace"] == [f"{tmp_path}/src/index.php:2"]
    assert len(ran.records) == 1
    assert ran.code != 0


def test_a_time_limit_is_counted_for_each_event(opt: Path, tmp_path: Path) -> None:
    source = """
        set_time_limit(2);
        function used() { // processor time in seconds, in the kernel too: what the limit is of
            $u = getrusage();
            $micros = $u['ru_utime.tv_usec'] + $u['ru_stime.tv_usec'];
            return $u['ru_utime.tv_sec'] + $u['ru_stime.tv_sec'] + $micros / 1e6;
        }
        function index($n) { for ($end = used() + 0.8; used() < $end;); return $n; }
    """
    assert outcomes(run(opt, tmp_path, source, range(5))) == list(range(5))


def test_a_result_that_takes_long_to_write_is_interrupted_like_the_handler(opt: Path, tmp_path: Path) -> None:
    source = """
        class Slow implements JsonSerializable { function jsonSerialize(): mixed { while (true) usleep(1000); } }
        function index($slow) { return $slow ? new Slow() : 'fine'; }
    """
    ran = run(opt, tmp_path, source, [True, False], timeout=4.0, environment=HALF)
    (type_, _), after = outcomes(ran)
    assert (type_, after) == ("Function.DeadlineNear", "fine")
    assert ran.told[0].json["stackTrace"][0].endswith("/src/index.php:3 Slow->jsonSerialize")


def test_the_log_keeps_its_form_after_an_interruption(opt: Path, tmp_path: Path) -> None:
    """The signal comes while something is printed, most likely: PHP calls no output handler again that has thrown."""
    source = """
        function index($n) { do { echo str_repeat("again\\n", 2000); } while ($n === 0); echo "after\\n"; }
    """
    settings = {**HALF, "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "ERROR"}
    ran = run(opt, tmp_path, source, [0, 1], timeout=4.0, environment=settings)
    assert [told.path for told in ran.told] == ["invocation/0/error", "invocation/1/response"]
    assert "after" not in ran.log


def test_what_a_finally_block_throws_after_an_interruption_is_logged(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($slow) {
            try { while ($slow) usleep(1000); return 'fine'; } finally { if ($slow) throw new Exception('in finally'); }
        }
    """
    ran = run(opt, tmp_path, source, [True, False], timeout=4.0, environment=HALF)
    (type_, _), after = outcomes(ran)
    assert (type_, after) == ("Function.DeadlineNear", "fine")
    assert [record["errorMessage"] for record in ran.records][1:] == ["in finally"]


def test_sigterm_ends_a_stream_with_its_reason(opt: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    source = f"""
        function index() {{ yield 'begun'; touch('{begun}'); while (true) {{ usleep(1000); yield ''; }} }}
    """

    def when_begun(process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)

    ran = FakeApi(events=[1, 2]).run(opt, write(tmp_path, {"src/index.php": source}), when=when_begun)
    (told,) = ran.told
    assert (told.path, told.body) == ("invocation/0/response", b"begun")
    assert told.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.Terminated"
    assert ran.code == 0


def test_an_anonymous_class_is_named_without_its_place(opt: Path, tmp_path: Path) -> None:
    source = """
        function index() {
            (new class { function fail() { throw new class('no') extends DomainException {}; } })->fail();
        }
    """
    ran = run(opt, tmp_path, source, [1])
    report = ran.told[0].json
    assert report["errorType"] == "DomainException@anonymous"
    assert report["stackTrace"][0].endswith("src/index.php:4 class@anonymous->fail")
    assert "\\u0000" not in json.dumps(report)


def test_causes_that_go_round_in_a_circle_end(opt: Path, tmp_path: Path) -> None:
    source = """
        function index() {
            $inner = new Exception("inner \\xff");
            $outer = new Exception('outer', 0, $inner);
            (new ReflectionProperty(Exception::class, 'previous'))->setValue($inner, $outer);
            throw $outer;
        }
    """
    ran = run(opt, tmp_path, source, [1, 2])
    assert outcomes(ran) == [("Exception", "outer")] * 2
    assert ran.told[0].json["cause"]["errorMessage"] == "inner \ufffd"
