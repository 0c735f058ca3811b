"""``phplayer arns``: what it prints is taken by the tools it is for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import hcl2
import pytest

from phplayer import ledger
from phplayer.ledger import Ledger
from tests.conftest import SCRIPTS, Phplayer
from tests.integration.aws_endpoint import CREDENTIALS, Call, Faults
from tests.ledger_entries import entry

REGIONS = ("eu-west-1", "us-east-1")
LAYERS = {"php-84-x86_64": "runtime", "php-vendor": "vendor"}
FUNCTION = """
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: index
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    recorded = Ledger()
    for region in REGIONS:
        for layer, kind in LAYERS.items():
            recorded = recorded.adding(entry(layer, region, kind=kind))
    (tmp_path / "phplayer.lock.json").write_bytes(ledger.encode(recorded))
    return tmp_path


def arn(region: str, layer: str) -> str:
    return entry(layer, region).arn


def check(*command: str | Path, cwd: Path, **environment: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "SAM_CLI_TELEMETRY": "0", **environment}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_shell_takes_them_as_variables(phplayer: Phplayer, project: Path) -> None:
    shown = phplayer("arns", "-r", "eu-*", cwd=project)
    assert shown.stderr == ""
    (project / "arns.env").write_text(shown.stdout)
    said = check("sh", "-eu", "-c", '. ./arns.env; echo "$PHP_84_X86_64_ARN $PHP_VENDOR_ARN"', cwd=project)
    assert said.split() == [arn("eu-west-1", layer) for layer in LAYERS]


def test_cfn_lint_takes_the_mappings(phplayer: Phplayer, project: Path) -> None:
    mappings = phplayer("arns", "--format", "cloudformation-mappings", cwd=project).stdout
    template = f"""{mappings}
Resources:
  Alias:
    Type: AWS::SSM::Parameter
    Properties:
      Type: String
      Value: !FindInMap [PhpLayers, !Ref AWS::Region, Php84X8664]
"""
    (project / "template.yaml").write_text(template)
    check(SCRIPTS / "cfn-lint", "--non-zero-exit-code", "informational", "template.yaml", cwd=project)


def test_sam_takes_the_globals(phplayer: Phplayer, project: Path, tools: Callable[[str], Path]) -> None:
    (project / "template.yaml").write_text(phplayer("arns", "--format", "sam", cwd=project).stdout)
    with (project / "template.yaml").open("a") as template:
        template.write(f"Resources:{FUNCTION}")
    check(SCRIPTS / "cfn-lint", "--non-zero-exit-code", "informational", "template.yaml", cwd=project)
    check(tools("sam") / "sam", "validate", "--lint", cwd=project, AWS_DEFAULT_REGION="eu-west-1")


def test_an_hcl_parser_takes_the_locals(phplayer: Phplayer, project: Path) -> None:
    document = hcl2.loads(phplayer("arns", "--format", "terraform", cwd=project).stdout)
    (locals_,) = document["locals"]
    found = {
        region.strip('"'): {name.strip('"'): value.strip('"') for name, value in layers.items()}
        for region, layers in locals_["php_layers"].items()
    }
    assert found == {region: {layer: arn(region, layer) for layer in LAYERS} for region in REGIONS}


def test_the_aws_cli_takes_the_commands_for_parameter_store(
    phplayer: Phplayer, project: Path, endpoint: str, tools: Callable[[str], Path]
) -> None:
    commands = phplayer("arns", "--format", "ssm", "--ssm", "/team/{name}", cwd=project).stdout
    path = f"{tools('awscli')}:{os.environ['PATH']}"
    environment = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "PATH": path}
    check("sh", "-eu", "-c", commands, cwd=project, **environment)
    for region in REGIONS:
        read = ("aws", "ssm", "get-parameter", "--region", region, "--name", "/team/php-vendor")
        answer = json.loads(check(shutil.which("aws", path=path) or "aws", *read[1:], cwd=project, **environment))
        assert answer["Parameter"]["Value"] == arn(region, "php-vendor")


def test_ssm_writes_what_is_not_there_yet(
    phplayer: Phplayer, project: Path, endpoint: str, tools: Callable[[str], Path]
) -> None:
    text = (project / "phplayer.lock.json").read_text()
    (project / "phplayer.lock.json").write_text(text.replace('"endpoint": "aws"', f'"endpoint": "{endpoint}"'))
    environment = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}

    def write(*arguments: str) -> list[str]:
        done = phplayer("arns", "--ssm", "/php/{name}/{arch}", "--json", *arguments, cwd=project, env=environment)
        return [parameter["happened"] for parameter in json.loads(done.stdout)["parameters"]]

    assert write("--dry-run") == ["would_write"] * 4
    assert write("--region", "eu-*") == ["written"] * 2
    assert write() == ["unchanged"] * 2 + ["written"] * 2
    assert write() == ["unchanged"] * 4
    aws = tools("awscli") / "aws"
    for region in REGIONS:
        command = ("ssm", "get-parameter", "--region", region, "--name", "/php/php-vendor/x86_64")
        answer = json.loads(check(aws, *command, cwd=project, **environment))["Parameter"]
        assert (answer["Value"], answer["Version"]) == (arn(region, "php-vendor"), 1)


def test_what_was_written_before_a_region_refused_is_told(
    phplayer: Phplayer, project: Path, proxy: str, faults: Faults
) -> None:
    text = (project / "phplayer.lock.json").read_text()
    (project / "phplayer.lock.json").write_text(text.replace('"endpoint": "aws"', f'"endpoint": "{proxy}"'))
    calls: list[Call] = []

    def refuse_the_third(call: Call) -> bool:  # the first of a region reads
        calls.append(call)
        return call.service == "ssm" and len([each for each in calls if each.service == "ssm"]) == 3

    faults.refuse = refuse_the_third
    environment = CREDENTIALS | {"AWS_ENDPOINT_URL": proxy}
    command = ("arns", "--ssm", "/php/{name}", "--region", "eu-west-1", "--json")
    done = phplayer(*command, cwd=project, env=environment, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["exit_code"]) == (8, 8)
    assert [(each["name"], each["happened"]) for each in document["parameters"]] == [("/php/php-84-x86_64", "written")]
    assert [failure["where"] for failure in document["failures"]] == ["eu-west-1"]


def test_json_says_what_the_text_says(phplayer: Phplayer, project: Path) -> None:
    document = json.loads(phplayer("arns", "--format", "json", "--json", "-r", "us-east-1", cwd=project).stdout)
    assert document["schema_version"] == 1
    assert json.loads(document["text"]) == {"us-east-1": {layer: arn("us-east-1", layer) for layer in LAYERS}}
    assert [layer["arn"] for layer in document["layers"]] == [arn("us-east-1", layer) for layer in LAYERS]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--format", "tarraform"), 2, "Did you mean 'terraform'?"),
        (("--format", "json", "--ssm", "/php/{name}"), 2, "Pass one of them"),
        (("--arch", "arm"), 2, "Did you mean 'arm64'?"),
        (("--account", "12345"), 2, "It has 12 digits"),
        (("--dry-run",), 2, "--dry-run is for --ssm"),
        (("--ssm", "/php/{nmae}"), 2, "Did you mean 'name'?"),
        (("--region", "eu-wset-1"), 3, "Did you mean 'eu-west-1'?"),
        (("--ledger", "other.json"), 3, "Publish first: phplayer publish"),
        (("--endpoint-url", "http://127.0.0.1:1"), 3, "only for aws"),
    ],
)
def test_bad_input(phplayer: Phplayer, project: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = phplayer("arns", *arguments, cwd=project, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "fix: " in done.stderr
