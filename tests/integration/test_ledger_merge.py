"""``phplayer ledger merge`` with real git: two branches publish, the merge records what both did."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phplayer import ledger
from tests.conftest import SCRIPTS, Phplayer
from tests.ledger_entries import entry

NAME = "phplayer.lock.json"
DRIVER = f"'{SCRIPTS / 'phplayer'}' ledger merge %O %A %B"

Git = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def git(repository: Path, tmp_path: Path) -> Git:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PHPLAYER_CACHE": str(tmp_path / "cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["git", *arguments], cwd=repository, env=environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    run("init", "-q", "-b", "main")
    return run


def publish(repository: Path, git: Git, *versions: tuple[str, str, int]) -> None:
    for layer, region, version in versions:
        ledger.record(repository / NAME, entry(layer, region, version))
    git("add", ".")
    git("commit", "-q", "-m", "Publish")


def diverge(repository: Path, git: Git) -> set[str]:
    """Two branches publish, partly into the same regions. Return the ARNs that the merge has to record."""
    publish(repository, git, ("php", "eu-west-1", 1), ("php", "us-east-1", 1), ("vendor", "eu-west-1", 1))
    git("checkout", "-q", "-b", "other")
    publish(repository, git, ("php", "eu-west-1", 3), ("php", "ap-south-1", 1), ("vendor", "us-east-1", 1))
    theirs = {each.arn for each in ledger.read(repository / NAME).entries}
    git("checkout", "-q", "main")
    publish(repository, git, ("php", "eu-west-1", 2), ("php", "sa-east-1", 1), ("vendor", "eu-west-1", 2))
    return theirs | {each.arn for each in ledger.read(repository / NAME).entries}


def is_complete(repository: Path, wanted: set[str]) -> bool:
    recorded = ledger.read(repository / NAME)
    current = [each for each in recorded.entries if each.current]
    assert len(current) == len({each.place for each in recorded.entries})
    assert next(each.version for each in current if (each.layer, each.region) == ("php", "eu-west-1")) == 3
    return {each.arn for each in recorded.entries} == wanted


def test_as_a_merge_driver(repository: Path, git: Git) -> None:
    (repository / ".gitattributes").write_text(f"{NAME} merge=phplayer\n")
    git("config", "merge.phplayer.driver", DRIVER)
    wanted = diverge(repository, git)
    git("merge", "-q", "--no-edit", "other")
    assert is_complete(repository, wanted)
    assert git("status", "--porcelain").stdout == ""


def test_a_conflict_that_git_left_is_settled_by_one_command(repository: Path, git: Git, phplayer: Phplayer) -> None:
    wanted = diverge(repository, git)
    assert git("merge", "--no-edit", "other", check=False).returncode == 1
    left = (repository / NAME).read_bytes()
    assert b"<<<<<<<" in left

    refused = phplayer("arns", cwd=repository, check=False)
    assert refused.returncode == 2
    assert "phplayer ledger merge" in refused.stderr
    assert (repository / NAME).read_bytes() == left

    settled = phplayer("ledger", "merge", cwd=repository)
    assert settled.stdout == f"{len(wanted)} layer versions recorded\n"
    assert f"git add {NAME}" in settled.stderr
    assert is_complete(repository, wanted)
    git("commit", "-q", "-a", "--no-edit")


def test_different_layers_merge_without_any_help(repository: Path, git: Git) -> None:
    publish(repository, git, *(("m", region, 1) for region in ("eu-west-1", "us-east-1")))
    git("checkout", "-q", "-b", "other")
    publish(repository, git, ("a", "eu-west-1", 1))
    git("checkout", "-q", "main")
    publish(repository, git, ("z", "us-west-1", 1))
    git("merge", "-q", "--no-edit", "other")
    assert {each.layer for each in ledger.read(repository / NAME).entries} == {"a", "m", "z"}


def test_both_branches_made_the_first_ledger(repository: Path, git: Git) -> None:
    (repository / ".gitattributes").write_text(f"{NAME} merge=phplayer\n")
    git("config", "merge.phplayer.driver", DRIVER)
    git("add", ".")
    git("commit", "-q", "-m", "Begin")
    git("checkout", "-q", "-b", "other")
    publish(repository, git, ("php", "eu-west-1", 3))
    git("checkout", "-q", "main")
    publish(repository, git, ("php", "eu-west-1", 2))
    git("merge", "-q", "--no-edit", "other")
    assert [(each.version, each.current) for each in ledger.read(repository / NAME).entries] == [(2, False), (3, True)]


def test_a_damaged_side_is_reported_and_nothing_overwritten(repository: Path, git: Git) -> None:
    (repository / ".gitattributes").write_text(f"{NAME} merge=phplayer\n")
    git("config", "merge.phplayer.driver", DRIVER)
    diverge(repository, git)
    before = (repository / NAME).read_bytes()
    git("checkout", "-q", "other")
    (repository / NAME).write_bytes(before[: len(before) // 2])
    git("commit", "-q", "-a", "-m", "Cut")
    git("checkout", "-q", "main")
    done = git("merge", "--no-edit", "other", check=False)
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert (repository / NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ledger", "merge"), "Git knows of no merge conflict"),
        (("ledger", "merge", NAME), "three files or none"),
        (("ledger", "merge", NAME, NAME, "nowhere"), "There is no file nowhere"),
        (("ledger", "merge", "--ledger", "nowhere"), "There is no ledger"),
    ],
)
def test_bad_input(repository: Path, git: Git, phplayer: Phplayer, arguments: tuple[str, ...], said: str) -> None:
    publish(repository, git, ("php", "eu-west-1", 1))
    before = (repository / NAME).read_bytes()
    done = phplayer(*arguments, cwd=repository, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert (repository / NAME).read_bytes() == before
