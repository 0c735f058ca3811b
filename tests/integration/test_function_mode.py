"""The bootstrap in function mode: every form of handler, every way to fail, in the sandbox."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.functions import layer, serve, write

if TYPE_CHECKING:
    from phplayer.emulator.function import InvokeResult
    from tests.conftest import Built


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def value(result: InvokeResult) -> Any:
    assert result.error is None, f"{result.error}\n{result.logs}"
    return json.loads(result.payload)


GREET = "'Hello, ' . $data['name']"
HANDLERS = {
    "index": {"src/index.php": f"function index($data) {{ return {GREET}; }}"},
    "app.handle": {"app.php": f"function handle($data) {{ return {GREET}; }}"},
    "lib/deep/app.v2.handle": {"lib/deep/app.v2.php": f"function handle($data) {{ return {GREET}; }}"},
    "app.Acme\\handle": {"app.php": f"namespace Acme; function handle($data) {{ return {GREET}; }}"},
    "app.php": {"app.php": f"return fn ($data) => {GREET};"},
    "src/invokable.php": {
        "src/invokable.php": f"return new class {{ public function __invoke($data) {{ return {GREET}; }} }};"
    },
    "Acme\\Greeter": {
        "composer.json": '{"autoload": {"psr-4": {"Acme\\\\": "lib/"}}}',
        "lib/Greeter.php": f"namespace Acme; class Greeter {{ function __invoke(array $data) {{ return {GREET}; }} }}",
    },
    "Acme\\Greeter::greet": {
        "composer.json": '{"autoload": {"psr-4": {"Acme\\\\": "lib/"}}}',
        "lib/Greeter.php": f"namespace Acme; class Greeter {{ function greet(array $data) {{ return {GREET}; }} }}",
    },
    "Greeter::greet": {
        "composer.json": '{"autoload": {"classmap": ["."]}}',
        "any/where.inc": f"class Greeter {{ public static function greet(array $data) {{ return {GREET}; }} }}",
    },
}


def test_a_closure_of_the_handlers_file_is_no_part_of_the_bootstrap(opt: Path, tmp_path: Path) -> None:
    source = "return function () { throw new Exception(json_encode([isset($this), get_defined_vars(), __CLASS__])); };"
    (result,) = serve(opt, write(tmp_path, {"app.php": source}), {}, handler="app.php")
    assert result.error is not None
    assert result.error.message == '[false,[],""]'
    (frame,) = result.error.stack
    assert frame.startswith("/var/task/app.php:2 {closure")


@pytest.mark.parametrize("handler", HANDLERS)
def test_every_form_of_handler_is_found(opt: Path, tmp_path: Path, handler: str) -> None:
    results = serve(opt, write(tmp_path, HANDLERS[handler]), {"name": "world"}, {"name": "again"}, handler=handler)
    assert [value(result) for result in results] == ["Hello, world", "Hello, again"]
    assert results[0].init_ms is not None
    assert results[1].init_ms is None, "the second event must be served by the same process"


NO_HANDLER = {
    "": ("No handler is set", {}),
    "index": ("function index() in /var/task/src/index.php, which does not exist", {}),
    "app.handle": (
        "looks for function handle() in /var/task/app.php, which does not define it. It defines: Acme\\other()",
        {"app.php": "namespace Acme; function other() {}"},
    ),
    "app.php": ("callable returned by /var/task/app.php, which returned int (or nothing", {"app.php": "$x = 1;"}),
    "path/file": ("names a file but no function", {}),
    "Acme\\Missing": ("looks for class Acme\\Missing, which no autoloader finds", {}),
    "Acme\\Greeter::nope": (
        "looks for a public method nope() of class Acme\\Greeter (/var/task/lib/Greeter.php:3)",
        {
            "composer.json": '{"autoload": {"psr-4": {"Acme\\\\": "lib/"}}}',
            "lib/Greeter.php": "namespace Acme;\nclass Greeter { function __construct(int $needed) {} }",
        },
    ),
    "Acme\\Greeter": (
        "cannot be made without arguments",
        {
            "composer.json": '{"autoload": {"psr-4": {"Acme\\\\": "lib/"}}}',
            "lib/Greeter.php": "namespace Acme; class Greeter { function __construct($n) {} function __invoke() {} }",
        },
    ),
    "three.three": (
        "(/var/task/three.php:2) requires 3 parameters",
        {"three.php": "function three($a, $b, $c) { return 1; }"},
    ),
    "typed.typed": (
        "(/var/task/typed.php:2) wants string as its second parameter",
        {"typed.php": "function typed($a, string $context) { return 1; }"},
    ),
}


@pytest.mark.parametrize("handler", NO_HANDLER)
def test_a_handler_that_is_not_there_is_named(opt: Path, tmp_path: Path, handler: str) -> None:
    message, files = NO_HANDLER[handler]
    (result,) = serve(opt, write(tmp_path, files), {}, handler=handler)
    assert result.error is not None
    assert result.error.type == "Runtime.NoSuchHandler"
    assert message in result.error.message


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        ("function index( { }", "Runtime.HandlerParseError", "/var/task/src/index.php:2"),
        ("throw new LogicException('no database');", "Runtime.HandlerLoadError", "no database in /var/task/src/index"),
        ("exit(3);", "Function.Exit", "exit()"),
        ("function strlen() {}", "Function.FatalError", "Cannot redeclare"),
    ],
)
def test_a_file_that_does_not_load_is_an_init_error(
    opt: Path, tmp_path: Path, source: str, error_type: str, message: str
) -> None:
    (result,) = serve(opt, write(tmp_path, {"src/index.php": source}), {})
    assert result.error is not None
    assert result.error.type == error_type
    assert message in result.error.message


def test_an_exception_is_reported_without_arguments_and_the_loop_goes_on(opt: Path, tmp_path: Path) -> None:
    source = """
        class Failed extends RuntimeException {}
        function inner(string $secret) { throw new Failed('no luck', 0, new Exception('the reason')); }
        function index($data) { if ($data) { inner('hunter2'); } return getmypid(); }
    """
    before, failed, after = serve(opt, write(tmp_path, {"src/index.php": source}), [], [1], [])
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("Failed", "no luck")
    assert failed.error.stack == ("/var/task/src/index.php:4 inner", "/var/task/src/index.php:5 index")
    report = json.loads(failed.payload)
    assert report["cause"]["errorMessage"] == "the reason"
    assert "hunter2" not in failed.logs + failed.payload.decode()
    log = json.loads(failed.logs)
    assert (log["requestId"], log["errorType"]) == (failed.request_id, "Failed")
    assert value(before) == value(after)


@pytest.mark.parametrize(
    ("body", "error_type", "message"),
    [
        ("return strlen();", "ArgumentCountError", "strlen() expects exactly 1 argument"),
        ("exit(0);", "Function.Exit", "exit()"),
        ("trigger_error('over', E_USER_ERROR);", "Function.FatalError", "over"),
        ("(function (): never {})();", "TypeError", "never"),
        ("$a = []; while (true) { $a[] = str_repeat('x', 1 << 20); }", "Function.OutOfMemory", "Allowed memory size"),
        ("return NAN;", "Function.BadResult", "Inf and NaN"),
        ('return "\\xff";', "Function.BadResult", "UTF-8"),
        ("return str_repeat('x', 6 << 20) . str_repeat('y', 200);", "Function.ResponseSizeTooLarge", "6291556"),
    ],
)
def test_every_way_to_fail_is_reported_and_the_next_event_is_served(
    opt: Path, tmp_path: Path, body: str, error_type: str, message: str
) -> None:
    source = f"function index($data) {{ if ($data === 'ok') return 'fine'; {body} }}"
    failed, after = serve(opt, write(tmp_path, {"src/index.php": source}), "fail", "ok", memory_mb=128)
    assert failed.error is not None
    assert failed.error.type == error_type
    assert message in failed.error.message
    assert value(after) == "fine"


@pytest.mark.parametrize("kept", ["", "pcntl", "posix", "pcntl,posix"])
def test_no_extension_is_needed_that_a_layer_may_lack(built: Built, opt: Path, tmp_path: Path, kept: str) -> None:
    always = ["core", "date", "hash", "json", "pcre", "random", "reflection", "spl", "standard", *kept.split(",")]
    code = """
        foreach (array_diff(array_map('strtolower', get_loaded_extensions()), json_decode($argv[1])) as $extension) {
            array_push($functions, ...(get_extension_funcs($extension) ?: []));
        }
        echo implode(',', $functions);
    """
    told: list[str | Path] = [built.php, "-n", "-r", f"$functions = ['dl']; {code}", json.dumps(always)]
    missing = subprocess.run(told, capture_output=True, text=True, check=True).stdout
    assert "ctype_digit" in missing.split(",")
    files = {
        "php/conf.d/less.ini": f"disable_functions = {missing}\n",
        "src/index.php": "function index($data) { if ($data) { throw new Exception('no'); } return 'fine'; }",
    }
    margin = {"PHPLAYER_DEADLINE_MARGIN_MS": "100"}
    failed, after = serve(opt, write(tmp_path, files), 1, 0, environment=margin)
    assert failed.error is not None, failed.logs
    assert (failed.error.type, failed.error.message) == ("Exception", "no")
    assert value(after) == "fine"


def test_what_is_printed_goes_to_the_log(opt: Path, tmp_path: Path) -> None:
    source = """
        function index() { echo "from echo\\n"; ob_start(); echo "buffered\\n"; error_log("from error_log"); return 1; }
    """
    first, second = serve(opt, write(tmp_path, {"src/index.php": source}), {}, {})
    assert value(first) == 1
    for line in ("from echo", "buffered", "from error_log"):
        assert line in first.logs
        assert second.logs.count(line) == 1


def test_a_buffer_that_cannot_be_flushed_disturbs_no_other_event(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            if ($data === 1) ob_start(fn () => throw new Exception('in the callback'));
            echo "text";
            return getmypid();
        }
    """
    first, second = serve(opt, write(tmp_path, {"src/index.php": source}), 1, 2)
    assert value(first) == value(second)
    assert "in the callback" in first.logs


