"""Counterparties that several integration tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layers
from tests.integration import aws_endpoint, docker_bed
from tests.integration.fault_proxy import Faults, faulty_proxy


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of moto's server, which stands for AWS."""
    with aws_endpoint.moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as url:
        yield url


@pytest.fixture
def endpoint(moto: str) -> str:
    """The same, without anything in it."""
    aws_endpoint.reset(moto)
    return moto


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder as ``phplayer build`` leaves it."""
    return layers.project(tmp_path / "project")


@pytest.fixture
def faults() -> Faults:
    """What the proxy in front of AWS does to calls."""
    return Faults()


@pytest.fixture
def proxy(endpoint: str, faults: Faults) -> Iterator[str]:
    """The URL of that proxy."""
    with faulty_proxy(endpoint, faults) as url:
        yield url


@pytest.fixture(scope="session")
def bed() -> Iterator[docker_bed.DockerBed]:
    """A Docker daemon of the tests' own."""
    with docker_bed.running() as bed:
        yield bed


@pytest.fixture
def daemon(
    bed: docker_bed.DockerBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[docker_bed.DockerBed]:
    """The same, found as a user's shell would; a test may leave nothing in it."""
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", bed.environment["DOCKER_HOST"])
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    yield bed
    left = [*bed.ours(), *bed.unnamed_images()]
    bed.clear()
    assert left == []
