"""``phplayer verify`` on what a build made, on broken layers, and its document against its schema."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from phplayer.policy import RULES, report
from tests import binaries
from tests.conftest import Built, Phplayer


def _schema(phplayer: Phplayer) -> dict[str, object]:
    schema: dict[str, object] = json.loads(phplayer("verify", "--schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def test_what_was_built_is_fit(phplayer: Phplayer, built: Built) -> None:
    done = phplayer("verify", built.dist / "runtime.zip", "--with", built.dist / "vendor.zip", "--json")
    document = json.loads(done.stdout)
    jsonschema.validate(document, _schema(phplayer))
    assert document["findings"] == []
    assert document["fit"] is True
    done = phplayer("verify", built.dist / "vendor.zip", "--with", built.dist / "runtime.zip")
    assert done.stdout.startswith("vendor.zip: nothing found")
    assert done.stderr == ""


def test_errors_refuse_with_their_own_exit_code(phplayer: Phplayer, built: Built, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(built.tree, tmp_path / "opt"))
    binaries.library(tree / "lib" / "libm.so.6", "int x;")
    (tree / "link").symlink_to("nowhere")
    done = phplayer("verify", tree, check=False)
    assert done.returncode == 6
    lines = done.stdout.splitlines()
    assert lines[:2] == ["error glibc-carried", "  lib/libm.so.6 is a part of glibc"]
    assert "warning dangling-symlink" in lines
    assert lines[-1].startswith("opt: 1 error, 1 warning (")
    assert "error: opt is not fit for live Lambda: 1 error (glibc-carried)." in done.stderr

    done = phplayer("verify", tree, "--json", check=False)
    document = json.loads(done.stdout)
    jsonschema.validate(document, _schema(phplayer))
    assert (done.returncode, document["error"]["exit_code"], document["fit"]) == (6, 6, False)
    assert document["counts"] == {"error": 1, "warning": 1, "note": 0}

    done = phplayer("verify", tree, "--json", "--allow", "glibc-carried")
    document = json.loads(done.stdout)
    jsonschema.validate(document, _schema(phplayer))
    assert [finding["allowed"] for finding in document["findings"]] == [True, False]
    assert document["fit"] is True


def test_the_settings_overrule_too(phplayer: Phplayer, tmp_path: Path) -> None:
    (tmp_path / "phplayer.toml").write_text('[policy]\nallow = ["secret-file"]\n')
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / ".env").write_text("SECRET=1")
    assert ", 1 allowed (" in phplayer("verify", "opt", cwd=tmp_path).stdout


def test_the_schema_that_ships_is_that_of_the_document() -> None:
    assert report.SCHEMA_FILE.read_text(encoding="utf-8") == report.schema(), (
        "write it anew: python -c 'from phplayer.policy import report; report.SCHEMA_FILE.write_text(report.schema())'"
    )


def test_the_schema_names_every_finding(phplayer: Phplayer) -> None:
    schema: Any = _schema(phplayer)
    assert schema["$defs"]["FindingDocument"]["properties"]["name"]["enum"] == [rule.name for rule in RULES]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "There is nothing to verify."),
        (("absent.zip",), "There is no absent.zip."),
        (("arn:aws:lambda:eu-west-1:1:layer:x",), "is not a LayerVersionArn"),
        ((".", "--allow", "secrets"), "There is no finding 'secrets' to allow."),
        ((".", "--arch", "arm"), "Did you mean 'arm64'?"),
        ((".", "--target", "al2024"), "Did you mean 'al2023'?"),
    ],
)
def test_bad_input_gets_one_sentence_and_a_remedy(
    phplayer: Phplayer, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = phplayer("verify", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr


def test_names_of_rules_are_what_the_help_of_allow_promises() -> None:
    assert all(rule.name == rule.name.lower() and " " not in rule.name for rule in RULES)
