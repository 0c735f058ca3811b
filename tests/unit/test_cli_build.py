"""``phplayer build`` as far as it goes without compiling: what it adds, warns of and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phplayer import cli
from phplayer.runtime import Release

BAKE = ("build", "--print-bake", "-e", "minimal")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without anything, of whose catalogue nobody learned more."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PHPLAYER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    return folder


def requires(project: Path, manifest: dict[str, Any], *packages: dict[str, Any], dev: Any = ()) -> None:
    lock = {"packages": packages, "packages-dev": dev}
    (project / "composer.json").write_text(json.dumps(manifest))
    (project / "composer.lock").write_text(json.dumps(lock))


def package(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0.0", **fields}


def test_what_composer_requires_is_built_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requires(
        project,
        {"require": {"ext-zend-opcache": "*", "ext-bcmath": "*"}, "require-dev": {"ext-pcov": "*"}},
        package("a/one", require={"ext-soap": "*", "ext-mbstring": "*", "ext-ctype": "*"}),
        package("a/polyfill", provide={"ext-mbstring": "*"}, replace={"ext-ctype": "*"}),
        dev=[package("dev/tool", require={"ext-xdebug": "*"})],
    )
    assert cli.main(list(BAKE)) == 0
    assert "--enable-soap" not in capsys.readouterr().out
    assert cli.main([*BAKE, "--from-composer"]) == 0
    shown = capsys.readouterr()
    assert "Composer requires: bcmath, opcache, soap." in shown.err
    assert "--enable-soap" in shown.out
    assert "--enable-bcmath" in shown.out
    assert "--enable-mbstring" not in shown.out
    assert "xdebug" not in shown.out


@pytest.mark.parametrize(
    ("required", "said"),
    [
        (("ext-nonesuch",), "ext-nonesuch (required by a/one)"),
        (("ext-pcov", "ext-xdebug"), "The extensions pcov and xdebug cannot be in the same PHP."),
        (("ext-opentelemetry",), "--extension-source opentelemetry=FILE"),
        (("ext-imap",), "has no extension 'imap'"),
    ],
)
def test_what_composer_requires_and_cannot_be_built_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], required: tuple[str, ...], said: str
) -> None:
    requires(project, {}, package("a/one", require=dict.fromkeys(required, "*")))
    assert cli.main([*BAKE, "--from-composer", "--php", "8.4"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_a_composer_project_nothing_can_be_asked_of_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*BAKE, "--from-composer"]) == 2
    said = capsys.readouterr().err
    assert f"{project} has no composer.json." in said
    assert "fix: " in said


def test_the_end_of_a_branch_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Release, "support_warning", lambda release, _today: f"PHP {release.version.branch} ends.")
    assert cli.main(["build", "--php", "8.4", "--source", "nowhere", "-e", "minimal"]) == 2
    assert capsys.readouterr().err.count("PHP 8.4 ends.") == 1
