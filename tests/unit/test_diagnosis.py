from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phplayer import aws, cli, diagnosis
from phplayer.diagnosis import Check
from phplayer.engines import docker_daemon, host
from phplayer.errors import AwsRefusedError, EnvironmentMissingError
from phplayer.settings import Settings


class FakeAws:
    """Knows one account, in every region but one."""

    default_region = "eu-north-1"

    def __init__(self, **_options: Any) -> None:
        pass

    def identity(self, region: str) -> aws.Identity:
        if region == "me-south-1":
            raise AwsRefusedError("These credentials are not accepted.", remedy="Opt in.")
        return aws.Identity(account="123456789012", principal="arn:aws:iam::123456789012:user/me")


class NoAws(FakeAws):
    def identity(self, region: str) -> aws.Identity:
        raise EnvironmentMissingError("No AWS credentials were found.", remedy=f"Sign in to {region}.")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An x86_64 Debian that has every package, without Docker and AWS."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, _packages: ())
    monkeypatch.setattr(aws, "Aws", NoAws)


@dataclass(frozen=True)
class FakeDaemon:
    version: str = "99.1"
    address: str = "unix:///fake.sock"
    platform: str = "amd64"
    processors: int = 4
    memory: int = 8 * 10**9

    def runs_natively(self, architecture: str) -> bool:
        return architecture == "x86_64"


def checks(folder: Path, **flags: Any) -> dict[str, Check]:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    found = diagnosis.examine(Settings.load(start=folder, environment={}, flags=named))
    return {check.name: check for check in found.checks} | {"engine": Check(name=found.engine, ok=True)}


def test_without_docker_the_host_engine_is_looked_at_and_docker_is_optional(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert found["engine"].name == "host"
    assert not found["Docker"].ok
    assert not found["Docker"].required
    assert "compile on this machine" in found["Docker"].remedy
    assert found["compiler and libraries"].ok
    assert diagnosis.failure(tuple(found.values())) is None


def test_docker_asked_for_and_missing_is_an_error(tmp_path: Path) -> None:
    found = checks(tmp_path, build__engine="docker")
    error = diagnosis.failure(tuple(found.values()))
    assert error is not None
    assert error.exit_code == 4
    assert "lacks: Docker" in error.message
    assert "compiler and libraries" not in found, "of this machine's compilers nothing is needed"


def test_with_docker_it_is_what_a_build_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_daemon, "connect", FakeDaemon)
    monkeypatch.setattr(diagnosis, "_EMULATORS", tmp_path)
    found = checks(tmp_path)
    assert found["engine"].name == "docker"
    assert "99.1 at unix:///fake.sock, amd64, 4 processors, 8.0 GB" in found["Docker"].found
    assert (found["emulation of arm64"].ok, found["emulation of arm64"].required) == (False, False)
    assert checks(tmp_path, build__arch=("all",))["emulation of arm64"].required
    (tmp_path / "qemu-aarch64").touch()
    assert checks(tmp_path, build__arch=("all",))["emulation of arm64"].ok
    assert "ccache" not in found


def test_the_host_engine_cannot_compile_for_another_architecture(tmp_path: Path) -> None:
    assert not checks(tmp_path, build__arch=("arm64",))["compiling for arm64"].ok


def test_more_compilers_than_the_memory_holds_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phplayer.engines.capacity.memory", lambda: 3 * 10**9)
    found = checks(tmp_path, build__jobs=8)["memory"]
    assert (found.ok, found.required) == (False, False)
    assert "3.0 GB are little for 8 compilers" in found.remedy
    assert checks(tmp_path, build__jobs=2)["memory"].ok
    monkeypatch.setattr("phplayer.engines.capacity.memory", lambda: 5 * 10**8)
    assert checks(tmp_path)["memory"].required


def test_credentials_and_each_region_are_told_and_fail_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No AWS credentials" in checks(tmp_path)["AWS credentials (for publish)"].remedy
    monkeypatch.setattr(aws, "Aws", FakeAws)
    found = checks(tmp_path, publish__regions=("eu-west-1", "me-south-1"))
    assert "123456789012" in found["AWS credentials (for publish)"].found
    regions = found["regions (for publish)"]
    assert (regions.ok, regions.required) == (False, False)
    assert regions.remedy == "me-south-1: These credentials are not accepted. Opt in."
    assert checks(tmp_path, publish__regions=("eu-west-1", "eu-west-2"))["regions (for publish)"].ok
    assert "regions (for publish)" not in checks(tmp_path)


def test_missing_packages_are_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, packages: packages[:1])
    (tmp_path / "composer.json").write_text("{}")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    found = checks(tmp_path)
    command = diagnosis.install_command(tuple(found.values()))
    assert command[-3:] == ("binutils", "ccache", "composer")
    assert "apt-get install" in found["Composer"].remedy


def test_the_command_prints_one_document_with_the_error_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    fine = json.loads(capsys.readouterr().out)
    assert (fine["engine"], fine["ok"]) == ("host", True)
    assert {"name", "ok", "required", "found", "remedy"} == set(fine["checks"][0])
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, _packages: ("gcc",))
    assert cli.main(["doctor", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert "compiler and libraries" in document["error"]["message"]
    assert cli.main(["doctor"]) == 4
    said = capsys.readouterr()
    assert "MISSING  compiler and libraries" in said.out
    assert "apt-get install" in said.err


def test_nothing_is_installed_without_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(diagnosis, "install", ran.append)
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, _packages: ("gcc",))
    assert cli.main(["doctor", "--fix"]) == 4
    assert ran == []
    assert cli.main(["doctor", "--fix", "--yes"]) == 4
    assert ran[0][-1] == "gcc"