def test_warnings_reach_the_log_once(opt: Path, tmp_path: Path) -> None:
    (result,) = serve(opt, write(tmp_path, {"src/index.php": "function index($d) { return $d['none']; }"}), {})
    assert value(result) is None
    assert result.logs.count("Undefined array key") == 1


def test_the_context_tells_about_the_invocation(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data, Phplayer\\Context $context) {
            return [...(array) $context, 'remaining' => $context->remainingMs(), 'trace' => getenv('_X_AMZN_TRACE_ID')];
        }
    """
    first, second = serve(opt, write(tmp_path, {"src/index.php": source}), {}, {}, timeout=7)
    told = value(first)
    assert told["requestId"] == first.request_id
    assert told["functionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:probe"
    assert (told["functionName"], told["functionVersion"], told["memoryMb"]) == ("probe", "$LATEST", 1024)
    assert 5000 < told["remaining"] <= 7000
    assert told["trace"] == told["traceId"]
    assert told["traceId"].startswith("Root=1-")
    assert value(second)["trace"] != told["trace"]
    assert told["clientContext"] is None


def test_results_keep_their_form(opt: Path, tmp_path: Path) -> None:
    source = "function index($d) { return ['float' => 1.0, 'url' => 'a/b', 'none' => null, 'echo' => $d]; }"
    event = {"text": 'ü€𝄞 \\ "', "n": [1, 2.5, True, None], "deep": {"a": {"b": {}}}}
    (result,) = serve(opt, write(tmp_path, {"src/index.php": source}), event)
    assert result.payload.startswith(b'{"float":1.0,"url":"a/b","none":null')
    event["deep"]["a"]["b"] = []  # type: ignore[index]  # an empty object is an empty array to PHP
    assert value(result)["echo"] == event


def test_large_events_and_results_go_through_whole(opt: Path, tmp_path: Path) -> None:
    source = "function index($d) { return strrev($d); }"
    event = "ab" * (3 * 1024 * 1024 - 10)
    (result,) = serve(opt, write(tmp_path, {"src/index.php": source}), event)
    assert value(result) == event[::-1]


def test_a_generator_streams(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            if ($data === 'early') throw new Exception('early');
            yield 'one '; yield ''; yield 2;
            if ($data === 'late') throw new Exception('late');
            if ($data === 'array') yield [];
            yield str_repeat('x', 7 << 20);
        }
    """
    folder = write(tmp_path, {"src/index.php": source})
    whole, late, array, early, after = serve(opt, folder, "whole", "late", "array", "early", "whole")
    assert whole.error is None
    assert whole.payload == after.payload == b"one 2" + b"x" * (7 << 20)
    assert late.error is not None
    assert late.error.message == "late"
    assert array.error is not None
    assert array.error.message == "A handler that streams must yield strings, not array."
    assert early.error is not None
    assert early.error.message == "early"


