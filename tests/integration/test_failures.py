"""Every way in which an event can end badly: what is told, what is logged, and what comes after it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.fake_api import PATIENCE, FakeApi, Ran
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from tests.conftest import Built

STRICT = """
    set_error_handler(function ($type, $message, $file, $line) {
        throw new ErrorException($message, 0, $type, $file, $line);
    });
"""


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def function(folder: Path, source: str) -> Path:
    return write(folder, {"src/index.php": source})


def error(ran: Ran, number: int = 0) -> dict[str, str]:
    told = ran.told[number]
    assert told.path.endswith("/error"), ran.log
    assert told.headers["Lambda-Runtime-Function-Error-Type"]
    report: dict[str, str] = told.json
    return report


UNENCODABLE = {
    "['items' => [1, 2, 3, ['name' => \"\\xff\"]]]": "$.items[3].name is not valid UTF-8",
    "['odd key' => [NAN]]": '$["odd key"][0] is NAN',
    "[1, [-INF]]": "$[1][0] is -INF",
    "['file' => STDERR]": "$.file is a resource (stream)",
    '["\\xff" => 1]': "$ has a key that is not valid UTF-8",
    "(object) ['a' => new ArrayObject([fopen('php://memory', 'r')])]": "Type is not supported",
    "(function () { $o = new stdClass(); $o->self = [$o]; return $o; })()": "$.self[0] holds itself",
    "(function () { $a = [1]; $a[1] = &$a; return $a; })()": "goes on without end",
    "[new class implements JsonSerializable { function jsonSerialize(): mixed { return [INF]; } }]": "$[0][0] is INF",
}


def test_what_json_cannot_hold_is_named_by_its_path(opt: Path, tmp_path: Path) -> None:
    cases = " ".join(f"if ($n === {number}) return {value};" for number, value in enumerate(UNENCODABLE))
    ran = FakeApi(events=range(len(UNENCODABLE))).run(opt, function(tmp_path, f"function index($n) {{ {cases} }}"))
    for told, message in zip(ran.told, UNENCODABLE.values(), strict=True):
        assert told.json["errorType"] == "Function.BadResult"
        assert message in told.json["errorMessage"]
    assert ran.code == 0


def test_what_was_printed_before_exit_is_told(opt: Path, tmp_path: Path) -> None:
    source = (
        "function index($how) { echo \"Connecting.\\n\"; ob_start(); $how === 'die' ? die('No database.') : exit(0); }"
    )
    died = FakeApi(events=["die"]).run(opt, function(tmp_path, source))
    assert error(died)["errorType"] == "Function.Exit"
    assert "Connecting.\nNo database." in error(died)["errorMessage"]
    assert died.code == 1
    assert "Connecting.\nNo database." in died.log
    (record,) = died.records
    assert (record["requestId"], record["level"]) == ("0", "ERROR")
    assert len(died.told) == 1


def test_memory_exhaustion_in_small_pieces_is_told(opt: Path, tmp_path: Path) -> None:
    source = "ini_set('memory_limit', '16M'); function index() { for ($a = [];;) { $a[] = new stdClass(); } }"
    ran = FakeApi(events=[1]).run(opt, function(tmp_path, source))
    assert error(ran)["errorType"] == "Function.OutOfMemory"
    assert ran.log.count("Allowed memory size") == 1, "told once"


def test_warnings_as_exceptions_and_everything_thrown_goes_on_in_the_same_process(opt: Path, tmp_path: Path) -> None:
    source = (
        STRICT
        + """
        function index($how) {
            static $calls = 0;
            ++$calls;
            if ($how === 'warning') { $none = []; return $none['missing']; }
            if ($how === 'type') { return strlen([]); }
            if ($how === 'match') { return match ($how) { 1 => 2 }; }
            if ($how === 'chain') {
                throw new LogicException('outer', 0, new RuntimeException('inner', 0, new Error('core')));
            }
            return $calls;
        }
        """
    )
    ran = FakeApi(events=["warning", "type", "match", "chain", "fine"]).run(opt, function(tmp_path, source))
    assert [told.json["errorType"] for told in ran.told[:4]] == [
        "ErrorException",
        "TypeError",
        "UnhandledMatchError",
        "LogicException",
    ]
    assert error(ran, 3)["cause"]["cause"]["errorMessage"] == "core"  # type: ignore[index]
    assert ran.told[4].json == 5
    assert len(ran.records) == 4
    assert [record["requestId"] for record in ran.records] == ["0", "1", "2", "3"]


SLOW = """
    function deep() { while (true) { usleep(1000); } }
    function index($how) {
        if ($how === 'fine') return getmypid();
        try {
            if ($how === 'caught') { try { deep(); } catch (Error) { return 'too late'; } }
            if ($how === 'stream') { return (function () { yield 'one'; deep(); })(); }
            deep();
        } finally { echo "cleaned up\\n"; }
    }
