"""OPcache in the runtime: what can be asked for, and why no layer comes with a primed file cache."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.functions import layer, serve, write

if TYPE_CHECKING:
    from tests.conftest import Built

REPORT = """
    function index() {
        $status = opcache_get_status();
        return [$status['opcache_enabled'] ?? false, $status['preload_statistics']['classes'] ?? []];
    }
"""
IN_TMP = """
    opcache.enable_cli = 1
    opcache.file_cache = /tmp
    opcache.file_cache_only = 1
    opcache.file_update_protection = 0
"""
LIB_IN_TMP = "glob('/tmp/*/var/task/lib/answer.php.bin')"
LAYER_TIME = 315532800  # 1980-01-01, the time of every file in a layer archive


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def test_it_is_loaded_and_off(opt: Path, tmp_path: Path) -> None:
    (result,) = serve(opt, write(tmp_path, {"src/index.php": REPORT}), {})
    assert json.loads(result.payload) == [False, []], result.logs


def test_preloading_works_on_request(opt: Path, tmp_path: Path) -> None:
    files = {
        "php/conf.d/opcache.ini": "opcache.enable_cli = 1\nopcache.preload = /var/task/preload.php\n",
        "preload.php": "opcache_compile_file(__DIR__ . '/src/Preloaded.php');",
        "src/Preloaded.php": "final class Preloaded {}",
        "src/index.php": REPORT,
    }
    (result,) = serve(opt, write(tmp_path, files), {})
    assert json.loads(result.payload) == [True, ["Preloaded"]], result.logs


def test_a_file_cache_that_cannot_be_written_keeps_php_from_starting(opt: Path, tmp_path: Path) -> None:
    """One primed at build time would lie in a layer, which is read-only: a PHP that takes it may have a use for one."""
    ini = "opcache.enable_cli = 1\nopcache.file_cache = /var/task/cache\nopcache.file_cache_only = 1\n"
    files = {
        "php/conf.d/opcache.ini": ini,
        "cache/primed.php": "",
        "src/index.php": "function index() { return 1; }",
    }
    (result,) = serve(opt, write(tmp_path, files), {})
    assert result.error is not None
    assert result.error.type == "Runtime.ExitError"
    assert "opcache.file_cache_only is set without a proper setting of opcache.file_cache" in result.logs


def test_a_link_in_tmp_leads_to_a_cache_that_cannot_be_written(opt: Path, tmp_path: Path) -> None:
    """So that could be overcome. The file changes in between, and nothing tells that its compiled code is stale."""
    files = {"php/conf.d/opcache.ini": IN_TMP, "lib/answer.php": "return 'first';"}
    priming = f"""
        function index() {{
            $answer = require '/var/task/lib/answer.php';
            $compiled = {LIB_IN_TMP}[0];
            return [$answer, explode('/', $compiled)[2], base64_encode(file_get_contents($compiled))];
        }}
    """
    (result,) = serve(opt, write(tmp_path / "priming", files | {"src/index.php": priming}), {})
    answer, system_id, compiled = json.loads(result.payload)
    assert answer == "first"
    reading = f"""
        function index() {{
            symlink('/var/task/primed', '/tmp/{system_id}/var/task/lib');
            return [require '/var/task/lib/answer.php', is_writable({LIB_IN_TMP}[0])];
        }}
    """
    files |= {"src/index.php": reading, "lib/answer.php": "return 'second';"}
    primed = write(tmp_path / "reading", files) / "primed"
    primed.mkdir()
    (primed / "answer.php.bin").write_bytes(base64.b64decode(compiled))
    (result,) = serve(opt, tmp_path / "reading", {})
    assert json.loads(result.payload) == ["first", False], result.logs


def test_in_tmp_it_serves_the_next_process_of_the_sandbox(opt: Path, tmp_path: Path) -> None:
    code = """
        function index() {
            static $calls = 0;
            is_file('/tmp/answer.php') || file_put_contents('/tmp/answer.php', "<?php return 'first';");
            $answer = require '/tmp/answer.php';
            file_put_contents('/tmp/answer.php', "<?php return 'second';");
            return [++$calls, $answer];
        }
    """
    files = {"php/conf.d/opcache.ini": IN_TMP, "src/index.php": code}
    results = serve(opt, write(tmp_path, files), {}, {}, environment={"PHPLAYER_MAX_INVOCATIONS": "1"})
    assert [json.loads(result.payload) for result in results] == [[1, "first"], [1, "first"]]


class Primer:
    """Runs a script by the real PHP, with a file cache and nothing else."""

    def __init__(self, built: Built, folder: Path) -> None:
        opcache = built.tree / "lib" / "php" / "extensions" / "opcache.so"
        self._php: list[str | Path] = [built.php, "-n", f"-dzend_extension={opcache}", "-dopcache.enable_cli=1"]
        self._folder = folder
        self.script = folder / "script.php"

    def write(self, code: str, *, time: int = LAYER_TIME) -> None:
        self.script.write_text(f"<?php {code}")
        os.utime(self.script, (time, time))

    def run(self, cache: str, *directives: str) -> str:
        """Return what the script prints."""
        place = self._folder / cache
        place.mkdir(exist_ok=True)
        ours = (f"opcache.file_cache={place}", "opcache.file_cache_only=1", "opcache.validate_timestamps=0")
        command = [*self._php, *(f"-d{each}" for each in (*ours, *directives)), self.script]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def primed(self, cache: str) -> Path:
        (compiled,) = (self._folder / cache).rglob("*.bin")
        return compiled


@pytest.fixture
def primer(built: Built, tmp_path: Path) -> Primer:
    return Primer(built, tmp_path)


def test_two_primings_of_a_file_differ(primer: Primer) -> None:
    """What lies between the fields in memory is written too, so that an archive would not be reproducible."""
    primer.write("final class Greeting { const A = 'a'; function say(int $n = 1) { return $n ? self::A : [1, 'b']; } }")
    primer.run("one")
    primer.run("other")
    one, other = primer.primed("one").read_bytes(), primer.primed("other").read_bytes()
    assert len(one) == len(other)
    assert one != other
    assert len(one) > 2 * primer.script.stat().st_size


def test_a_file_is_known_again_by_its_time_alone(primer: Primer) -> None:
    """All files in an archive have the same: stale code would be run even where files are looked at."""
    looking = "opcache.validate_timestamps=1"
    primer.write("echo 'first';")
    assert primer.run("cache", looking) == "first"
    primer.write("echo 'the second, which is longer';")
    assert primer.run("cache", looking) == "first"
    primer.write("echo 'third';", time=LAYER_TIME + 1)
    assert primer.run("cache", looking) == "third"


def test_code_of_another_php_is_not_run(primer: Primer) -> None:
    primer.write("echo 'first';")
    primer.run("cache")
    primer.write("echo 'second';")
    assert primer.run("cache") == "first"
    compiled = primer.primed("cache")
    (system_id,) = (primer.script.parent / "cache").iterdir()
    compiled.write_bytes(compiled.read_bytes().replace(system_id.name.encode(), b"0" * 32, 1))
    assert primer.run("cache") == "second"


def test_the_optimiser_puts_answers_of_the_machine_into_the_code(primer: Primer) -> None:
    """A function's own ini file would have no say in a layer's compiled code, unless that was left as it is written."""
    primer.write("echo ini_get('sys_temp_dir'), function_exists('gethostname') ? ' named' : ' nameless';")
    function = ("sys_temp_dir=/function", "disable_functions=gethostname")
    primer.run("optimised", "sys_temp_dir=/build")
    assert primer.run("optimised", *function) == "/build named"
    primer.run("as written", "sys_temp_dir=/build", "opcache.optimization_level=0")
    assert primer.run("as written", *function) == "/function nameless"
