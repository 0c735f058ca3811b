"""``phplayer publish`` through a proxy where calls are throttled, refused, cut off, or the publisher is killed.

Which of two racing things wins is never asserted: only that in the end everything is there, exactly once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests import layers
from tests.conftest import SCRIPTS, Phplayer
from tests.integration.aws_endpoint import CREDENTIALS
from tests.integration.fault_proxy import EXPIRED, RANDOM, Call, Fault, Faults

LAYERS = ("php-84-x86_64", "php-vendor")


def all_regions() -> tuple[str, ...]:
    return tuple(boto3.Session().get_available_regions("lambda"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache of its own, and little patience: what the proxy has not done by then will never be done."""
    return CREDENTIALS | {"PHPLAYER_CACHE": str(tmp_path / "cache"), "PHPLAYER_PUBLISH_PATIENCE": "1"}


def client(endpoint: str, region: str, service: str = "lambda") -> Any:
    keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
    config = Config(retries={"total_max_attempts": 8, "mode": "standard"}, s3={"addressing_style": "path"})
    return boto3.client(service, region_name=region, endpoint_url=endpoint, config=config, **keys)


def existing(endpoint: str, regions: tuple[str, ...]) -> Counter[str]:
    """How many versions there are of each content in each place, straight from the endpoint."""

    def look(region: str) -> list[str]:
        found = []
        lambda_ = client(endpoint, region)
        for layer in LAYERS:
            for page in lambda_.get_paginator("list_layer_versions").paginate(LayerName=layer):
                for listed in page["LayerVersions"]:
                    held = lambda_.get_layer_version(LayerName=layer, VersionNumber=listed["Version"])
                    found.append(f"{region} {layer} {held['Content']['CodeSha256']}")
        return found

    with ThreadPoolExecutor(4) as pool:
        return Counter(each for found in pool.map(look, regions) for each in found)


def recorded(project: Path) -> Counter[str]:
    document = json.loads((project / "phplayer.lock.json").read_text())
    return Counter(f"{entry['region']} {entry['layer']} {entry['code_sha256']}" for entry in document["layers"])


def flags(regions: tuple[str, ...]) -> tuple[str, str]:
    return "--region", ",".join(regions)