"""


def test_a_handler_is_interrupted_shortly_before_its_deadline(opt: Path, tmp_path: Path) -> None:
    events = ["fine", "slow", "caught", "stream", "fine"]
    ran = FakeApi(events=events, timeout=1.7).run(
        opt, function(tmp_path, SLOW), environment={"PHPLAYER_DEADLINE_MARGIN_MS": "600"}
    )
    assert ran.told[0].body == ran.told[4].body, "the same process goes on"
    for number in (1, 2):
        report = error(ran, number)
        assert report["errorType"] == "Function.DeadlineNear"
        assert "ms before its deadline" in report["errorMessage"]
        assert report["stackTrace"][0].endswith("/src/index.php:3 deep")
        assert "/src/index.php:" in report["stackTrace"][1]
    assert len(ran.told) == 5, "nothing is answered twice"
    assert "cleaned up" in ran.log
    assert "its result is dropped" in ran.log
    streamed = ran.told[3]
    assert streamed.body == b"one"
    assert streamed.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.DeadlineNear"


def of_layer(opt: Path) -> set[int]:
    """Processes of the bootstrap of that layer."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if f"{opt}/bootstrap".encode() in path.read_bytes():
                found.add(int(path.parent.name))
    return found


@pytest.mark.parametrize("left", ["0", "proc_get_status(proc_open(['sleep', '100'], [], $pipes))['pid']"])
def test_a_php_that_is_killed_leaves_no_keeper_and_no_file(opt: Path, tmp_path: Path, left: str) -> None:
    """Even when a process that the handler has left behind holds all that was open."""
    keepers: set[int] = set()
    scratch = tmp_path / "tmp"
    scratch.mkdir()

    def kill(process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.01)
        keepers.update(of_layer(opt) - {process.pid})
        process.kill()

    begun = tmp_path / "src" / "begun"
    source = f"function index() {{ $left = {left}; file_put_contents('{begun}.new', $left);"
    source += f" rename('{begun}.new', '{begun}'); sleep(100); }}"
    FakeApi(events=[1]).run(opt, function(tmp_path, source), when=kill, environment={"TMPDIR": str(scratch)})
    assert len(keepers) == 1
    until = time.monotonic() + PATIENCE
    while of_layer(opt) and time.monotonic() < until:
        time.sleep(0.05)
    assert of_layer(opt) == set()
    assert list(scratch.iterdir()) == []
    if int(begun.read_text()):
        os.kill(int(begun.read_text()), signal.SIGKILL)


