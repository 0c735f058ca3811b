"""``phplayer layers equalize``: one number means one content in every region."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from phplayer import ledger, version_metadata
from tests import layers, ledger_entries
from tests.conftest import SCRIPTS, Phplayer
from tests.integration.aws_endpoint import CREDENTIALS, Call, Faults, faulty_proxy

LAYER = "php-84-x86_64"
EU, US = "eu-west-1", "us-east-1"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def url(endpoint: str, faults: Faults) -> Iterator[str]:
    with faulty_proxy(endpoint, faults) as url:
        yield url


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def run(phplayer: Phplayer, project: Path, url: str) -> Run:
    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return phplayer(*arguments, cwd=project, env={**CREDENTIALS, "AWS_ENDPOINT_URL": url}, check=check)

    return run


def publish(run: Run, project: Path, content: bytes, *regions: str) -> None:
    layers.archive(project / "dist" / "php" / "runtime.zip", layers.runtime_manifest(), content)
    run("publish", *(flag for region in regions for flag in ("-r", region)))


def client(endpoint: str, region: str) -> Any:
    keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
    made: Any = boto3.client
    return made("lambda", region_name=region, endpoint_url=endpoint, **keys)


def versions(endpoint: str, region: str) -> dict[int, str]:
    """The digest of each version there."""
    with contextlib.closing(client(endpoint, region)) as there:
        numbers = [version["Version"] for version in there.list_layer_versions(LayerName=LAYER)["LayerVersions"]]
        return {
            number: there.get_layer_version(LayerName=LAYER, VersionNumber=number)["Content"]["CodeSha256"]
            for number in sorted(numbers)
        }


def recorded(project: Path) -> list[tuple[str, int, bool]]:
    entries = ledger.read(project / "phplayer.lock.json").entries
    return [(entry.region, entry.version, entry.current) for entry in entries]


@pytest.fixture
def behind(project: Path, url: str, endpoint: str) -> None:
    """Europe is at version 4, the United States at version 1, with the same content; as ``publish`` leaves it."""
    with contextlib.ExitStack() as stack:
        clients = {region: stack.enter_context(contextlib.closing(client(endpoint, region))) for region in (EU, US)}
        for content, regions in ((b"one", [EU]), (b"two", [EU]), (b"three", [EU]), (b"four", [EU, US])):
            archive = layers.archive(project / "dist" / "php" / "runtime.zip", layers.runtime_manifest(), content)
            for region in regions:
                answer = clients[region].publish_layer_version(
                    LayerName=LAYER,
                    Content={"ZipFile": archive.path.read_bytes()},
                    Description=version_metadata.description(archive.manifest),
                )
                entry = msgspec.structs.replace(
                    ledger_entries.entry(LAYER, region, answer["Version"], endpoint=url),
                    code_sha256=archive.code_sha256,
                )
                ledger.record(project / "phplayer.lock.json", entry)


@pytest.mark.usefixtures("behind")
def test_the_region_that_is_behind_gets_the_same_content_until_the_number_is_the_same(
    run: Run, project: Path, endpoint: str
) -> None:
    planned = run("layers", "equalize", "--dry-run")
    assert [" ".join(line.split()) for line in planned.stdout.splitlines()[1:]] == [
        f"{LAYER} {EU} 4 4 in line",
        f"{LAYER} {US} 1 4 would publish again",
    ]
    refused = run("layers", "equalize", check=False)
    assert (refused.returncode, list(versions(endpoint, US))) == (2, [1])
    assert "pass --yes" in refused.stderr

    document = json.loads(run("layers", "equalize", "--yes", "--json").stdout)
    assert [(each["region"], each["version"], each["happened"]) for each in document["layers"]] == [
        (EU, 4, "in_line"),
        (US, 4, "published"),
    ]
    there = versions(endpoint, US)
    assert list(there) == [1, 2, 3, 4]
    assert set(there.values()) == {versions(endpoint, EU)[4]}
    assert [each for each in recorded(project) if each[0] == US] == [
        *((US, number, False) for number in (1, 2, 3)),
        (US, 4, True),
    ]
    again = run("layers", "equalize", "--yes")
    assert "All numbers are in line." in again.stderr
    assert list(versions(endpoint, US)) == [1, 2, 3, 4]
    assert "unchanged" in run("publish", "-r", EU, "-r", US).stdout


@pytest.mark.usefixtures("behind")
def test_a_number_that_means_something_else_is_passed_over(run: Run, project: Path, endpoint: str) -> None:
    publish(run, project, b"three", EU, US)  # the project goes back: version 3 in Europe, and 4 is another content
    run("layers", "equalize", "--yes")
    assert max(versions(endpoint, EU)) == max(versions(endpoint, US)) == 5
    assert versions(endpoint, EU)[5] == versions(endpoint, US)[5] == versions(endpoint, EU)[3]


def test_regions_with_different_content_are_left_alone(run: Run, project: Path, endpoint: str) -> None:
    publish(run, project, b"one", EU, US)
    publish(run, project, b"two", EU)
    done = run("layers", "equalize", "--yes", check=False)
    assert done.returncode == 2
    assert "no number can mean the same everywhere" in done.stderr
    assert f"phplayer publish -r {EU} -r {US}" in done.stderr
    assert list(versions(endpoint, US)) == [1]


@pytest.mark.usefixtures("behind")
def test_an_answer_that_is_lost_makes_no_version_too_many(run: Run, endpoint: str, faults: Faults) -> None:
    faults.cut = lambda call: call.publishes
    run("layers", "equalize", "--yes")
    assert list(versions(endpoint, US)) == [1, 2, 3, 4]


@pytest.mark.usefixtures("behind")
def test_an_equalize_that_is_killed_goes_on_when_it_is_run_again(
    run: Run, project: Path, url: str, endpoint: str, faults: Faults
) -> None:
    published: list[Call] = []
    victims: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def kill_after_the_second(call: Call) -> bool:
        if call.publishes:
            published.append(call)
            if len(published) == 2:
                started.wait(60)
                victims[0].send_signal(signal.SIGKILL)
                return True  # published, and the answer never arrives
        return False

    faults.cut = kill_after_the_second
    env = {"PATH": os.environ["PATH"], "PHPLAYER_CACHE": os.environ["PHPLAYER_CACHE"], **CREDENTIALS}
    command: list[str | Path] = [SCRIPTS / "phplayer", "layers", "equalize", "--yes", "--endpoint-url", url]
    with (project / "out").open("wb") as out:
        victims.append(subprocess.Popen(command, cwd=project, env=env, stdout=out, stderr=out))
        started.set()
        assert victims[0].wait(120) == -signal.SIGKILL
    assert list(versions(endpoint, US)) == [1, 2, 3]
    assert [each for each in recorded(project) if each[0] == US] == [(US, 1, False), (US, 2, True)]
    run("layers", "equalize", "--yes")
    assert list(versions(endpoint, US)) == [1, 2, 3, 4]
    assert len(published) == 3
    assert [each for each in recorded(project) if each[0] == US][-1] == (US, 4, True)
    assert json.loads(run("layers", "--json").stdout)["drift"] is False


@pytest.mark.usefixtures("behind")
def test_two_at_once_publish_no_version_too_many(
    run: Run, project: Path, url: str, endpoint: str, faults: Faults
) -> None:
    planned = threading.Semaphore(0)
    waiting = threading.Lock()
    waited: list[bool] = []

    def hold_until_both_have_looked(call: Call) -> None:
        if call.region == US and call.method == "GET" and call.path.endswith("/versions/1"):
            planned.release()
        if call.publishes:
            with waiting:
                if not waited:
                    waited.extend(planned.acquire(timeout=60) for _ in range(2))

    faults.act = hold_until_both_have_looked
    env = {"PATH": os.environ["PATH"], "PHPLAYER_CACHE": os.environ["PHPLAYER_CACHE"], **CREDENTIALS}
    command: list[str | Path] = [SCRIPTS / "phplayer", "layers", "equalize", "--yes", "--endpoint-url", url]
    with (project / "out").open("wb") as out:
        both = [subprocess.Popen(command, cwd=project, env=env, stdout=out, stderr=out) for _ in range(2)]
        codes = [each.wait(240) for each in both]
    assert codes == [0, 0], (project / "out").read_text()
    assert waited == [True, True]
    assert list(versions(endpoint, US)) == [1, 2, 3, 4]
    assert [each for each in recorded(project) if each[0] == US][-1] == (US, 4, True)


@pytest.mark.usefixtures("behind")
def test_content_that_is_not_to_be_had_is_told(run: Run, project: Path, endpoint: str) -> None:
    """What moto's server says about where the content is leads nowhere."""
    (project / "dist").rename(project / "elsewhere")
    done = run("layers", "equalize", "--yes", check=False)
    assert done.returncode == 8
    assert "neither built here nor to be had from AWS" in done.stderr
    assert "phplayer build" in done.stderr
    assert list(versions(endpoint, US)) == [1]
