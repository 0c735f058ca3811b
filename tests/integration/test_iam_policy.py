"""``phplayer iam-policy``: it allows exactly what phplayer asks of AWS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import layers
from tests.conftest import SCRIPTS, Phplayer
from tests.integration.api_calls import Recorder, recording
from tests.integration.aws_endpoint import ACCOUNT, CREDENTIALS

EU, US = "eu-west-1", "us-east-1"
LAYER = "php-84-x86_64"


@pytest.fixture
def recorder(endpoint: str) -> Recorder:
    return Recorder(endpoint)


@pytest.fixture
def url(recorder: Recorder) -> Iterator[str]:
    with recording(recorder) as url:
        yield url


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(phplayer: Phplayer, project: Path, url: str, tmp_path: Path) -> Run:
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": url, "PHPLAYER_CACHE": str(tmp_path / "cache")}

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return phplayer(*arguments, cwd=project, env=environment, check=check)

    return run


@pytest.fixture
def allowed(phplayer: Phplayer, project: Path) -> Callable[[str], set[str]]:
    """Return a function that gives the actions of the policy for some purposes."""

    def actions(purposes: str) -> set[str]:
        printed = phplayer("iam-policy", "--for", purposes, cwd=project)
        assert printed.stderr == ""
        return {action for statement in json.loads(printed.stdout)["Statement"] for action in statement["Action"]}

    return actions


Allowed = Callable[[str], set[str]]


def test_publish(run: Run, recorder: Recorder, allowed: Allowed, project: Path) -> None:
    run("publish", "-r", EU, "-r", US)
    (project / "phplayer.lock.json").unlink()
    run("publish", "-r", EU, "-r", US)
    assert recorder.take() == allowed("publish")


def test_publish_through_a_bucket(run: Run, recorder: Recorder, allowed: Allowed, project: Path) -> None:
    runtime = next(project.glob("dist/*/runtime.zip"))
    layers.archive(runtime, layers.runtime_manifest(), os.urandom(51 * 1024 * 1024))
    command = ("publish", "-r", EU, "--s3-bucket", "layers-{account}-{region}", "--create-bucket")
    recorder.refused = {"partNumber=2"}  # what was sent until then is taken back
    run(*command, check=False)
    recorder.refused = set()
    run(*command)
    assert recorder.take() - allowed("publish") == allowed("bucket,create-bucket")
    (project / "phplayer.lock.json").unlink()
    run(*command)
    assert not recorder.take() & allowed("create-bucket")


def test_verify(run: Run, recorder: Recorder, allowed: Allowed) -> None:
    run("publish", "-r", EU)
    recorder.take()
    run("verify", f"arn:aws:lambda:{EU}:{ACCOUNT}:layer:{LAYER}:1", check=False)
    assert recorder.take() == allowed("verify")


def test_share(run: Run, recorder: Recorder, allowed: Allowed) -> None:
    run("publish", "-r", EU)
    recorder.take()
    run("publish", "-r", EU, "--share", "account:210987654321")
    assert recorder.take() == allowed("share")


def test_publish_to_all_regions(run: Run, recorder: Recorder, allowed: Allowed) -> None:
    recorder.refused = {"/listRegions"}  # then EC2 is asked
    run("publish", "--all-regions", "--dry-run", check=False)
    assert recorder.take() - allowed("list") == allowed("all-regions")


def test_list(run: Run, recorder: Recorder, allowed: Allowed) -> None:
    run("publish", "-r", EU)
    recorder.take()
    run("layers")
    assert recorder.take() == allowed("list")


def test_equalize(run: Run, recorder: Recorder, allowed: Allowed, project: Path) -> None:
    run("publish", "-r", EU)
    layers.project(project, b"changed")
    run("publish", "-r", EU, "-r", US)
    recorder.take()
    run("layers", "equalize", "--yes")
    assert recorder.take() == allowed("equalize")


def test_prune(run: Run, recorder: Recorder, allowed: Allowed, project: Path, endpoint: str) -> None:
    run("publish", "-r", EU)
    for content in (b"changed", b"changed again"):
        layers.project(project, content)
        run("publish", "-r", EU)
    keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
    client = boto3.client("lambda", region_name=EU, endpoint_url=endpoint, **keys)
    client.delete_layer_version(LayerName=LAYER, VersionNumber=1)
    client.close()
    recorder.take()
    run("layers", "prune", "--keep", "1", "--yes")
    assert recorder.take() == allowed("prune")


def test_unshare(run: Run, recorder: Recorder, allowed: Allowed, endpoint: str) -> None:
    run("publish", "-r", EU)
    keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
    client = boto3.client("lambda", region_name=EU, endpoint_url=endpoint, **keys)
    client.add_layer_version_permission(
        LayerName=LAYER, VersionNumber=1, StatementId="x", Action="lambda:GetLayerVersion", Principal="*"
    )
    client.close()
    recorder.take()
    run("layers", "unshare", "--public", "--yes")
    assert recorder.take() == allowed("unshare")


def test_ssm(run: Run, recorder: Recorder, allowed: Allowed) -> None:
    run("publish", "-r", EU)
    recorder.take()
    run("arns", "--ssm", "/php/{name}/{arch}")
    assert recorder.take() == allowed("ssm")


def test_deploy_with_the_aws_cli(
    run: Run, recorder: Recorder, allowed: Allowed, project: Path, tools: Callable[[str], Path], url: str, endpoint: str
) -> None:
    run("publish", "-r", EU)
    program = tools("awscli") / "aws"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "AWS_PAGER": "",
        "AWS_DEFAULT_REGION": EU,
        **CREDENTIALS,
    }

    def aws(to: str, *arguments: str) -> None:
        command: list[str | Path] = [program, "--endpoint-url", to, *arguments]
        subprocess.run(command, env=environment, cwd=project, capture_output=True, check=True)

    trust = '{"Version": "2012-10-17", "Statement": []}'
    aws(endpoint, "iam", "create-role", "--role-name", "php", "--assume-role-policy-document", trust)
    role = f"arn:aws:iam::{ACCOUNT}:role/php"
    arn = f"arn:aws:lambda:{EU}:{ACCOUNT}:layer:{LAYER}:1"
    archive = f"fileb://{next(project.glob('dist/*/vendor.zip'))}"
    recorder.take()
    named = ("--function-name", "hello")
    create = ("--runtime", "provided.al2023", "--handler", "index", "--role", role, "--zip-file", archive)
    aws(url, "lambda", "create-function", *named, *create, "--layers", arn)
    aws(url, "lambda", "update-function-code", *named, "--zip-file", archive)
    aws(url, "lambda", "get-function", *named)
    aws(url, "lambda", "update-function-configuration", *named, "--role", role, "--layers", arn)
    assert recorder.take() == allowed("deploy")


def test_the_purposes_of_one_policy_add_up(allowed: Allowed) -> None:
    assert allowed("publish,deploy,prune") == allowed("publish") | allowed("deploy") | allowed("prune")


def test_cfn_lint_knows_every_action_and_resource(phplayer: Phplayer, project: Path) -> None:
    """cfn-lint has AWS's Service Authorization Reference: unknown actions and resources that do not fit are found."""
    from phplayer.cli.iam_policy import PURPOSES

    command = ("--account", ACCOUNT, "-r", "eu-west-1,us-east-1", "--s3-bucket", "layers-{account}-{region}")
    printed = phplayer("iam-policy", "--for", ",".join(PURPOSES), *command, cwd=project)
    template = {
        "Resources": {
            "Policy": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {"PolicyDocument": json.loads(printed.stdout)},
            }
        }
    }
    (project / "template.json").write_text(json.dumps(template))
    lint: list[str | Path] = [
        SCRIPTS / "cfn-lint",
        "--non-zero-exit-code",
        "informational",
        "--include-checks",
        "I",
        "--",
    ]
    done = subprocess.run([*lint, "template.json"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("regions", "partition", "found"),
    [
        ("us-*", "aws", {"us-east-1", "us-east-2", "us-west-1", "us-west-2"}),
        ("us-*,us-gov-west-1", "aws-us-gov", {"us-gov-east-1", "us-gov-west-1"}),
        ("cn-*", "aws-cn", {"cn-north-1", "cn-northwest-1"}),
    ],
)
def test_a_pattern_of_regions_stands_for_one_partition(
    phplayer: Phplayer, project: Path, regions: str, partition: str, found: set[str]
) -> None:
    document = json.loads(phplayer("iam-policy", "-r", regions, cwd=project).stdout)
    statement = document["Statement"][0]
    assert set(statement["Condition"]["StringEquals"]["aws:RequestedRegion"]) == found
    assert all(arn.startswith(f"arn:{partition}:lambda:") for arn in statement["Resource"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--for", "publsh"), "Did you mean 'publish'?"),
        (("--account", "12345"), "It has 12 digits"),
        (("-r", "eu-wset-1"), "Did you mean 'eu-west-1'?"),
        (("-r", "eu-west-1,cn-north-1"), "Make a policy for each"),
        (("-r", "mars-*"), "No region is like 'mars-*'"),
        (("-r", "eu-west-1,mars-*"), "No region is like 'mars-*'"),
    ],
)
def test_bad_input(phplayer: Phplayer, project: Path, arguments: tuple[str, ...], said: str) -> None:
    done = phplayer("iam-policy", *arguments, cwd=project, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "fix: " in done.stderr