def test_a_keeper_that_was_killed_fails_no_event(opt: Path, tmp_path: Path) -> None:
    source = (
        STRICT
        + """
        function index($n) {
            set_error_handler(fn () => true); // processes of others end meanwhile
            foreach ($n === 0 ? glob('/proc/[0-9]*/cmdline') : [] as $path) {
                $pid = (int) basename(dirname($path));
                $ours = str_contains((string) file_get_contents($path), $_SERVER['SCRIPT_FILENAME']);
                if ($ours && $pid !== getmypid()) {
                    posix_kill($pid, SIGKILL);
                }
            }
            restore_error_handler();
            usleep(100000);
            return $n;
        }
        """
    )
    ran = FakeApi(events=[0, 1, 2]).run(opt, function(tmp_path, source))
    assert [told.json for told in ran.told] == [0, 1, 2]


@pytest.mark.parametrize("timeout", [1.2, 3.4])
def test_no_sleep_is_cut_short_before_the_margin(opt: Path, tmp_path: Path, timeout: float) -> None:
    source = "function index($n) { if ($n) { $began = microtime(true); sleep(60); return microtime(true) - $began; } }"
    ran = FakeApi(events=[0, 1, 1], timeout=timeout).run(opt, function(tmp_path, source))
    assert [told.path for told in ran.told] == ["invocation/0/response", "invocation/1/error", "invocation/2/error"]
    for number in (1, 2):
        assert error(ran, number)["errorType"] == "Function.DeadlineNear"


def test_a_handler_may_wait_for_all_its_children(opt: Path, tmp_path: Path) -> None:
    source = """
        function index() {
            for ($n = 0; $n < 3; ++$n) { if (pcntl_fork() === 0) exit(0); }
            for ($ended = 0; pcntl_wait($status) > 0;) { ++$ended; }
            return $ended;
        }
    """
    ran = FakeApi(events=[1, 2]).run(opt, function(tmp_path, source))
    assert [told.json for told in ran.told] == [3, 3]


def test_without_pcntl_the_handler_is_left_alone(opt: Path, tmp_path: Path) -> None:
    source = "function index() { usleep(900000); return 'done'; }"
    api = FakeApi(events=[1], timeout=0.5)
    ran = api.run(
        opt,
        function(tmp_path, source),
        php=("-n", "-d", "disable_functions=pcntl_async_signals,pcntl_alarm,pcntl_signal"),
    )
    assert ran.told[0].json == "done"


def test_sigterm_ends_the_wait_and_reports_a_running_handler(opt: Path, tmp_path: Path) -> None:
    source = "function index() { touch(__DIR__ . '/begun'); while (true) { usleep(1000); } }"
    folder = function(tmp_path, source)

    def when_begun(process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while not (folder / "src" / "begun").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)

    ran = FakeApi(events=[1, 2]).run(opt, folder, when=when_begun)
    assert error(ran)["errorType"] == "Function.Terminated"
    assert len(ran.told) == 1
    assert ran.code == 0


