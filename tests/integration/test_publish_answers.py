"""``phplayer publish`` through a proxy that hands on only half of what AWS answers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.conftest import Phplayer
from tests.integration.aws_endpoint import CREDENTIALS
from tests.integration.fault_proxy import CUT_OFF, HALVES, Call, Fault, Faults

REGIONS = ("eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "us-east-1", "us-east-2", "us-west-1")
SPOILED = dict(zip(REGIONS, HALVES, strict=True))
"""Each region answers with another half."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return CREDENTIALS | {"PHPLAYER_CACHE": str(tmp_path / "cache"), "PHPLAYER_PUBLISH_PATIENCE": "1"}


@pytest.fixture
def project(project: Path) -> Path:
    """One layer is enough."""
    next(project.glob("dist/*/vendor.zip")).unlink()
    return project


def existing(endpoint: str) -> list[str]:
    keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
    arns = []
    for region in REGIONS:
        client = boto3.client("lambda", region_name=region, endpoint_url=endpoint, **keys)
        found = client.list_layer_versions(LayerName="php-84-x86_64")["LayerVersions"]
        arns += [version["LayerVersionArn"] for version in found]
    return sorted(arns)


def recorded(project: Path) -> list[str]:
    return sorted(entry["arn"] for entry in json.loads((project / "phplayer.lock.json").read_text())["layers"])


def lists(call: Call) -> bool:
    return call.method == "GET" and call.path.endswith("/versions")


def test_half_an_answer_to_publish_makes_no_second_version(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    faults.act = lambda call: SPOILED[call.region] if call.publishes else None
    phplayer("publish", "--endpoint-url", proxy, "-r", ",".join(REGIONS), cwd=project, env=environment)
    assert recorded(project) == existing(endpoint)
    assert len(recorded(project)) == len(REGIONS)


def test_half_a_list_is_asked_for_again_and_never_taken_for_an_empty_one(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    command = ("publish", "--endpoint-url", proxy, "-r", ",".join(REGIONS))
    phplayer(*command, cwd=project, env=environment)
    before = existing(endpoint)
    (project / "phplayer.lock.json").unlink()
    spoiled: set[str] = set()

    def act(call: Call) -> Fault | None:
        if not lists(call) or call.region in spoiled:
            return None
        spoiled.add(call.region)
        return SPOILED[call.region]

    faults.act = act
    assert phplayer(*command, cwd=project, env=environment).stdout.count("found on AWS") == len(REGIONS)
    assert recorded(project) == before == existing(endpoint)


def test_when_no_list_comes_whole_nothing_is_published(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    faults.act = lambda call: CUT_OFF if lists(call) else None
    command = ("publish", "--endpoint-url", proxy, "-r", "eu-west-1")
    done = phplayer(*command, cwd=project, env=environment, check=False)
    assert done.returncode == 7
    assert "lambda:ListLayerVersions in eu-west-1" in done.stderr
    assert "half an answer" in done.stderr
    assert existing(endpoint) == []


def test_a_call_that_is_kept_waiting_is_given_up_and_its_version_looked_for(
    phplayer: Phplayer, project: Path, endpoint: str, proxy: str, faults: Faults, environment: dict[str, str]
) -> None:
    heard = threading.Event()  # that the client has given up: it asks for what came of the call
    published = threading.Event()

    def keep(call: Call) -> bool:
        if call.publishes:
            published.set()
            heard.wait(120)
        elif lists(call) and published.is_set():
            heard.set()
        return False

    faults.cut = keep  # asked when the call has taken effect
    command = ("publish", "--endpoint-url", proxy, "-r", "eu-west-1")
    waiting = {"PHPLAYER_PUBLISH_TIMEOUT": "3", "PHPLAYER_PUBLISH_PATIENCE": "120"}  # until it has taken effect
    phplayer(*command, cwd=project, env=environment | waiting)
    assert recorded(project) == existing(endpoint)
    assert len(recorded(project)) == 1
    assert sum(call.publishes for call in faults.seen) == 1
