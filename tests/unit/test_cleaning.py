from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phplayer import cache, cleaning, cli
from phplayer.errors import UsageError

HOUR = 3600.0


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with something of everything; the compiled PHPs a to c were used 3, 2 and 1 hours ago."""
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    monkeypatch.chdir(tmp_path)
    root = cache.root()
    for age, key in ((3, "a" * 64), (2, "b" * 64), (1, "c" * 64)):
        put(root / "builds" / key / "tree" / "bin" / "php", 100_000, age=age * HOUR)
        os.utime(root / "builds" / key, (time.time() - age * HOUR,) * 2)
    put(root / "layers" / ("d" * 64) / "bootstrap", 10_000, age=0)
    os.utime(root / "layers" / ("d" * 64), (time.time() - 5 * HOUR,) * 2)
    put(root / "sources" / "php-8.4.24.tar.xz", 50_000, age=40 * HOUR)
    put(root / "ccache" / "0" / "object", 20_000, age=0)
    put(root / "work" / ("e" * 16) / "php" / "configure", 30_000, age=0)
    put(root / "work" / f"tree-{dead_process()}-x" / "bin", 30_000, age=0)
    put(root / "work" / f"tree-{os.getpid()}-y" / "bin", 30_000, age=0)
    put(root / "logs" / "new.log", 1000, age=HOUR)
    put(root / "logs" / "old.log", 1000, age=30 * HOUR)
    (root / "builds" / ".partial-x").mkdir()
    return root


def put(path: Path, size: int, *, age: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    os.utime(path, (time.time() - age,) * 2)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_are_what_no_living_build_owns(kept: Path) -> None:
    found = cleaning.leftovers()
    assert {item.path.name[:6] for item in found} == {"eeeeee", "old.lo", f"tree-{dead(kept)}"[:6]}
    assert cleaning.remove(found) == found
    assert [path.name for path in (kept / "work").iterdir()] == [f"tree-{os.getpid()}-y"]
    assert [path.name for path in (kept / "logs").iterdir()] == ["new.log"]


def dead(root: Path) -> str:
    return next(path.name.split("-")[1] for path in (root / "work").glob("tree-*-x"))


def test_a_workspace_in_which_something_compiles_is_left_alone(kept: Path) -> None:
    with cache.lock("build-" + "e" * 16):
        gone = cleaning.remove(cleaning.leftovers())
    assert (kept / "work" / ("e" * 16) / "php" / "configure").is_file()
    assert "eeeeee" not in {item.path.name[:6] for item in gone}


def test_a_compiled_php_that_is_being_copied_is_left_alone(kept: Path) -> None:
    with cache.lock(cache.use_lock("a" * 64)):
        cleaning.remove(cleaning.choose(everything=True))
    assert [path.name[0] for path in (kept / "builds").iterdir() if path.name != ".partial-x"] == ["a"]


def test_what_is_over_the_limit_goes_the_least_recently_used_first(kept: Path) -> None:
    total = sum(item.size for item in cleaning.kept())
    assert cleaning.over(total) == ()
    assert cleaning.over(0) == ()
    assert [item.path.name[:3] for item in cleaning.over(total - 1)] == ["php"]
    assert [item.path.name[:3] for item in cleaning.over(total - 160_000)] == ["php", "ddd", "aaa"]
    cache.touch(kept / "builds" / ("a" * 64))
    assert [item.path.name[:3] for item in cleaning.over(total - 160_000)] == ["php", "ddd", "bbb"]


def test_what_was_not_used_for_long_can_be_chosen(kept: Path) -> None:
    assert {item.path.name[:3] for item in cleaning.choose(older_than=2.5 * HOUR)} >= {"aaa", "ddd", "php"}
    assert "bbb" not in {item.path.name[:3] for item in cleaning.choose(older_than=2.5 * HOUR)}


def test_a_layer_that_a_function_may_be_running_with_stays(kept: Path) -> None:
    cache.touch(kept / "layers" / ("d" * 64))
    assert "unpacked layer" not in {item.kind for item in cleaning.choose(everything=True)}


def test_folders_without_write_permission_go_too(kept: Path) -> None:
    """As an ordinary user, whom permissions bind."""
    inner = kept / "builds" / ("a" * 64) / "tree"
    (inner / "bin").chmod(0o500)
    inner.chmod(0o500)
    code = "from phplayer import cleaning; cleaning.remove(cleaning.choose(everything=True))"
    command: list[str | Path] = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *command]
    subprocess.run(command, check=True, cwd=kept)
    assert [path.name for path in (kept / "builds").iterdir()] == [".partial-x"]


def test_spans() -> None:
    assert cleaning.parse_span("30d") == 30 * 24 * HOUR
    assert cleaning.parse_span("45m") == 0.75 * HOUR
    with pytest.raises(UsageError, match="is no span"):
        cleaning.parse_span("30")


def test_the_command_says_what_it_would_do_and_does_it(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["clean", "--all", "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["dry_run"] is True
    assert (kept / "builds" / ("a" * 64)).is_dir()
    assert cli.main(["clean", "--all"]) == 0
    said = capsys.readouterr()
    assert "compiled part" in said.out
    assert " freed." in said.err
    assert {path.name for path in (kept / "builds").iterdir()} == {".partial-x"}
    assert not (kept / "ccache").exists()
    assert cli.main(["clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == []


def test_the_limit_of_the_settings_counts(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("phplayer.toml").write_text('[cache]\nmax_size = "150 kB"\n')
    assert cli.main(["clean", "--json"]) == 0
    assert [path.name[0] for path in sorted((kept / "builds").iterdir())] == [".", "c"]
    capsys.readouterr()
    Path("phplayer.toml").write_text('[cache]\nmax_size = "much"\n')
    assert cli.main(["clean"]) == 2
    assert "cache.max_size" in capsys.readouterr().err
