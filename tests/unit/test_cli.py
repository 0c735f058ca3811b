"""The command line's own contract: streams, exit codes, JSON, and what start-up may load."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from phplayer import cli
from phplayer.cli.console import Console
from phplayer.errors import INTERRUPTED, BuildFailedError, PhplayerError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted, Warned
from tests.conftest import SCRIPTS


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "phplayer", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "100"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_and_version_are_results(tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    for command in ("init", "build", "publish", "new-function", "invoke", "doctor", "clean", "ci", "catalog"):
        assert command in shown.stdout
    assert run("--version", cwd=tmp_path).stdout.startswith("phplayer ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bild"], "Did you mean 'build'?"),
        (["build", "--phpp", "8.4"], "--phpp"),
        (["build", "--jobs", "many"], "--jobs"),
        (["build", "--php", "9.9"], "Unknown PHP version '9.9'"),
        (["build", "--extension", "curll"], "Did you mean 'curl'?"),
        (["build", "--source", "nowhere.tar.xz", "--extension", "minimal"], "There is no file"),
    ],
)
def test_a_mistake_is_one_sentence_with_a_remedy_and_exit_code_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run(*arguments, cwd=tmp_path, PHPLAYER_CACHE=str(tmp_path / "cache"))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "error: " in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_json_where_json_was_asked_for(tmp_path: Path) -> None:
    for arguments in (["bild", "--json"], ["build", "--json", "--php", "9.9"]):
        done = run(*arguments, cwd=tmp_path)
        document = json.loads(done.stdout)
        assert document["schema_version"] == 1
        assert document["error"]["exit_code"] == done.returncode == 2
        assert document["error"]["remedy"]
        assert done.stderr == ""


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in run("build", "--php", "9.9", "--debug", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (ZeroDivisionError("x"), 1),
        (BuildFailedError("x"), 5),
        (PhplayerError("x"), 1),
    ],
)
def test_the_boundary_turns_everything_into_an_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise raised

    monkeypatch.setattr("phplayer.settings.Settings.load", fail)
    assert cli.main(["build"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_a_full_disk_is_told_as_such(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(28, "No space left on device", "/cache/x")

    monkeypatch.setattr("phplayer.settings.Settings.load", fail)
    assert cli.main(["build"]) == 4
    assert "No space left on device: /cache/x" in (said := capsys.readouterr().err)
    assert "PHPLAYER_CACHE" in said


def test_init_writes_what_build_reads(tmp_path: Path) -> None:
    done = run("init", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "phplayer.toml\n"
    assert "phplayer build" in done.stderr
    again = run("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_start_up_loads_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    code = (
        "import sys; from phplayer.cli import main; code = main(['build', '--help']); "
        "heavy = {'boto3', 'docker', 'httpx', 'aiohttp', 'jinja2', 'elftools', 'msgspec'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def console(monkeypatch: pytest.MonkeyPatch) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return Console(), stream


def test_ctrl_c_while_it_is_loaded_ends_it_as_later() -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from phplayer.__main__ import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


def test_off_a_terminal_phases_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    made, stream = console(monkeypatch)
    made.listen(PhaseStarted(subject="php", phase="compile"))
    made.listen(PhaseAdvanced(subject="php", phase="compile", done=1, total=9, unit="files"))
    made.listen(PhaseFinished(subject="php", phase="compile", seconds=61.23, outcome="9 files compiled"))
    made.listen(Warned(message="[careful]"))
    assert stream.getvalue() == "php compile: 9 files compiled  61.2 s\nwarning: [careful]\n"


def test_an_error_shows_details_remedy_and_log_in_this_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, stream = console(monkeypatch)
    made.error(BuildFailedError("It broke.", remedy="Mend [it].", log=tmp_path / "build.log", details=("last line",)))
    assert stream.getvalue() == f"  last line\nerror: It broke.\n  fix: Mend [it].\n  log: {tmp_path}/build.log\n"


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >/dev/null", 0), (">/dev/full", 4)])
@pytest.mark.parametrize("form", ["", " --json"])
def test_streams_may_be_closed_or_full(redirection: str, code: int, form: str, tmp_path: Path) -> None:
    line = f"set -o pipefail; '{SCRIPTS / 'phplayer'}' catalog extensions{form} {redirection}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert ("No space left" in done.stderr) is (code == 4), done.stderr
