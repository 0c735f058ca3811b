"""``phplayer catalog``, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phplayer import catalog, cli


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a project nor a user's catalogue decides what is shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHPLAYER_DATA", str(tmp_path / "data"))


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.main(["catalog", *arguments, "--json"]) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_all_lists_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    known = catalog.load()
    shown = document(capsys)
    assert [item["version"] for item in shown["versions"]] == [str(release.version) for release in known.releases]
    assert {item["name"] for item in shown["extensions"]} == set(known.extensions)
    assert [item["name"] for item in shown["targets"]] == list(known.targets)
    assert {item["name"]: tuple(item["extensions"]) for item in shown["sets"]} == dict(known.sets)
    assert [item["version"] for item in shown["versions"] if item["default"]] == [
        str(known.release(branch).version) for branch in known.branches
    ]
    assert {item["version"] for item in shown["versions"] if item["tested"]} == {
        str(release.version) for release in known.releases if release.tested
    }


def test_an_extension_tells_where_it_is_from_and_what_it_brings(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {item["name"]: item for item in document(capsys, "extensions")["extensions"]}
    assert shown["redis"]["source"] == "pecl"
    assert shown["redis"]["requires"] == ["session"]
    assert shown["curl"]["source"] == "php"
    assert shown["curl"]["sets"] == ["default", "full"]
    assert shown["imap"]["until"] == "8.3"
    assert shown["event"]["version"] is None
    assert shown["event"]["size"] is None
    assert shown["curl"]["size"]["libraries"] > shown["curl"]["size"]["code"] > 0


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["versions"], ["means 8.4", "tested", "until 2028-12-31"]),
        (
            ["extensions"],
            ["PECL 6.2.0", "PECL, source to be given", "up to 8.3", "always in", "what is always in"],
        ),
        (["targets"], ["provided.al2023"]),
        ([], ["means 8.4", "PECL 6.2.0", "provided.al2023"]),
    ],
)
def test_tables_for_people(capsys: pytest.CaptureFixture[str], arguments: list[str], lines: list[str]) -> None:
    assert cli.main(["catalog", *arguments]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert all(line in shown.out for line in lines)


def test_what_the_project_pins_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "phplayer.toml").write_text(f'[php]\nversion = "8.4.99"\nsha256 = "{"ab" * 32}"\n')
    shown = {item["version"]: item for item in document(capsys, "versions")["versions"]}
    assert shown["8.4.99"]["from"] == "php.sha256"


def test_a_word_that_is_no_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "versoins"]) == 2
    assert "versoins" in capsys.readouterr().err
