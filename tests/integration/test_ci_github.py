"""The workflow that `phplayer ci github` writes, read by actionlint as GitHub would."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from phplayer import __version__, ci
from phplayer.errors import UsageError
from phplayer.settings import Settings
from tests.conftest import Phplayer

WRITE = ("ci", "github", "--install", "phplayer==1.2.3")
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
    done = phplayer(*WRITE, cwd=project, env=OWN)
    assert done.stdout == ".github/workflows/phplayer.yml\n"
    workflow = project / ".github" / "workflows" / "phplayer.yml"
    linted = lint(workflow)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
    workflow.write_text(workflow.read_text().replace("matrix.runner", "matrix.runer"))
    assert 'property "runer" is not defined' in lint(workflow).stdout


def test_each_architecture_has_a_machine_of_its_own(project: Path, phplayer: Phplayer) -> None:
    phplayer(*WRITE, cwd=project, env=OWN)
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
    phplayer(*WRITE, cwd=project, env=OWN)
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
            assert re.search(r"uses: [a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), f"not pinned: {line}"


def test_a_workflow_that_is_there_is_replaced_only_on_demand(project: Path, phplayer: Phplayer) -> None:
    phplayer(*WRITE, cwd=project, env=OWN)
    phplayer(*WRITE, cwd=project, env=OWN)  # the same again is no change
    refused = phplayer(*WRITE, "--only", "*-arm64", cwd=project, env=OWN, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--force" in refused.stderr
    done = phplayer(*WRITE, "--only", "*-arm64", "--force", "--json", cwd=project, env=OWN)
    assert json.loads(done.stdout)["identifiers"] == ["php83-al2023-arm64", "php84-al2023-arm64"]
    assert "ubuntu-24.04\n            " not in (project / ".github" / "workflows" / "phplayer.yml").read_text()


def test_a_project_in_a_subfolder_has_a_workflow_of_its_own_at_the_repositorys_top(
    tmp_path: Path, phplayer: Phplayer, lint: Callable[[Path], subprocess.CompletedProcess[str]]
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    project = tmp_path / "apps" / "my shop"
    project.mkdir(parents=True)
    (project / "phplayer.toml").write_text(SETTINGS + 'ledger = "../ledger.json"\nprofile = "mine"\n')
    (project / "dist").symlink_to("/nowhere")  # on this machine alone
    done = phplayer(*WRITE, cwd=project, env=OWN)
    assert done.stdout == "../../.github/workflows/phplayer-apps-my-shop.yml\n"
    workflow = tmp_path / ".github" / "workflows" / "phplayer-apps-my-shop.yml"
    assert [(run.returncode, run.stdout) for run in (lint(workflow),)] == [(0, "")]
    text = workflow.read_text()
    assert 'defaults:\n  run:\n    working-directory: "apps/my shop"\n' in text
    paths = [line.split(": ", 1)[1] for line in text.splitlines() if line.lstrip().startswith("path:")]
    assert paths == [
        "~/.cache/phplayer",
        '"apps/my shop/dist/"',
        '"apps/my shop/dist"',
        '"apps/ledger.json"',
    ]
    assert "hashFiles('apps/my shop/phplayer.toml')" in text
    assert 'group: "phplayer-publish-apps-my-shop"' in text
    assert "--profile ''" in text, "the machine has no profile of that name"


def test_what_pip_installs_there_reaches_it_as_one_word(
    project: Path, phplayer: Phplayer, lint: Callable[[Path], subprocess.CompletedProcess[str]]
) -> None:
    """The shell gets it in a variable, as it is, whatever is in it."""
    hostile = """git+https://example.org/a.git@"$(touch x)'`b` # c: \\d"""
    phplayer("ci", "github", "--install", hostile, cwd=project, env=OWN)
    workflow = project / ".github" / "workflows" / "phplayer.yml"
    assert lint(workflow).returncode == 0
    given = [line.split(": ", 1)[1] for line in workflow.read_text().splitlines() if " PHPLAYER: " in line]
    assert [json.loads(each) for each in given] == [hostile, hostile]
    assert workflow.read_text().count('run: pip install "$PHPLAYER"\n') == 2


def test_an_installation_from_a_folder_is_no_place_for_others_to_install_from(
    project: Path, phplayer: Phplayer
) -> None:
    refused = phplayer("ci", "github", cwd=project, env=OWN, check=False)  # the tests' own is one
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--install" in refused.stderr
    assert not (project / ".github").exists()


@pytest.mark.parametrize(
    ("recorded", "requirement"),
    [
        (None, f"phplayer=={__version__}"),
        (
            {"url": "https://example.org/p.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "phplayer @ git+https://example.org/p.git@c0ffee",
        ),
        ({"url": "https://example.org/p.whl", "archive_info": {}}, "phplayer @ https://example.org/p.whl"),
    ],
)
def test_by_default_the_runners_install_what_was_installed_here(
    monkeypatch: pytest.MonkeyPatch, recorded: object, requirement: str
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return json.dumps(recorded) if recorded else None

    monkeypatch.setattr(metadata, "distribution", lambda _name: Installed())
    assert ci.requirement() == requirement


def test_what_cannot_stand_in_a_workflow_is_refused(tmp_path: Path, project: Path) -> None:
    settings = Settings.load(start=project, environment={})
    for requirement in ("${{ secrets.KEY }}", "--index-url=https://example.org", "a\nb", " "):
        with pytest.raises(UsageError):
            ci.github_workflow(settings, (), install=requirement)
    outside = Settings.load(start=project, environment={}, flags={"publish.ledger": "../ledger.json"})
    with pytest.raises(UsageError, match="outside the repository"):
        ci.github_workflow(outside, (), install="phplayer")
    odd = tmp_path / "it's {odd}"
    odd.mkdir()
    (odd / "phplayer.toml").touch()
    (tmp_path / ".git").mkdir()
    with pytest.raises(UsageError, match="cannot stand in a workflow"):
        ci.github_workflow(Settings.load(start=odd, environment={}), (), install="phplayer")


def test_the_region_to_sign_in_is_one_and_no_pattern(project: Path) -> None:
    for regions, region in ((("eu-*", "eu-west-1"), "eu-west-1"), (("eu-*",), "us-east-1")):
        settings = Settings.load(start=project, environment={}, flags={"publish.regions": regions})
        assert f"aws-region: {region}\n" in ci.github_workflow(settings, (), install="phplayer")
