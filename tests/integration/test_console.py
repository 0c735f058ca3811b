"""Console mode: commands of a project's CLI program, run as processes."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phplayer.runtime import BootstrapMode
from tests.integration.fake_api import FakeApi, Ran
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Built

CONSOLE = """
    switch ($argv[1] ?? '') {
        case 'words': echo json_encode(array_slice($argv, 2)), PHP_EOL; break;
        case 'fail': fwrite(STDERR, "it failed\\n"); exit(3);
        case 'where': echo getcwd(), ' ', PHP_SAPI, ' ', stream_get_contents(STDIN); break;
        case 'much': for ($i = 0; $i < 20000; ++$i) echo "line {$i} \\u{20ac}\\n"; break;
        case 'binary': echo "\\xff\\x00end"; break;
        case 'memory': for ($a = [];;) { $a[] = str_repeat('x', 1 << 20); }
        case 'slow': echo "begun\\n"; pcntl_async_signals(true);
            pcntl_signal(SIGTERM, function () { echo "told to end\\n"; exit(0); }); while (true) { usleep(1000); }
        case 'deaf': pcntl_signal(SIGTERM, SIG_IGN); echo "begun\\n"; while (true) { usleep(1000); }
        case 'signal': posix_kill(getmypid(), SIGKILL);
        case 'background': proc_open(['sleep', '10'], [0 => ['file', '/dev/null', 'r']], $pipes);
            echo "left one behind"; posix_kill(getmypid(), SIGKILL);
    }
