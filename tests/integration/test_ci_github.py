"""The workflow that `phplayer ci github` writes, read by actionlint as GitHub would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phplayer import ci
from phplayer.errors import UsageError
from phplayer.settings import Settings
from tests.conftest import Phplayer

SETTINGS = """
[php]
version = ["8.3", "8.4"]
[publish]
regions = ["eu-central-1", "us-east-1"]
"""
OWN = {"PHPLAYER_PHP_VERSION": ""}  # the project says which


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "phplayer.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def lint(tools: Callable[[str], Path]) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    def run(workflow: Path) -> subprocess.CompletedProcess[str]:
        # Its own shellcheck and pyflakes checks need programs that it finds on PATH, or not.
        command: list[str | Path] = [tools("actionlint") / "actionlint", "-no-color", workflow]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_actionlint_finds_nothing(
    project: Path, phplayer: Phplayer, lint: Callable[[Path], subprocess.CompletedProcess[str]]
) -> None:
    done = phplayer("ci", "github", cwd=project, env=OWN)
    assert done.stdout == ".github/workflows/phplayer.yml\n"
    workflow = project / ".github" / "workflows" / "phplayer.yml"
    linted = lint(workflow)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
    workflow.write_text(workflow.read_text().replace("matrix.runner", "matrix.runer"))
    assert 'property "runer" is not defined' in lint(workflow).stdout


def test_each_architecture_has_a_machine_of_its_own(project: Path, phplayer: Phplayer) -> None:
    phplayer("ci", "github", cwd=project, env=OWN)
    text = (project / ".github" / "workflows" / "phplayer.yml").read_text()
    rows = [row.split("\n") for row in text.split("- identifier: ")[1:]]
    machines = {row[0]: row[3].split(": ")[1] for row in rows}
    assert machines == {
        "php83-al2023-x86_64": "ubuntu-24.04",
        "php83-al2023-arm64": "ubuntu-24.04-arm",
        "php84-al2023-x86_64": "ubuntu-24.04",
        "php84-al2023-arm64": "ubuntu-24.04-arm",
    }


def test_only_publishing_may_ask_for_an_identity_and_no_key_is_kept(project: Path, phplayer: Phplayer) -> None:
    phplayer("ci", "github", cwd=project, env=OWN)
    text = (project / ".github" / "workflows" / "phplayer.yml").read_text()
    before, after = text.split("\n  publish:\n")
    assert "permissions:\n  contents: read\n" in before
    assert "id-token" not in before
    assert "id-token: write" in after
    assert "role-to-assume" in after
    assert "aws-region: eu-central-1" in after
    assert "secrets." not in text
    assert "aws-access-key" not in text
    for line in text.splitlines():
        if "uses:" in line:
            assert line.rsplit("@v", 1)[1].count(".") == 2, f"not pinned: {line}"


def test_a_workflow_that_is_there_is_replaced_only_on_demand(project: Path, phplayer: Phplayer) -> None:
    phplayer("ci", "github", cwd=project, env=OWN)
    phplayer("ci", "github", cwd=project, env=OWN)  # the same again is no change
    refused = phplayer("ci", "github", "--only", "*-arm64", cwd=project, env=OWN, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--force" in refused.stderr
    done = phplayer("ci", "github", "--only", "*-arm64", "--force", "--json", cwd=project, env=OWN)
    assert json.loads(done.stdout)["identifiers"] == ["php83-al2023-arm64", "php84-al2023-arm64"]
    assert "ubuntu-24.04\n            " not in (project / ".github" / "workflows" / "phplayer.yml").read_text()


def test_what_cannot_stand_in_a_workflow_is_refused(project: Path) -> None:
    settings = Settings.load(start=project, environment={})
    for requirement in ("x'; rm -rf ~; '", "${{ secrets.KEY }}"):
        with pytest.raises(UsageError):
            ci.github_workflow(settings, (), requirement=requirement)
    outside = Settings.load(start=project, environment={}, flags={"publish.ledger": "../ledger.json"})
    with pytest.raises(UsageError, match="outside the project"):
        ci.github_workflow(outside, ())
