"""What README and docs show: every command is taken by the command line, and the cheap ones work."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from phplayer import cli
from phplayer.settings import Settings
from tests import layers
from tests.conftest import ROOT, unpack
from tests.integration.aws_endpoint import CREDENTIALS

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
# Those that need no compiler, no network and no second account. They run in the order in which they are documented.
RUN = (
    r"init",
    r"publish --region eu-central-1 --region us-east-1",
    r"new-function hello",
    r"catalog (versions|extensions|targets)",
    r"inspect.*",
    r"diff (?!--exit-code).*",
    r"iam-policy .*",
    r"arns .*",
    r"layers( .*)?",
    r"publish --all-regions --dry-run",
    r"verify (?!arn:).*",
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    text: str

    @property
    def title(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(page=page.name, line=line, text=match[1]))
    return found


def commands(program: str) -> list[tuple[str, ...]]:
    """Return the words behind the program's name in every line that begins with ``$``, each once."""
    lines = [line for block in blocks("console") for line in block.text.replace("\\\n", " ").splitlines()]
    parts = [part for line in lines if line.startswith("$ ") for part in _parts(line[2:])]
    return list(dict.fromkeys(tuple(words) for name, *words in parts if name == program))


def _parts(line: str) -> list[list[str]]:
    """Split a line of shell at what joins commands, and leave out where output goes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;()"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [list(itertools.takewhile(lambda word: not word.startswith((">", "<")), part)) for part in parts if part]


def parse(words: tuple[str, ...]) -> None:
    """Have the command line parse the words as it does before it runs a command.

    Raises:
        Exception: it would refuse them.

    """
    command: Any = typer.main.get_command(cli.app)
    context, rest = None, list(words)
    while True:
        context = command.make_context("phplayer", rest, parent=context)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "resolve_command") or not rest:
            return
        _, command, rest = command.resolve_command(context, rest)


DOCUMENTED = commands("phplayer")


def test_the_command_line_takes_every_command_that_is_documented() -> None:
    refused = []
    for words in DOCUMENTED:
        try:
            parse(words)
        except typer.TyperException as error:
            refused.append(f"phplayer {shlex.join(words)}: {error}")
    assert refused == []


def test_a_command_that_is_not_there_would_be_found() -> None:
    assert len(DOCUMENTED) > 25
    for wrong in (("bild",), ("layers", "purge"), ("publish", "--regoin", "x"), ("new-function",)):
        with pytest.raises(typer.TyperException):
            parse(wrong)


def test_commands_in_running_text_exist() -> None:
    known = typer.main.get_command(cli.app)
    for page in PAGES:
        for said in re.findall(r"`phplayer ([^`]+)`", page.read_text()):
            words = shlex.split(said)
            command: Any = known
            while words and hasattr(command, "commands") and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            assert command is not known or words[0].startswith("-"), f"{page.name}: phplayer {said}"
            flags = {flag for parameter in command.params for flag in parameter.opts + parameter.secondary_opts}
            flags |= {"--help"}
            for word in words:
                name = word.partition("=")[0]
                assert not name.startswith("-") or name in flags, f"{page.name}: phplayer {said}"


def test_make_has_every_target_that_is_documented() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documented = {word for words in commands("make") for word in words if "=" not in word}
    assert documented
    assert documented <= targets


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.title)
def test_the_settings_that_are_shown_are_read(block: Block, tmp_path: Path) -> None:
    text = re.sub(r"<SHA-256[^>]*>", "a" * 64, block.text)
    (tmp_path / "phplayer.toml").write_text(text)
    Settings.load(start=tmp_path, environment={})


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.title)
def test_the_json_that_is_shown_is_json(block: Block) -> None:
    json.loads(block.text)


RUNNER = """
import contextlib, io, json, sys
from phplayer import cli
done = []
for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(words)
    done.append([code, said.getvalue()])
json.dump(done, sys.stdout)
"""


def test_the_commands_that_are_cheap_work(tmp_path: Path, endpoint: str) -> None:
    """In one process of their own: starting Python for each would take most of the time."""
    project = layers.project(tmp_path / "my-project")
    dist = project / "dist" / "php-84-al2023-x86_64"
    for name in ("layer", "old", "new", "runtime", "vendor"):
        shutil.copy(dist / ("vendor.zip" if name == "vendor" else "runtime.zip"), project / f"{name}.zip")
    unpack(dist / "runtime.zip", project / "opt")
    chosen = [words for words in DOCUMENTED if any(re.fullmatch(pattern, " ".join(words)) for pattern in RUN)]
    for pattern in RUN:
        assert any(re.fullmatch(pattern, " ".join(words)) for words in chosen), f"nothing documented is {pattern}"
    asking = ("layers", "unshare")
    answer = subprocess.run(
        [sys.executable, "-c", RUNNER],
        cwd=project,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PHPLAYER_CACHE": str(tmp_path / "cache"),
            "PHPLAYER_DATA": str(tmp_path / "data"),
            "AWS_ENDPOINT_URL": endpoint,
            **CREDENTIALS,
        },
        input=json.dumps([[*words, "--yes"] if words[:2] == asking else words for words in chosen]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    for words, (code, said) in zip(chosen, json.loads(answer.stdout), strict=True):
        assert code == 0, f"phplayer {shlex.join(words)} exited {code}\n{said}"