def begin(project: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SCRIPTS / "phplayer", "publish", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"]} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, stderr = process.communicate(timeout=300)
    return process.returncode, stderr


def test_with_a_fault_in_every_tenth_call_thirty_regions_are_complete_and_exactly_once(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    regions = all_regions()[:30]
    assert len(regions) == 30
    chance = random.Random(8)  # noqa: S311  seeded, but calls come in any order

    def act(_call: Call) -> Fault | None:
        return chance.choice(RANDOM) if chance.random() < 0.1 else None

    faults.act = act
    command = ("publish", "--endpoint-url", proxy, *flags(regions))
    for _ in range(5):  # it may give up on a call that fails again and again; the next run goes on
        done = phplayer(*command, cwd=project, env=environment, check=False)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    there = existing(endpoint, regions)
    assert len(there) == len(regions) * len(LAYERS)
    assert set(there.values()) == {1}
    assert recorded(project) == there


def test_a_publisher_that_is_killed_at_any_moment_is_resumed_without_loss_or_repetition(
    project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    regions = all_regions()[:6]
    arguments = ("--endpoint-url", proxy, *flags(regions))
    faults.act = lambda call: time.sleep(0.1) if call.publishes else None
    begun = time.monotonic()
    code, stderr = end(begin(project, environment, *arguments))
    assert code == 0, stderr
    usual = time.monotonic() - begun

    contents, killed = 1, 0
    layers.project(project, b"1")
    enough = time.monotonic() + 240  # on a machine with other work fewer blows must do: the end state is what counts
    for _ in range(60):
        process = begin(project, environment, *arguments)
        try:
            process.wait(random.uniform(usual / 3, usual))  # noqa: S311  no secret
        except subprocess.TimeoutExpired:
            process.kill()
        code, stderr = end(process)
        faults.wait_until_idle(proxy)
        if code == -signal.SIGKILL:
            killed += 1
        else:  # it was done before the blow fell, so there is something new to publish
            assert code == 0, stderr
            contents += 1
            layers.project(project, b"%d" % contents)
        if killed == 20 or time.monotonic() > enough:
            break
    code, stderr = end(begin(project, environment, *arguments))
    assert code == 0, stderr

    there = existing(endpoint, regions)
    assert set(there.values()) == {1}
    assert len(there) == len(regions) * len(LAYERS) * (contents + 1)
    assert recorded(project) == there


def test_a_call_that_was_under_way_when_its_publisher_died_is_waited_for(
    project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    held, listed, go_on = threading.Event(), threading.Event(), threading.Event()

    def act(call: Call) -> None:
        if call.publishes and not held.is_set():
            held.set()
            go_on.wait(120)
        elif held.is_set() and call.method == "GET" and call.path.endswith("/versions"):
            if listed.is_set():  # the second look, and AWS had not been ready at the first
                go_on.set()
            listed.set()

    faults.act = act
    next(project.glob("dist/*/vendor.zip")).unlink()
    arguments = ("--endpoint-url", proxy, "-r", "eu-west-1")
    first = begin(project, environment, *arguments)
    try:
        assert held.wait(120)
    finally:
        first.kill()
        end(first)
    code, stderr = end(begin(project, environment | {"PHPLAYER_PUBLISH_PATIENCE": "90"}, *arguments))
    go_on.set()
    assert code == 0, stderr
    faults.wait_until_idle(proxy)
    there = existing(endpoint, ("eu-west-1",))
    assert list(there.values()) == [1]
    assert recorded(project) == there


def test_two_publishers_at_once_publish_everything_once(
    project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    regions = all_regions()[:6]
    faults.act = lambda call: time.sleep(0.3) if call.publishes else None
    both = [begin(project, environment, "--endpoint-url", proxy, *flags(regions)) for _ in range(2)]
    for process in both:
        code, stderr = end(process)
        assert code == 0, stderr
    there = existing(endpoint, regions)
    assert len(there) == len(regions) * len(LAYERS)
    assert set(there.values()) == {1}
    assert recorded(project) == there


def test_each_region_that_fails_is_told_with_its_reason_and_its_remedy(
    phplayer: Phplayer, project: Path, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    reasons = {
        "eu-central-1": (EXPIRED, "The AWS credentials have expired", "aws sso login"),
        "eu-north-1": (
            Fault(status=403, code="InvalidSignatureException", message="Signature expired: 1 is now earlier than 2"),
            "clock is off",
            "Set the clock",
        ),
        "eu-south-1": (
            Fault(status=403, code="UnrecognizedClientException"),
            "has not opted into eu-south-1",
            "enable-region --region-name eu-south-1",
        ),
        "eu-west-2": (Fault(status=400, code="CodeStorageExceededException"), "is full", "prune"),
        "eu-west-3": (
            Fault(status=403, code="AccessDeniedException", message="with an explicit deny in a policy"),
            "explicit deny",
            "service control policy",
        ),
    }

    def act(call: Call) -> Fault | None:
        return reasons[call.region][0] if call.region in reasons and call.service == "lambda" else None

    faults.act = act
    regions = ("eu-west-1", *reasons)
    command = ("publish", "--endpoint-url", proxy, *flags(regions))
    done = phplayer(*command, cwd=project, env=environment, check=False)
    assert done.returncode == 8
    for region, (_, sentence, remedy) in reasons.items():
        line = next(line for line in done.stderr.splitlines() if line.strip().startswith(f"{region} php-vendor: "))
        assert sentence in line
        assert remedy in done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[1::2]] == list(regions)  # in the order of the plan
    assert {place.split()[0] for place in recorded(project)} == {"eu-west-1"}


def test_an_archive_over_the_limit_goes_through_a_bucket_of_its_region(
    phplayer: Phplayer, project: Path, endpoint: str, environment: dict[str, str]
) -> None:
    large = layers.archive(
        next(project.glob("dist/*/vendor.zip")), layers.vendor_manifest(("MIT",)), os.urandom(51 * 1024 * 1024)
    )
    command = ("publish", "--endpoint-url", endpoint, "-r", "eu-west-1,us-east-1")
    bucket = ("--s3-bucket", "layers-{account}-{region}")
    done = phplayer(*command, cwd=project, env=environment, check=False)
    assert done.returncode == 6
    assert "--s3-bucket" in done.stderr
    done = phplayer(*command, *bucket, "--dry-run", cwd=project, env=environment, check=False)
    assert "There is no bucket layers-123456789012-eu-west-1" in done.stderr
    assert "--create-bucket" in done.stderr
    done = phplayer(*command, *bucket, "--create-bucket", "--dry-run", cwd=project, env=environment)
    assert "through s3://layers-123456789012-us-east-1 (would be made)" in done.stdout
    done = phplayer(*command, *bucket, "--create-bucket", cwd=project, env=environment)
    assert done.stdout.count("through layers-123456789012-") == 2
    for region in ("eu-west-1", "us-east-1"):
        held = client(endpoint, region).get_layer_version(LayerName="php-vendor", VersionNumber=1)["Content"]
        assert (held["CodeSha256"], held["CodeSize"]) == (large.code_sha256, large.size)
        s3, name = client(endpoint, region, "s3"), f"layers-123456789012-{region}"
        blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        assert s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        assert "Contents" not in s3.list_objects_v2(Bucket=name)  # taken out again
    wrong = ("--s3-bucket", "layers-123456789012-eu-west-1", "--ledger", "other.json")
    layers.archive(large.path, layers.vendor_manifest(("MIT",)), os.urandom(51 * 1024 * 1024))
    done = phplayer(*command, *wrong, cwd=project, env=environment, check=False)
    assert done.returncode == 8
    assert "is in eu-west-1, but a layer in us-east-1 is taken from a bucket in us-east-1 only" in done.stderr


def test_layers_are_shared_with_those_who_are_named_and_nobody_else(
    phplayer: Phplayer, project: Path, endpoint: str, environment: dict[str, str]
) -> None:
    command = ("publish", "--endpoint-url", endpoint, "-r", "eu-west-1")
    phplayer(*command, cwd=project, env=environment)
    lambda_ = client(endpoint, "eu-west-1")
    with pytest.raises(lambda_.exceptions.ClientError):
        lambda_.get_layer_version_policy(LayerName="php-vendor", VersionNumber=1)

    sharing = ("--share", "account:210987654321", "--share", "org:o-abc1234567")
    assert phplayer(*command, *sharing, cwd=project, env=environment).stdout.count(" shared with account:") == 2
    again = phplayer(*command, *sharing, cwd=project, env=environment)
    assert again.stdout.count("was shared with account:210987654321, was shared with org:o-abc1234567") == 2
    policy = json.loads(lambda_.get_layer_version_policy(LayerName="php-vendor", VersionNumber=1)["Policy"])
    assert len(policy["Statement"]) == 2

    done = phplayer(*command, "--public", cwd=project, env=environment, check=False)
    assert done.returncode == 2
    assert "--public was not confirmed" in done.stderr
    phplayer(*command, "--public", "--yes", "--no-verify", cwd=project, env=environment)
    policy = json.loads(lambda_.get_layer_version_policy(LayerName="php-vendor", VersionNumber=1)["Policy"])
    assert len(policy["Statement"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--share", "account:12345"), "'12345' is not an AWS account."),
        (("--share", "me"), "says nobody to share with"),
        (("-r", "eu-wst-*"), "The account has no region 'eu-wst-*'."),
        (("-r", "eu-west-1,eu-wset-1"), "Did you mean 'eu-west-1'?"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    phplayer: Phplayer,
    project: Path,
    endpoint: str,
    environment: dict[str, str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    command = ("publish", "--endpoint-url", endpoint, "-r", "eu-west-1", *arguments)
    done = phplayer(*command, cwd=project, env=environment, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "fix: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "some", "none"),
    [
        (("--all-regions",), "ap-northeast-1", "cn-north-1"),
        (("-r", "eu-*"), "eu-north-1", "us-east-1"),
        (("-r", "cn-*"), "cn-northwest-1", "us-east-1"),
        (("-r", "us-gov-*"), "us-gov-west-1", "us-east-1"),
    ],
)
def test_regions_are_named_by_patterns(
    phplayer: Phplayer,
    project: Path,
    endpoint: str,
    environment: dict[str, str],
    arguments: tuple[str, ...],
    some: str,
    none: str,
) -> None:
    done = phplayer("publish", "--endpoint-url", endpoint, "--dry-run", *arguments, cwd=project, env=environment)
    found = {line.split()[1] for line in done.stdout.splitlines()[1:]}
    assert some in found
    assert none not in found


def test_an_archive_that_lambda_would_not_run_is_refused_before_anything_is_sent(
    phplayer: Phplayer, project: Path, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    runtime = next(project.glob("dist/*/runtime.zip"))
    layers.archive(runtime, layers.runtime_manifest(), b"\x7fELF no more", without=("bootstrap",))
    command = ("publish", "--endpoint-url", proxy, "-r", "eu-west-1")
    done = phplayer(*command, cwd=project, env=environment, check=False)
    assert done.returncode == 6
    assert "is not fit for live Lambda" in done.stderr
    assert "--allow" in done.stderr
    assert {call.service for call in faults.seen} == {"sts"}
    told = done.stderr.rpartition("To overrule: ")[2].strip().rstrip(".").split()
    assert set(told[::2]) == {"--allow"}
    phplayer(*command, *told, cwd=project, env=environment)
    assert "lambda" in {call.service for call in faults.seen}
