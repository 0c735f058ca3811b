"""``phplayer publish`` to ministack, whose layers can be downloaded and which tells an account's regions."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import layers
from tests.conftest import Phplayer
from tests.integration.aws_endpoint import CREDENTIALS
from tests.ports import free_port


@pytest.fixture(scope="module")
def ministack(tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, home, port = tools("ministack") / "ministack", tmp_path_factory.mktemp("ministack"), free_port()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "GATEWAY_PORT": str(port)}
    environment |= {"MINISTACK_HOST": "127.0.0.1", "BIND_HOST": "127.0.0.1"}
    log = home / "ministack.log"
    with log.open("wb") as output:
        server = subprocess.Popen([program], cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.2)
            else:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return layers.project(tmp_path / "project", os.urandom(32))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return CREDENTIALS | {"PHPLAYER_CACHE": str(tmp_path / "cache")}


def test_what_becomes_public_is_downloaded_and_compared_before(
    phplayer: Phplayer, project: Path, ministack: str, environment: dict[str, str]
) -> None:
    command = ("publish", "--endpoint-url", ministack, "-r", "eu-west-1,us-east-1")
    done = phplayer(*command, "--public", "--yes", cwd=project, env=environment)
    assert done.stdout.count("published, verified, shared with everybody") == 4
    again = phplayer(*command, "--verify", cwd=project, env=environment)
    assert again.stdout.count("unchanged, verified") == 4


def test_all_regions_are_those_that_the_account_api_names(
    phplayer: Phplayer, project: Path, ministack: str, environment: dict[str, str]
) -> None:
    command = ("publish", "--endpoint-url", ministack, "--all-regions", "--dry-run", "--json")
    document = json.loads(phplayer(*command, cwd=project, env=environment).stdout)
    regions = {layer["region"] for layer in document["layers"]}
    assert {"eu-west-1", "us-east-1"} <= regions
    assert {layer["happened"] for layer in document["layers"]} == {"would_publish"}


def test_a_version_that_holds_something_else_is_reported(
    phplayer: Phplayer, project: Path, ministack: str, environment: dict[str, str]
) -> None:
    command = ("publish", "--endpoint-url", ministack, "-r", "eu-north-1")
    phplayer(*command, cwd=project, env=environment)
    ledger = project / "phplayer.lock.json"
    document = json.loads(ledger.read_text())
    layers.project(project, os.urandom(32))
    phplayer(*command, cwd=project, env=environment)
    held = {entry["layer"]: entry["code_sha256"] for entry in json.loads(ledger.read_text())["layers"][1::2]}
    for entry in document["layers"]:  # a ledger that claims of the first version what the second holds
        entry["code_sha256"] = held[entry["layer"]]
    ledger.write_text(json.dumps(document))
    done = phplayer(*command, "--verify", cwd=project, env=environment, check=False)
    assert done.returncode == 7
    assert "layer:php-vendor:1 does not hold " in done.stderr


def test_a_published_version_is_downloaded_and_verified(
    phplayer: Phplayer, project: Path, ministack: str, environment: dict[str, str]
) -> None:
    phplayer("publish", "--endpoint-url", ministack, "-r", "eu-west-1", cwd=project, env=environment)
    runtime, vendor = [entry["arn"] for entry in json.loads((project / "phplayer.lock.json").read_text())["layers"]]
    command = ("verify", "--endpoint-url", ministack, runtime)
    done = phplayer(*command, "--with", vendor, "--json", cwd=project, env=environment)
    document = json.loads(done.stdout)
    assert (document["kind"], document["fit"], document["findings"]) == ("layer-version", True, [])
    runtime_zip, vendor_zip = sorted(project.glob("dist/*/*.zip"))
    assert document["layer"]["zipped"] == runtime_zip.stat().st_size
    assert [other["zipped"] for other in document["others"]] == [vendor_zip.stat().st_size]
    absent = runtime.rpartition(":")[0] + ":99"
    done = phplayer("verify", "--endpoint-url", ministack, absent, cwd=project, env=environment, check=False)
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr
