"""Counterparties that several integration tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration import aws_endpoint, docker_bed


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


@pytest.fixture(scope="session")
def bed() -> Iterator[docker_bed.DockerBed]:
    """A Docker daemon of the tests' own."""
    with docker_bed.running() as bed:
        yield bed
