"""``phplayer invoke`` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from phplayer import bootstrap
from phplayer.runtime import BootstrapMode
from tests.conftest import PHP, SCRIPTS, cache_folder
from tests.integration.functions import living_in, write

if TYPE_CHECKING:
    from tests.conftest import Built, Phplayer


@pytest.fixture(scope="module")
def project(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "dist").mkdir()
    (folder / "dist" / built.dist.name).symlink_to(built.dist)
    (folder / "phplayer.toml").write_text(f'[php]\nversion = "{PHP}"\n')
    return folder


@pytest.fixture
def function(project: Path, request: pytest.FixtureRequest) -> Path:
    source = """
        function index($data) {
            if (($data['do'] ?? '') === 'throw') throw new DomainException('not today');
            if (($data['do'] ?? '') === 'sleep') { file_put_contents('php://stderr', "sleeping\\n"); sleep(321); }
            echo "log line\\n";
            return 'Hello, ' . $data['name'];
        }
    """
    folder = project / request.node.name.replace("[", "-").replace("]", "")
    return write(folder, {"src/index.php": source, "events/hello.json": '{"name": "world"}'})


def test_the_result_is_all_that_stdout_carries(phplayer: Phplayer, function: Path) -> None:
    done = phplayer("invoke", function, "--event", function / "events" / "hello.json")
    assert done.stdout == '"Hello, world"\n'
    assert "| log line\n" in done.stderr
    figures = done.stderr.splitlines()[-1]
    fields = dict(field.split(": ", 1) for field in figures.split("  "))
    assert list(fields) == [
        "REPORT RequestId",
        "Duration",
        "Billed Duration",
        "Memory Size",
        "Max Memory Used",
        "Init Duration",
    ]
    assert fields["Memory Size"] == "1024 MB"
    assert 5 < int(fields["Max Memory Used"].removesuffix(" MB")) < 100


def test_events_are_served_in_order_from_the_folder_itself(phplayer: Phplayer, function: Path) -> None:
    done = phplayer(
        "invoke",
        "--event",
        "events/hello.json",
        "--payload",
        '{"name": "a"}',
        "--payload",
        '{"name": "b"}',
        cwd=function,
    )
    assert done.stdout.splitlines() == ['"Hello, world"', '"Hello, a"', '"Hello, b"']
    assert done.stderr.count("Init Duration: ") == 1
    assert done.stderr.count("REPORT ") == 3


def test_a_stream_tells_when_its_first_byte_came(phplayer: Phplayer, function: Path) -> None:
    write(function, {"stream.php": "return function () { yield 'first '; yield 'second'; };"})
    done = phplayer("invoke", function, "--handler", "stream.php")
    assert done.stdout == "first second\n"
    assert re.search(r"^Streamed: the first byte came after \d+\.\d\d ms$", done.stderr, re.MULTILINE)
    (result,) = json.loads(phplayer("invoke", function, "--handler", "stream.php", "--json").stdout)["results"]
    assert (result["payload_text"], result["streamed"]) == ("first second", True)
    assert 0 < result["first_byte_ms"] <= result["duration_ms"]
    plain = phplayer("invoke", function, "--payload", '{"name": "x"}')
    assert "Streamed" not in plain.stderr


@pytest.mark.parametrize(
    ("streamed", "text"),
    [("'NaN'", "NaN"), ("str_repeat('[', 5000)", "[" * 5000), (r'"\xff"', "\ufffd"), ("''", "")],
)
def test_json_holds_an_answer_that_is_none_as_text(
    phplayer: Phplayer, function: Path, streamed: str, text: str
) -> None:
    write(function, {"stream.php": f"return function () {{ yield {streamed}; }};"})
    done = phplayer("invoke", function, "--handler", "stream.php", "--json")
    assert "NaN," not in done.stdout, "which would not be JSON"
    (result,) = json.loads(done.stdout)["results"]
    assert (result["payload"], result["payload_text"]) == (None, text)


def test_json_holds_everything(phplayer: Phplayer, function: Path) -> None:
    done = phplayer("invoke", function, "--payload", '{"name": "x"}', "--json")
    document = json.loads(done.stdout)
    (result,) = document["results"]
    assert document["schema_version"] == 1
    assert result["payload"] == "Hello, x"
    assert result["logs"] == "log line\n"
    assert result["error"] is None
    assert done.stderr == ""


def test_a_failing_function_exits_with_9_and_shows_where(phplayer: Phplayer, function: Path) -> None:
    done = phplayer("invoke", function, "--payload", '{"do": "throw"}', check=False)
    assert done.returncode == 9
    assert done.stdout == ""
    assert "error: DomainException: not today" in done.stderr
    assert "/var/task/src/index.php:4 index" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_among_events_is_counted_and_the_others_are_served(phplayer: Phplayer, function: Path) -> None:
    events = ["--payload", '{"do": "throw"}', "--payload", '{"name": "x"}']
    done = phplayer("invoke", function, *events, check=False)
    assert done.returncode == 9
    assert done.stdout == '"Hello, x"\n'
    assert "1 of 2 events failed" in done.stderr
    document = json.loads(phplayer("invoke", function, *events, "--json", check=False).stdout)
    assert [result["error"] and result["error"]["type"] for result in document["results"]] == ["DomainException", None]
    assert document["error"]["exit_code"] == 9


def test_a_handler_that_is_not_there_is_named(phplayer: Phplayer, function: Path) -> None:
    done = phplayer("invoke", function, "--handler", "src/index.missing", check=False)
    assert done.returncode == 9
    assert "looks for function missing() in /var/task/src/index.php, which does not define it" in done.stderr


def test_the_templates_handler_is_used(phplayer: Phplayer, function: Path) -> None:
    write(
        function,
        {"other.php": "return fn () => 'other';", "template.yaml": "Resources:\n  A:\n    Handler: other.php # x\n"},
    )
    assert phplayer("invoke", function).stdout == '"other"\n'


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--payload", '{"name": }'], 2, "--payload is not JSON: Expecting value at line 1, column 10."),
        (["--event", "broken.json"], 2, "broken.json is not JSON: Expecting property name"),
        (["--event", "missing.json"], 2, "The event missing.json cannot be read: No such file or directory."),
        (["nowhere"], 2, "There is no function folder "),
        (["--timeout", "0"], 2, "--timeout"),
        (["--memory", "64"], 2, "--memory"),
        (["--env", "NAME"], 2, "--env NAME is not NAME=VALUE."),
        (["--client-context", "[]"], 2, "--client-context is not a JSON object."),
        (["--layer", "missing.zip"], 2, "The layer missing.zip cannot be read: No such file or directory."),
    ],
)
def test_bad_input_gets_one_sentence_and_a_remedy(
    phplayer: Phplayer, function: Path, arguments: list[str], code: int, message: str
) -> None:
    (function / "broken.json").write_text('{\n  "name": "x",\n}')
    done = phplayer("invoke", *arguments, cwd=function, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert "fix: " in done.stderr
    assert done.stdout == ""


def test_memory_variables_and_client_context_arrive(phplayer: Phplayer, function: Path) -> None:
    write(
        function,
        {
            "all.php": """
                return fn ($data, $context) => [
                    $data, getenv('GREETING'), $context->memoryMb, $context->clientContext, file_get_contents('/opt/x'),
                ];
            """
        },
    )
    with zipfile.ZipFile(function / "further.zip", "w") as archive:
        archive.writestr("x", "from a layer")
    done = phplayer(
        *("invoke", function, "--handler", "all.php", "--payload", "1", "--payload", "2", "--repeat", "2"),
        *("--memory", "512", "--env", "GREETING=a=b", "--client-context", '{"custom": {"a": 1}}'),
        *("--layer", function / "further.zip"),
    )
    rest = ["a=b", 512, {"custom": {"a": 1}}, "from a layer"]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[n, *rest] for n in (1, 2, 1, 2)]


def test_a_folder_of_any_name_and_words_of_any_bytes(phplayer: Phplayer, function: Path) -> None:
    folder = write(
        function / "ünï fn", {"src/index.php": "function index($n, $context) { return [$n, $context->functionName]; }"}
    )
    assert json.loads(phplayer("invoke", folder, "--payload", '"ü"').stdout) == ["ü", "n-fn"]
    done = phplayer("invoke", folder, "--payload", os.fsdecode(b'"\xff"'), check=False)
    assert done.returncode == 2
    assert "error: --payload is not JSON: byte 0xff at line 1, column 2 is not UTF-8." in done.stderr


def test_a_folder_that_is_not_there_is_told_first(phplayer: Phplayer, tmp_path: Path) -> None:
    done = phplayer("invoke", tmp_path / "nowhere", check=False)
    assert done.returncode == 2
    assert f"error: There is no function folder {tmp_path}/nowhere." in done.stderr


def test_before_build_it_says_to_build(phplayer: Phplayer, tmp_path: Path) -> None:
    done = phplayer("invoke", tmp_path, check=False)
    assert done.returncode == 3
    assert "phplayer build" in done.stderr


def _sleeping(function: Path, *options: str) -> subprocess.Popen[str]:
    """An invoke whose function sleeps."""
    process = subprocess.Popen(
        [str(SCRIPTS / "phplayer"), "invoke", str(function), "--timeout", "300", *options],
        env={**os.environ, "PHPLAYER_CACHE": str(cache_folder())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "| sleeping\n"
    return process


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, -3), (signal.SIGKILL, -9)],
)
def test_nothing_is_left_whatever_ends_it(function: Path, number: signal.Signals, code: int) -> None:
    process = _sleeping(function, "--payload", '{"do": "sleep"}')
    _end(process, number, code, function)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_nothing_is_left_of_a_command_either(function: Path, number: signal.Signals, code: int) -> None:
    bootstrap.write(BootstrapMode.CONSOLE, function / "layer")
    with zipfile.ZipFile(function / "layer.zip", "w") as archive:
        for path in (function / "layer").rglob("*"):
            archive.write(path, path.relative_to(function / "layer"))
    shutil.rmtree(function / "layer")
    write(function, {"bin/console": '<?php echo "sleeping\\n"; sleep(321);'})
    process = _sleeping(function, "--layer", str(function / "layer.zip"), "--payload", '"sleep"')
    _end(process, number, code, function)


def _end(process: subprocess.Popen[str], number: signal.Signals, code: int, function: Path) -> None:
    assert len(living_in(function)) >= 3, "the two of the sandbox, and PHP"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    deadline = time.monotonic() + 60
    while (left := living_in(function)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _as_ordinary_user(*arguments: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run phplayer as nobody where we are root; it may read what root may (the interpreter), and no more."""
    command = [str(SCRIPTS / "phplayer"), *map(str, arguments)]
    cache.mkdir()
    if os.geteuid() == 0:
        os.chown(cache, 65534, 65534)
        reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *reading, "--no-new-privs", *command]
    environment = {**os.environ, "PHPLAYER_CACHE": str(cache)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_ordinary_user_can_invoke(built: Built, open_folder: Path) -> None:
    write(open_folder / "fn", {"src/index.php": "function index($data) { return 'Hello, ' . $data['name']; }"})
    (open_folder / "dist").mkdir()
    (open_folder / "dist" / built.dist.name).symlink_to(built.dist)
    (open_folder / "phplayer.toml").touch()
    payload = '{"name": "nobody"}'
    done = _as_ordinary_user("invoke", open_folder / "fn", "--payload", payload, cache=open_folder / "cache")
    assert (done.returncode, done.stdout) == (0, '"Hello, nobody"\n'), done.stderr


def test_where_namespaces_are_forbidden_it_says_what_to_do(function: Path) -> None:
    """A user namespace may limit what is made inside it: here, no further namespaces of any kind."""
    limit = "for f in /proc/sys/user/max_user_namespaces /proc/sys/user/max_mnt_namespaces; do echo 0 > $f; done"
    invoke = f"exec {SCRIPTS / 'phplayer'} invoke {function}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", f"{limit}; {invoke}"],
        env={**os.environ, "PHPLAYER_CACHE": str(cache_folder())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "does not allow the namespaces" in done.stderr
    assert "fix: " in done.stderr
