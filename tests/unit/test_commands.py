"""What holds for every command: its help says what it does, and its mistakes are JSON where that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from phplayer import cli


def walk(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, *path, name)


EVERY = list(walk(typer.main.get_command(cli.app)))


def title(value: Any) -> str:
    return " ".join(("phplayer", *value)) if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("path", "command"), EVERY, ids=title)
def test_the_help_says_what_the_command_and_each_of_its_flags_do(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*path, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert command.help.strip().partition("\n")[0].endswith(".")
    assert not {"TODO", "FIXME", "Raises:", "``"} & set(shown.out.split())
    for parameter in command.params:
        said = getattr(parameter, "help", None)
        if parameter.param_type_name == "option":
            assert said, f"{path}: {parameter.opts}"
            assert said[0].isupper() or said[0].isdigit() or said.startswith(("x86_64", "php-")), f"{path}: {said}"
            assert parameter.opts[0] in shown.out
            assert said.rstrip()[-1] in ".])", f"{path}: {parameter.opts}: {said}"


@pytest.mark.parametrize(("path", "command"), EVERY, ids=title)
def test_a_mistake_is_json_where_json_was_asked_for(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*path, "--no-such-flag", "--json"]) == 2
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["schema_version"], document["error"]["exit_code"]) == (1, 2)
    assert "--no-such-flag" in document["error"]["message"]
    assert document["error"]["remedy"]
    assert shown.err == ""


@pytest.mark.parametrize(("path", "command"), EVERY, ids=title)
def test_every_command_that_does_something_takes_json(path: tuple[str, ...], command: Any) -> None:
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert hasattr(command, "commands") or {"--json", "--debug"} <= flags
