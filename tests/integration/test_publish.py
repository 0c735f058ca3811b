"""``phplayer publish`` to moto's server; the real AWS CLI reads back what was published."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import layers
from tests.conftest import SCRIPTS, Phplayer, cache_folder
from tests.integration.aws_endpoint import ACCOUNT, CREDENTIALS
from tests.integration.fault_proxy import Call, Faults

REGIONS = ("-r", "eu-west-1", "-r", "us-east-1")
ARNS = [
    f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{layer}:1"
    for region in ("eu-west-1", "us-east-1")
    for layer in ("php-84-x86_64", "php-vendor")
]


@pytest.fixture(scope="session")
def aws_cli(tools: Callable[[str], Path]) -> Callable[..., Any]:
    """Run the real AWS CLI and return what it prints."""
    program = tools("awscli") / "aws"

    def run(endpoint: str, region: str, *arguments: str) -> Any:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "AWS_PAGER": ""} | CREDENTIALS
        command: list[str | Path] = [
            program,
            "--endpoint-url",
            endpoint,
            "--region",
            region,
            "--output",
            "json",
            *arguments,
        ]
        return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout or "null")

    return run


def recorded(project: Path) -> list[str]:
    return [entry["arn"] for entry in json.loads((project / "phplayer.lock.json").read_text())["layers"]]


def existing(endpoint: str) -> list[str]:
    """All layer versions at the endpoint, by ARN."""
    keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
    arns: list[str] = []
    for region in ("eu-west-1", "us-east-1"):
        client = boto3.client("lambda", region_name=region, endpoint_url=endpoint, **keys)
        for layer in ("php-84-x86_64", "php-vendor"):
            found = client.list_layer_versions(LayerName=layer)["LayerVersions"]
            arns.extend(version["LayerVersionArn"] for version in found)
    return sorted(arns)


def test_the_aws_cli_sees_what_was_published(
    phplayer: Phplayer, project: Path, endpoint: str, aws_cli: Callable[..., Any]
) -> None:
    done = phplayer("publish", "--endpoint-url", endpoint, *REGIONS, cwd=project, env=CREDENTIALS)
    assert f"account {ACCOUNT} as arn:aws:sts::{ACCOUNT}:user/moto at {endpoint}" in done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:]] == ARNS
    assert recorded(project) == ARNS

    for region in ("eu-west-1", "us-east-1"):
        answer = aws_cli(endpoint, region, "lambda", "list-layer-versions", "--layer-name", "php-84-x86_64")
        (version,) = answer["LayerVersions"]
        assert version["LayerVersionArn"] == f"arn:aws:lambda:{region}:{ACCOUNT}:layer:php-84-x86_64:1"
        assert version["Description"] == "PHP 8.4.24, phplayer 0123456789ab"
        assert version["CompatibleRuntimes"] == ["provided.al2023"]
        assert version["CompatibleArchitectures"] == ["x86_64"]
        assert version["LicenseInfo"] == "PHP-3.01"
    arguments = ("lambda", "get-layer-version", "--layer-name", "php-vendor", "--version-number", "1")
    vendor = aws_cli(endpoint, "us-east-1", *arguments)
    (entry,) = [entry for entry in _entries(project) if entry["arn"] == vendor["LayerVersionArn"]]
    assert vendor["Content"]["CodeSha256"] == entry["code_sha256"]
    assert vendor["Content"]["CodeSize"] == entry["size"]
    assert vendor["CompatibleArchitectures"] == ["x86_64", "arm64"]
    assert vendor["LicenseInfo"] == "MIT"


def _entries(project: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((project / "phplayer.lock.json").read_text())["layers"]
    return entries


def test_unchanged_content_is_not_published_again(phplayer: Phplayer, project: Path, endpoint: str) -> None:
    command = ("publish", "--endpoint-url", endpoint, *REGIONS)
    phplayer(*command, cwd=project, env=CREDENTIALS)
    ledger = (project / "phplayer.lock.json").read_bytes()
    assert phplayer(*command, cwd=project, env=CREDENTIALS).stdout.count("unchanged") == 4

    (project / "phplayer.lock.json").unlink()  # as in a clone of a project that does not commit it
    assert phplayer(*command, cwd=project, env=CREDENTIALS).stdout.count("found on AWS") == 4
    assert (project / "phplayer.lock.json").read_bytes() == ledger
    assert existing(endpoint) == ARNS


def test_a_version_that_was_deleted_by_hand_is_published_anew(
    phplayer: Phplayer, project: Path, endpoint: str, aws_cli: Callable[..., Any]
) -> None:
    command = ("publish", "--endpoint-url", endpoint, *REGIONS)
    phplayer(*command, cwd=project, env=CREDENTIALS)
    version = ("--layer-name", "php-vendor", "--version-number", "1")
    aws_cli(endpoint, "us-east-1", "lambda", "delete-layer-version", *version)
    done = phplayer(*command, cwd=project, env=CREDENTIALS)
    assert done.stdout.count("unchanged") == 3
    assert "published, version 1 is recorded and gone from AWS" in done.stdout
    assert recorded(project) == existing(endpoint)
    assert len(recorded(project)) == 4


def test_changed_content_is_the_next_version(phplayer: Phplayer, project: Path, endpoint: str) -> None:
    command = ("publish", "--endpoint-url", endpoint, "-r", "eu-west-1")
    phplayer(*command, cwd=project, env=CREDENTIALS)
    layers.project(project, b"changed")
    done = phplayer(*command, "--json", cwd=project, env=CREDENTIALS)
    document = json.loads(done.stdout)
    assert [layer["version"] for layer in document["layers"]] == [2, 2]
    assert [layer["happened"] for layer in document["layers"]] == ["published", "published"]
    assert document["schema_version"] == 1
    assert document["account"] == ACCOUNT


def test_a_dry_run_changes_nothing(phplayer: Phplayer, project: Path, endpoint: str) -> None:
    done = phplayer("publish", "--endpoint-url", endpoint, *REGIONS, "--dry-run", cwd=project, env=CREDENTIALS)
    assert done.stdout.count("would publish") == 4
    assert existing(endpoint) == []
    assert [path.name for path in project.iterdir()] == ["dist"]


def test_the_settings_say_where_and_flags_are_relative_to_where_they_are_given(
    phplayer: Phplayer, project: Path, endpoint: str
) -> None:
    settings = f'[publish]\nregions = ["eu-west-1"]\nendpoint_url = "{endpoint}"\n'
    (project / "phplayer.toml").write_text(settings)
    inside = project / "inside"
    inside.mkdir()
    phplayer("publish", cwd=inside, env=CREDENTIALS)
    assert recorded(project) == ARNS[:2]
    phplayer("publish", "--ledger", "other.json", cwd=inside, env=CREDENTIALS)
    assert (inside / "other.json").is_file()


def test_aws_own_environment_says_where(phplayer: Phplayer, project: Path, endpoint: str) -> None:
    env = CREDENTIALS | {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": endpoint}
    phplayer("publish", cwd=project, env=env)
    assert {entry["endpoint"] for entry in _entries(project)} == {endpoint}


def test_a_region_that_refuses_leaves_the_others_published(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults
) -> None:
    faults.refuse = lambda call: call.publishes and call.region == "us-east-1"
    command = ("publish", "--endpoint-url", proxy, *REGIONS)
    done = phplayer(*command, cwd=project, env=CREDENTIALS, check=False)
    assert done.returncode == 8
    assert "us-east-1 php-vendor: These credentials lack lambda:PublishLayerVersion in us-east-1" in done.stderr
    assert "fix: Allow lambda:PublishLayerVersion" in done.stderr
    assert done.stdout.count("published") == 2
    assert recorded(project) == ARNS[:2]

    done = phplayer(*command, "--json", cwd=project, env=CREDENTIALS, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["exit_code"]) == (8, 8)
    assert [layer["happened"] for layer in document["layers"]] == ["unchanged"] * 2 + ["failed"] * 2

    faults.refuse = lambda _call: False
    phplayer(*command, cwd=project, env=CREDENTIALS)
    assert existing(endpoint) == ARNS


def test_when_every_region_refuses_aws_has_refused(
    phplayer: Phplayer, project: Path, proxy: str, faults: Faults
) -> None:
    faults.refuse = lambda call: call.publishes
    done = phplayer("publish", "--endpoint-url", proxy, *REGIONS, cwd=project, env=CREDENTIALS, check=False)
    assert done.returncode == 7
    assert not (project / "phplayer.lock.json").exists()


def test_an_answer_that_is_lost_makes_no_second_version(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults
) -> None:
    faults.cut = lambda call: call.publishes
    phplayer("publish", "--endpoint-url", proxy, *REGIONS, cwd=project, env=CREDENTIALS)
    assert existing(endpoint) == ARNS
    assert sum(call.publishes for call in faults.seen) == 4


def test_ctrl_c_records_what_is_under_way_and_the_next_run_completes(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults
) -> None:
    def slow(call: Call) -> bool:
        if call.publishes:
            time.sleep(2)
        return False

    faults.cut = slow
    process = subprocess.Popen(
        [SCRIPTS / "phplayer", "publish", "--endpoint-url", proxy, *REGIONS],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PHPLAYER_CACHE": str(cache_folder())} | CREDENTIALS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not any(call.publishes for call in faults.seen) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "calls that are under way are finished and recorded" in stderr
    assert recorded(project) == existing(endpoint)
    assert recorded(project)

    faults.cut = lambda _call: False
    phplayer("publish", "--endpoint-url", proxy, *REGIONS, cwd=project, env=CREDENTIALS)
    assert existing(endpoint) == ARNS


def _no_credentials(_project: Path) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def _half_a_ledger(project: Path) -> dict[str, str]:
    (project / "phplayer.lock.json").write_text('{"schema_version": 1, "layers": [{"endp')
    return {}


def _nothing_built(project: Path) -> dict[str, str]:
    (project / "dist").rename(project / "elsewhere")
    return {}


def _broken_archive(project: Path) -> dict[str, str]:
    next(project.glob("dist/*/vendor.zip")).write_bytes(b"PK no zip")
    return {}


def _as_it_is(_project: Path) -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    ("arguments", "prepare", "code", "words"),
    [
        (("-r", "eu-west-1"), _no_credentials, 4, "No AWS credentials were found."),
        (("-r", "eu-wset-1"), _as_it_is, 2, "Did you mean 'eu-west-1'?"),
        ((), _as_it_is, 2, "No region to publish to."),
        (("-r", "eu-west-1"), _nothing_built, 3, "Run: phplayer build"),
        (("-r", "eu-west-1"), _half_a_ledger, 2, "is damaged"),
        (("-r", "eu-west-1"), _broken_archive, 2, "is not a zip"),
        (("-r", "eu-west-1", "--ledger", "missing/x.json"), _as_it_is, 2, "its folder does not exist"),
        (("-r", "eu-west-1", "--profile", "nobody"), _as_it_is, 2, "There is no AWS profile 'nobody'."),
        (("-r", "eu-west-1", "--endpoint-url", "localhost"), _as_it_is, 2, "is not an endpoint URL"),
        (("-r", "eu-west-1", "--endpoint-url", "http://127.0.0.1:1"), _as_it_is, 4, "cannot be reached"),
    ],
)
def test_bad_input_gets_one_sentence_a_remedy_and_its_exit_code(
    phplayer: Phplayer,
    project: Path,
    endpoint: str,
    arguments: tuple[str, ...],
    prepare: Callable[[Path], dict[str, str]],
    code: int,
    words: str,
) -> None:
    env = CREDENTIALS | {"PHPLAYER_PUBLISH_ENDPOINT_URL": endpoint} | prepare(project)
    ledger = project / "phplayer.lock.json"
    before = ledger.read_bytes() if ledger.exists() else None
    done = phplayer("publish", *arguments, cwd=project, env=env, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert (ledger.read_bytes() if ledger.exists() else None) == before
    assert existing(endpoint) == []


def test_help_does_not_load_boto3() -> None:
    program = (
        "import sys; from phplayer.cli import main; main(['publish', '--help']); main(['new-function', '--help']); "
        "sys.exit(bool({'boto3', 'botocore', 'jinja2', 'msgspec'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
