"""What is written into a layer tree as its bootstrap."""

from __future__ import annotations

from pathlib import Path

import pytest

from phplayer import bootstrap, resources
from phplayer.runtime import BootstrapMode


@pytest.mark.parametrize("mode", BootstrapMode)
def test_the_entry_point_is_executable_and_starts_the_layers_php(tmp_path: Path, mode: BootstrapMode) -> None:
    bootstrap.write(mode, tmp_path)
    entry = tmp_path / "bootstrap"
    assert entry.read_text().startswith("#!/opt/bin/php\n<?php\n")
    assert entry.stat().st_mode & 0o777 == 0o755
    others = [path for path in tmp_path.rglob("*") if path.is_file() and path != entry]
    assert others
    assert {path.stat().st_mode & 0o777 for path in others} == {0o644}


@pytest.mark.parametrize("mode", BootstrapMode)
def test_all_php_is_strict_and_without_placeholders(tmp_path: Path, mode: BootstrapMode) -> None:
    bootstrap.write(mode, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "declare(strict_types=1);" in text, path
            assert "{%" not in text, path


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    bootstrap.write(BootstrapMode.FUNCTION, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    bootstrap.write(BootstrapMode.FUNCTION, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_digest_is_of_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = bootstrap.digest(BootstrapMode.FUNCTION)
    assert shipped == bootstrap.digest(BootstrapMode.FUNCTION)
    bootstrap.write(BootstrapMode.FUNCTION, tmp_path / "function")
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(resources, "template", lambda *parts: tmp_path / parts[-1])
    assert bootstrap.digest(BootstrapMode.FUNCTION) == shipped, "what was written digests to the same"
    (tmp_path / "function" / "leftover.php~").write_text("of an editor")
    assert bootstrap.digest(BootstrapMode.FUNCTION) == shipped
    (tmp_path / "function" / "phplayer" / "More.php").write_text("<?php")
    assert bootstrap.digest(BootstrapMode.FUNCTION) != shipped