def test_a_function_that_takes_too_long_is_killed_with_its_children(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            if ($data === 'ok') return 'fine';
            proc_open(['sleep', '987654'], [], $pipes);
            sleep(60);
        }
    """
    folder, unwarned = write(tmp_path, {"src/index.php": source}), {"PHPLAYER_DEADLINE_MARGIN_MS": "0"}
    slow, after = serve(opt, folder, "slow", "ok", timeout=1, environment=unwarned)
    assert slow.error is not None
    assert slow.error.type == "Sandbox.Timedout"
    assert slow.error.message == f"RequestId: {slow.request_id} Error: Task timed out after 1.00 seconds"
    assert value(after) == "fine"
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"987654" in command for command in commands)


def test_a_killed_runtime_is_an_exit_error(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            if ($data === 'ok') return 'fine';
            proc_open(['sh', '-c', 'kill -9 $PPID'], [], $pipes);
            sleep(5);
        }
    """
    killed, after = serve(opt, write(tmp_path, {"src/index.php": source}), "kill", "ok")
    assert killed.error is not None
    assert killed.error.type == "Runtime.ExitError"
    assert "signal: killed" in killed.error.message
    assert value(after) == "fine"


def test_the_sandbox_shows_lambda_and_not_the_host(opt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-host")
    source = """
        function index() {
            $try = fn (string $path) => @file_put_contents($path, 'x') !== false;
            return [
                'environment' => getenv(), 'root' => scandir('/'), 'cwd' => getcwd(), 'uid' => fileowner('/proc/self'),
                'task' => $try('/var/task/x'), 'opt' => $try('/opt/x'), 'tmp' => $try('/tmp/x'), 'slash' => $try('/x'),
                'usr' => $try('/usr/x'), 'processes' => count(glob('/proc/[0-9]*')),
                'first' => @file_get_contents('/proc/1/environ'),
            ];
        }
    """
    folder = write(tmp_path, {"src/index.php": source})
    unwarned = {"PHPLAYER_DEADLINE_MARGIN_MS": "0"}  # without the process that keeps the time
    (result,) = serve(opt, folder, {}, environment={**unwarned, "MINE": "yes", "LAMBDA_TASK_ROOT": "no"})
    seen = value(result)
    environment = seen["environment"]
    assert "of-the-host" not in environment.values()
    assert "HOME" not in environment
    assert environment["MINE"] == "yes"
    assert environment["LAMBDA_TASK_ROOT"] == "/var/task"
    assert environment["_HANDLER"] == "index"
    assert environment["TZ"] == ":UTC"
    assert "home" not in seen["root"]
    assert "work" not in seen["root"]
    assert seen["cwd"] == "/var/task"
    assert seen["uid"] == 993
    assert [seen[name] for name in ("task", "opt", "slash", "usr", "tmp")] == [False, False, False, False, True]
    assert seen["processes"] == 2
    assert "of-the-host" not in str(seen["first"])
    assert not list(folder.glob("x"))


VENDOR = {
    "vendor/autoload.php": """
        spl_autoload_register(function ($class) {
            if ($class === 'Lib\\\\Thing') { require __DIR__ . '/lib/Thing.php'; }
        });
        function from_vendor() { return 'vendor'; }
    """,
    "vendor/lib/Thing.php": "namespace Lib; class Thing { const FROM = __FILE__; }",
}
ROOT_PACKAGE = {
    "composer.json": json.dumps(
        {
            "autoload": {
                "psr-4": {"Acme\\": ["missing/", "src/"], "Acme\\Deep\\": "deep"},
                "psr-0": {"Old_": "old/"},
                "classmap": ["mapped", "single.php"],
                "files": ["functions.php"],
                "exclude-from-classmap": ["/mapped/skip/", "**/Tests/"],
            }
        }
    ),
    "functions.php": "function helper() { return from_vendor() . ' helper'; }",
    "src/Thing.php": "namespace Acme; class Thing {}",
    "deep/Thing.php": "namespace Acme\\Deep; class Thing {}",
    "old/Old/Style/Thing.php": "class Old_Style_Thing {}",
    "mapped/many.php": "namespace Many; /* class No {} */ interface One {} trait Two {} enum Three: int {}",
    "mapped/skip/skipped.php": "class Skipped {}",
    "mapped/x/Tests/test.php": "class Tested {}",
    "single.php": "final class Single { const TEXT = 'class Quoted {'; }",
    "src/index.php": """
        function index() {
            $classes = ['Lib\\Thing', 'Acme\\Thing', 'Acme\\Deep\\Thing', 'Old_Style_Thing', 'Many\\One', 'Many\\Two',
                'Many\\Three', 'Single', 'Skipped', 'Tested', 'Many\\No', 'Quoted', 'Acme\\Missing'];
            $found = array_filter($classes, fn ($c) => class_exists($c) || interface_exists($c) || trait_exists($c));
            return [array_values($found), helper(), Lib\\Thing::FROM];
        }
    """,
}


def test_the_functions_own_autoload_works_beside_a_vendor_layer(
    built: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    opt = layer(built.tree, tmp_path_factory.mktemp("vendor") / "opt", VENDOR)
    (result,) = serve(opt, write(tmp_path_factory.mktemp("task"), ROOT_PACKAGE), {})
    found, helped, origin = value(result)
    assert found[:4] == ["Lib\\Thing", "Acme\\Thing", "Acme\\Deep\\Thing", "Old_Style_Thing"]
    assert found[4:] == ["Many\\One", "Many\\Two", "Many\\Three", "Single"]
    assert helped == "vendor helper"
    assert origin == "/opt/vendor/lib/Thing.php"


def test_a_vendor_folder_of_the_function_goes_before_the_layers(
    built: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    opt = layer(built.tree, tmp_path_factory.mktemp("vendor") / "opt", VENDOR)
    files = {**VENDOR, "src/index.php": "function index() { return Lib\\Thing::FROM; }"}
    (result,) = serve(opt, write(tmp_path_factory.mktemp("task"), files), {})
    assert value(result) == "/var/task/vendor/lib/Thing.php"


def test_a_handlers_file_that_composer_loads_too_is_loaded_once(opt: Path, tmp_path: Path) -> None:
    files = {
        "composer.json": '{"autoload": {"files": ["src/index.php"]}}',
        "src/index.php": "function index() { return 'once'; }",
    }
    (result,) = serve(opt, write(tmp_path, files), {})
    assert value(result) == "once"


def test_a_composer_json_that_does_not_parse_is_named(opt: Path, tmp_path: Path) -> None:
    folder = write(tmp_path, {"composer.json": "{", "src/index.php": "function index() {}"})
    (result,) = serve(opt, folder, {})
    assert result.error is not None
    assert "/var/task/composer.json is not JSON: Syntax error" in result.error.message
