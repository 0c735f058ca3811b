"""What the documentation of building says is held against the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from phplayer import cli
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "build.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ phplayer ")
    for language, block in BLOCKS
    if language == "console"
    for line in block.splitlines()
    if line.startswith("$ phplayer ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_is_one(line: str) -> None:
    words = shlex.split(line.partition(" >")[0], comments=True)
    command = typer.main.get_command(cli.app)
    while isinstance(command, typer.core.TyperGroup):
        command = command.commands[words.pop(0)]
    command.make_context("phplayer", words)  # which parses, and would complain


def test_the_matrix_has_the_identifiers_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "phplayer.toml").write_text(next(block for language, block in BLOCKS if language == "toml"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["build", "--print-identifiers"]) == 0
    shown = next(block for language, block in BLOCKS if language == "console")
    assert capsys.readouterr().out in shown