"""


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt", mode=BootstrapMode.CONSOLE)


def run(
    opt: Path,
    folder: Path,
    *events: Any,
    program: str = "bin/console",
    handler: str = "none",
    environment: Mapping[str, str] | None = None,
    timeout: float = 300.0,
) -> Ran:
    write(folder, {program: f"<?php {CONSOLE}"})
    return FakeApi(events=events, timeout=timeout).run(opt, folder, handler=handler, environment=environment)


@pytest.mark.parametrize(
    ("program", "handler", "environment"),
    [
        ("bin/console", "index", {}),
        ("artisan", "index", {}),
        ("tools/run.php", "tools/run.php", {}),
        ("tools/run.php", "index", {"PHPLAYER_CONSOLE": "tools/run.php"}),
    ],
)
def test_the_projects_program_is_found(
    opt: Path, tmp_path: Path, program: str, handler: str, environment: dict[str, str]
) -> None:
    ran = run(opt, tmp_path, {"command": "words a 'b c'"}, program=program, handler=handler, environment=environment)
    assert ran.told[0].json == {"exitCode": 0, "output": '["a","b c"]\n'}, ran.log


def test_a_project_without_a_program_is_told_what_was_looked_for(opt: Path, tmp_path: Path) -> None:
    ran = FakeApi(events=[]).run(opt, tmp_path, handler="console.php")
    assert ran.told[0].path == "init/error"
    for name in ("console.php", "bin/console", "artisan"):
        assert f"{tmp_path}/{name}" in ran.told[0].json["errorMessage"]


def test_commands_come_as_text_or_as_words_and_go_one_after_the_other(opt: Path, tmp_path: Path) -> None:
    events = ["words 1 $HOME *", {"command": ["words", "a b", "$(id)"]}, ["words"], {"command": "fail"}, "where"]
    ran = run(opt, tmp_path, *events)
    text, words, bare, failed, where = (told.json for told in ran.told)
    assert json.loads(text["output"]) == ["1", "$HOME", "*"]
    assert json.loads(words["output"]) == ["a b", "$(id)"]
    assert json.loads(bare["output"]) == []
    assert failed == {"exitCode": 3, "output": "it failed\n"}
    assert where["output"] == f"{tmp_path} cli "
    assert "it failed\n" in ran.log
    assert ran.code == 0


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("words 'open", "single quote at character 7"),
        ({"command": 'words "open'}, "double quote at character 7"),
        ("words \\", "ends with a backslash"),
        ("words \0", "NUL byte"),
        ({"command": ["words", "\0"]}, "NUL byte"),
        ({"other": 1}, "names no command"),
        ({"command": {"a": 1}}, "names no command"),
        ([1], "names no command"),
        (None, "names no command"),
    ],
)
def test_what_is_no_command_is_an_error(opt: Path, tmp_path: Path, event: Any, message: str) -> None:
    ran = run(opt, tmp_path, event)
    assert ran.told[0].path == "invocation/0/error"
    assert message in ran.told[0].json["errorMessage"]


def test_output_is_bounded_and_its_end_kept(opt: Path, tmp_path: Path) -> None:
    ran = run(opt, tmp_path, "much", "binary", environment={"PHPLAYER_CONSOLE_OUTPUT_BYTES": "1000"})
    whole = "".join(f"line {number} \u20ac\n" for number in range(20000))
    output = ran.told[0].json["output"]
    mark, _, kept = output.partition("\n")
    assert whole.endswith(kept)
    assert 990 <= len(kept.encode()) <= 1000
    assert mark == f"[{len(whole.encode()) - len(kept.encode())} bytes cut]"
    assert whole in ran.log, "the log has all of it"
    assert ran.told[1].json["output"] == "\ufffd\0end"


def test_a_command_that_takes_too_long_is_told_to_end(opt: Path, tmp_path: Path) -> None:
    # Six seconds for the command, three more to end, then it would be killed.
    margin = {"PHPLAYER_DEADLINE_MARGIN_MS": "2000"}
    ran = run(opt, tmp_path, "slow", "words", timeout=12.0, environment=margin)
    slow, after = ran.told
    assert slow.json["errorType"] == "Phplayer\\CommandTimedOut"
    assert "`console slow` was still running" in slow.json["errorMessage"]
    assert "begun\ntold to end" in slow.json["errorMessage"]
    assert after.json["exitCode"] == 0


def test_a_command_that_will_not_end_is_killed(opt: Path, tmp_path: Path) -> None:
    ran = run(opt, tmp_path, "deaf", "words", timeout=4.0)
    deaf, after = ran.told
    # The alarm rings where a busy machine does not let the watch come first.
    assert deaf.json["errorType"] in {"Phplayer\\CommandTimedOut", "Function.DeadlineNear"}
    assert after.path == "invocation/1/response"


def test_output_goes_to_the_log_as_it_comes(opt: Path, tmp_path: Path) -> None:
    program = """<?php
        echo "begun\\n";
        $log = 'cat /proc/' . posix_getppid() . '/fd/1'; // a file that is deleted: PHP itself would look for its name
        for ($end = time() + 60; !str_contains(shell_exec($log), "begun\\n") && time() < $end;) usleep(1000);
        echo str_contains(shell_exec($log), "begun\\n") ? 'seen' : 'not seen';
    """
    ran = FakeApi(events=["wait"]).run(opt, write(tmp_path, {"artisan": program}))
    assert ran.told[0].json == {"exitCode": 0, "output": "begun\nseen"}


def test_commands_that_die_are_told_by_their_exit_code(opt: Path, tmp_path: Path) -> None:
    limits = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}
    ran = run(opt, tmp_path, "memory", "signal", "background", environment=limits)
    memory, killed, background = (told.json for told in ran.told)
    assert memory["exitCode"] == 255
    assert "Allowed memory size" in memory["output"]
    assert killed["exitCode"] == 137
    assert background == {"exitCode": 137, "output": "left one behind"}


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=6)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(lists=st.lists(WORDS, min_size=60, max_size=60))
def test_words_are_split_as_a_shell_would(opt: Path, tmp_path: Path, lists: list[list[str]]) -> None:
    """What shlex quotes comes back; many at once, as each PHP takes a moment to start."""
    lines = [shlex.join(words) for words in lists]
    assert split(opt, tmp_path, lines) == lists


LINES = st.text(st.sampled_from(list("ab \t\n'\"\\$`;|&*é")), max_size=12)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(LINES, min_size=100, max_size=100))
def test_any_line_is_split_as_by_shlex_or_refused_with_it(opt: Path, tmp_path: Path, lines: list[str]) -> None:
    # shlex keeps the backslash before a line end, and before $ and ` in double quotes; a shell does not.
    comparable = [line for line in lines if "\\\n" not in line and "\\$" not in line and "\\`" not in line]
    expected: list[list[str] | None] = []
    for line in comparable:
        try:
            expected.append(shlex.split(line))
        except ValueError:
            expected.append(None)
    assert split(opt, tmp_path, comparable) == expected


def split(opt: Path, folder: Path, lines: list[str]) -> Any:
    probe = folder / "probe.php"
    probe.write_text(
        "<?php require $argv[1];"
        "echo json_encode(array_map(function (string $line) {"
        "  try { return Phplayer\\Words::split($line); } catch (Phplayer\\BadCommand) { return null; }"
        "}, json_decode(stream_get_contents(STDIN))));"
    )
    done = subprocess.run(
        [opt / "bin" / "php", "-n", probe, opt / "phplayer" / "Words.php"],
        input=json.dumps(lines).encode(),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)