def test_a_process_that_a_handler_forks_reports_nothing(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            $pid = pcntl_fork();
            if ($pid === 0) exit(7);
            pcntl_waitpid($pid, $status);
            return pcntl_wexitstatus($status);
        }
    """
    ran = FakeApi(events=[1, 2]).run(opt, function(tmp_path, source))
    assert [told.json for told in ran.told] == [7, 7]


def test_shutdown_functions_and_buffers_stay_with_their_event(opt: Path, tmp_path: Path) -> None:
    source = """
        register_shutdown_function(fn () => print("of the start\\n"));
        function index($n) {
            register_shutdown_function(fn () => print("of event {$n}\\n"));
            while (ob_get_level() > 0) ob_end_clean();
            ob_start();
            echo "printed by {$n}\\n";
            if ($n === 2) exit;
            return ob_get_level();
        }
    """
    ran = FakeApi(events=[0, 1, 2]).run(opt, function(tmp_path, source))
    assert [told.path for told in ran.told] == ["invocation/0/response", "invocation/1/response", "invocation/2/error"]
    assert "of event" not in ran.log
    assert ran.log.count("of the start") == 1
    assert [ran.log.count(f"printed by {n}\n") for n in range(3)] == [1, 1, 1]
    assert "printed by 2" in error(ran, 2)["errorMessage"]
    assert "printed by 1" not in error(ran, 2)["errorMessage"]


def test_cycles_of_an_event_are_freed_before_the_next(opt: Path, tmp_path: Path) -> None:
    source = """
        class Held { public $self; public static $freed = 0; function __destruct() { ++self::$freed; } }
        function index() { $freed = Held::$freed; $held = new Held(); $held->self = $held; return $freed; }
    """
    ran = FakeApi(events=range(5)).run(opt, function(tmp_path, source))
    assert [told.json for told in ran.told] == [0, 1, 2, 3, 4]


def test_no_search_for_cycles_where_there_can_be_none(opt: Path, tmp_path: Path) -> None:
    ran = FakeApi(events=range(6)).run(opt, function(tmp_path, "function index() { return gc_status()['runs']; }"))
    runs = [told.json for told in ran.told]
    assert runs[1:] == [runs[1]] * 5


def test_a_fatal_error_between_events_is_logged(opt: Path, tmp_path: Path) -> None:
    source = """
        class Bad { public $self; function __destruct() { exit(5); } }
        function index() { $bad = new Bad(); $bad->self = $bad; return 1; }
    """
    ran = FakeApi(events=[1, 2]).run(opt, function(tmp_path, source))
    assert ran.told[0].json == 1
    assert len(ran.told) == 1
    assert ran.records[0]["errorType"] == "Function.Exit"
    assert ran.code != 0


HTTP = "application/vnd.awslambda.http-integration-response"
STREAMS = """
    function index($how, Phplayer\\Context $context) {
        if ($how === 'context') {
            $stream = $context->stream(201, ['content-type' => 'text/plain'], ['a=b']);
            $stream->write('one '); $stream->write(''); $stream->write('two');
            return null;
        }
        if ($how === 'plain') { $context->stream()->write("\\0\\xff"); return null; }
        if ($how === 'empty') { $context->stream(204); return null; }
        if ($how === 'early') { $context->stream(200); throw new Exception('early'); }
        if ($how === 'late') { $context->stream(200)->write('x'); throw new Exception('late'); }
        if ($how === 'twice') { $context->stream(); $context->stream(); }
        if ($how === 'closed') { $s = $context->stream(); $s->write('x'); $s->close(); $s->write('y'); }
        if ($how === 'exit') { $context->stream()->write('x'); exit; }
        return (function () { yield new Phplayer\\Head(302, ['location' => '/x/']); yield 'moved'; })();
    }
"""


def test_answers_are_streamed(opt: Path, tmp_path: Path) -> None:
    events = ["context", "plain", "empty", "early", "late", "twice", "generator", "closed", "exit"]
    ran = FakeApi(events=events).run(opt, function(tmp_path, STREAMS))
    context, plain, empty, early, late, twice, generator, closed, ended = ran.told
    assert context.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
    assert context.headers["Content-Type"] == HTTP
    head, _, body = context.body.partition(b"\0" * 8)
    assert json.loads(head) == {"statusCode": 201, "headers": {"content-type": "text/plain"}, "cookies": ["a=b"]}
    assert body == b"one two"
    assert (plain.body, plain.headers["Content-Type"]) == (b"\0\xff", "application/octet-stream")
    assert empty.body == b'{"statusCode":204,"headers":{}}' + b"\0" * 8
    assert early.path == "invocation/3/error"
    assert late.path == "invocation/4/response"
    assert late.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.Unhandled"
    report = json.loads(base64.b64decode(late.trailers["Lambda-Runtime-Function-Error-Body"]))
    assert report["errorMessage"] == "late"
    assert twice.json["errorType"] == "LogicException"
    assert generator.body == b'{"statusCode":302,"headers":{"location":"/x/"}}' + b"\0" * 8 + b"moved"
    assert (closed.body, closed.trailers) == (b"x", {})
    assert ended.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.Exit"
    assert ran.log.count("This stream has ended.") == 1
