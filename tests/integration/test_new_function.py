"""``phplayer new-function``: what it writes passes cfn-lint and SAM's own check."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import layers
from tests.conftest import SCRIPTS, Phplayer
from tests.integration.aws_endpoint import ACCOUNT, CREDENTIALS

Check = Callable[[Path], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return layers.project(tmp_path / "project")


@pytest.fixture(scope="session")
def lint(tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Check a function's template with cfn-lint and with SAM."""
    sam = tools("sam") / "sam"
    home = tmp_path_factory.mktemp("home")

    def check(function: Path) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SAM_CLI_TELEMETRY": "0",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        commands: tuple[list[str | Path], ...] = (
            [SCRIPTS / "cfn-lint", "--non-zero-exit-code", "informational", "template.yaml"],
            [sam, "validate", "--lint"],
        )
        for command in commands:
            done = subprocess.run(command, cwd=function, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    return check


@pytest.mark.parametrize("regions", [["eu-west-1"], ["eu-west-1", "us-east-1", "ap-southeast-2"]])
def test_the_template_is_wired_to_the_recorded_arns_and_valid(
    phplayer: Phplayer, project: Path, endpoint: str, lint: Check, regions: list[str]
) -> None:
    flags = [flag for region in regions for flag in ("-r", region)]
    phplayer("publish", "--endpoint-url", endpoint, *flags, cwd=project, env=CREDENTIALS)
    done = phplayer("new-function", "hello", "--endpoint-url", endpoint, cwd=project)
    assert "Layers: php-84-x86_64 and php-vendor" in done.stderr
    assert done.stdout.splitlines()[-1] == "Next: cd hello && phplayer invoke --event events/hello.json"
    template = (project / "hello" / "template.yaml").read_text()
    for region in regions:
        for layer in ("php-84-x86_64", "php-vendor"):
            assert f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{layer}:1" in template
    lint(project / "hello")


def test_without_a_vendor_layer_the_template_is_valid(
    phplayer: Phplayer, project: Path, endpoint: str, lint: Check
) -> None:
    next(project.glob("dist/*/vendor.zip")).unlink()
    flags = ("--endpoint-url", endpoint, "-r", "eu-west-1", "-r", "us-east-1")
    phplayer("publish", *flags, cwd=project, env=CREDENTIALS)
    phplayer("new-function", "hello", "--endpoint-url", endpoint, cwd=project)
    assert "Vendor" not in (project / "hello" / "template.yaml").read_text()
    lint(project / "hello")


def test_without_a_ledger_the_template_asks_for_the_arns_and_is_valid(
    phplayer: Phplayer, tmp_path: Path, lint: Check
) -> None:
    done = phplayer("new-function", "send-mail_2", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (document["function"], document["layers"]) == ("send-mail_2", [])
    assert "phplayer publish" in done.stderr
    lint(tmp_path / "send-mail_2")


def test_layers_at_a_local_endpoint_never_pass_for_aws(phplayer: Phplayer, project: Path, endpoint: str) -> None:
    phplayer("publish", "--endpoint-url", endpoint, "-r", "eu-west-1", cwd=project, env=CREDENTIALS)
    done = phplayer("new-function", "hello", "-r", "eu-west-1,us-east-1", cwd=project)
    assert "No published layer is recorded in eu-west-1, us-east-1 for AWS" in done.stderr
    assert "phplayer publish -r eu-west-1 -r us-east-1, then" in done.stderr
    assert ACCOUNT not in (project / "hello" / "template.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("taken",), "is not empty"),
        (("a b",), "cannot name a function"),
        (("../elsewhere",), "cannot name a function"),
        (("hello", "-r", "eu-wset-1"), "Did you mean 'eu-west-1'?"),
        (("hello", "--arch", "arm"), "Did you mean 'arm64'?"),
        (("hello", "--ledger", "half.json"), "is damaged"),
        ((), "NAME"),
    ],
)
def test_bad_input_gets_one_sentence_a_remedy_and_its_exit_code(
    phplayer: Phplayer, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    (tmp_path / "half.json").write_text('{"schema_version": 1, "lay')
    before = sorted(tmp_path.rglob("*"))
    done = phplayer("new-function", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
