from __future__ import annotations

import errno
import json
import shlex
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from phplayer import aws, catalog, cli, diagnosis
from phplayer.diagnosis import Check, emulation, engine
from phplayer.engines import docker_daemon, host
from phplayer.errors import AwsRefusedError, EnvironmentMissingError, PhplayerError, UsageError
from phplayer.settings import Settings


class FakeAws:
    """Knows one account, in every region but one."""

    default_region = "eu-north-1"

    @classmethod
    def of(cls, _settings: Settings, *, hasty: bool) -> Self:
        assert hasty, "a diagnosis does not wait for minutes"
        return cls()

    def identity(self, region: str) -> aws.Identity:
        if region == "me-south-1":
            raise AwsRefusedError("These credentials are not accepted.", remedy="Opt in.")
        return aws.Identity(account="123456789012", principal="arn:aws:iam::123456789012:user/me")

    def enabled_regions(self, _region: str) -> tuple[tuple[str, ...], PhplayerError | None]:
        return ("eu-west-1", "eu-west-2"), None


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
    images: str = "/nowhere"

    @property
    def api(self) -> Any:
        return SimpleNamespace(info=lambda: {"DockerRootDir": self.images})

    def asked_to(self, _what: str) -> nullcontext[None]:
        return nullcontext()

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


def test_an_engine_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown engine 'dokcer'"):
        checks(tmp_path, build__engine="dokcer")


def test_with_docker_it_is_what_a_build_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_daemon, "connect", FakeDaemon)
    monkeypatch.setattr(emulation, "_FORMATS", tmp_path)
    found = checks(tmp_path)
    assert found["engine"].name == "docker"
    assert "99.1 at unix:///fake.sock, amd64, 4 processors, 8.0 GB" in found["Docker"].found
    assert (found["emulation of arm64"].ok, found["emulation of arm64"].required) == (False, False)
    assert checks(tmp_path, build__arch=("all",))["emulation of arm64"].required
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu\nflags: OC\n")
    assert not checks(tmp_path, build__arch=("all",))["emulation of arm64"].ok, "a container does not see the file"
    (tmp_path / "qemu-aarch64").write_text("disabled\ninterpreter /usr/bin/qemu\nflags: OCF\n")
    assert not checks(tmp_path, build__arch=("all",))["emulation of arm64"].ok
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu\nflags: OCF\n")
    assert checks(tmp_path, build__arch=("all",))["emulation of arm64"].ok
    assert "ccache" not in found


def test_a_daemon_needs_room_for_images_where_it_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_daemon, "connect", FakeDaemon)
    assert "disk space of Docker" not in checks(tmp_path), "it is another machine's"
    monkeypatch.setattr(docker_daemon, "connect", lambda: FakeDaemon(images=str(tmp_path)))
    for free, ok in ((2 * 10**9, False), (4 * 10**9, True)):
        monkeypatch.setattr("shutil.disk_usage", lambda _path, free=free: SimpleNamespace(free=free))
        assert checks(tmp_path)["disk space of Docker"].ok is ok


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
    assert checks(tmp_path)["regions of the account"].found == "2: eu-west-1, eu-west-2"
    assert "eu-west-1, eu-west-2" in checks(tmp_path, publish__regions=("eu-*",))["regions (for publish)"].found
    assert "no region 'us-*'" in checks(tmp_path, publish__regions=("us-*",))["regions (for publish)"].remedy


def test_missing_packages_are_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, packages: packages[:1])
    (tmp_path / "composer.json").write_text("{}")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    found = checks(tmp_path)
    (fix,) = diagnosis.fixes(tuple(found.values()))
    (command,) = diagnosis.commands(fix)
    assert command[-3:] == ("binutils", "ccache", "composer")
    assert "apt-get install" in found["Composer"].remedy


def test_the_command_prints_one_document_with_the_error_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    fine = json.loads(capsys.readouterr().out)
    assert (fine["engine"], fine["ok"]) == ("host", True)
    assert {"name", "ok", "required", "found", "remedy", "fix"} == set(fine["checks"][0])
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, _packages: ("gcc",))
    assert cli.main(["doctor", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert "compiler and libraries" in document["error"]["message"]
    assert cli.main(["doctor"]) == 4
    said = capsys.readouterr()
    assert "MISSING  compiler and libraries" in said.out
    assert "apt-get install" in said.err


@pytest.fixture
def administered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that stand in for an administrator's, alone on PATH; each notes its call in the file, or fails."""
    bin_, called = tmp_path / "bin", tmp_path / "called"
    bin_.mkdir()
    for name in ("apt-get", "systemctl", "mount", "update-binfmts"):
        program = bin_ / name
        fails = f"$FAIL_{name.replace('-', '_')}"
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{shlex.quote(str(called))}\necho noise\nexit {fails}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(host, "base_of_this_machine", lambda: catalog.load().bases["debian"])
    monkeypatch.setattr(engine, "base_of_this_machine", lambda: catalog.load().bases["debian"])
    monkeypatch.setattr(emulation, "base_of_this_machine", lambda: catalog.load().bases["debian"])
    monkeypatch.setattr(engine, "_SYSTEMD", tmp_path / "systemd")
    called.touch()
    return called


APT = "apt-get install -y --no-install-recommends"


def missing_docker(number: int) -> EnvironmentMissingError:
    return docker_daemon._missing("unix:///var/run/docker.sock", OSError(number, "told"))


def no_docker(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOENT) -> None:
    def connect() -> None:
        raise missing_docker(number)

    monkeypatch.setattr(docker_daemon, "connect", connect)


def test_nothing_is_done_without_a_yes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], administered: Path
) -> None:
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, _packages: ("gcc",))
    assert cli.main(["doctor", "--fix"]) == 4
    assert administered.read_text() == ""
    said = capfd.readouterr()
    assert f"Not run, for packages: {APT} gcc" in said.err
    assert cli.main(["doctor", "--fix", "--yes"]) == 4
    assert administered.read_text() == f"{APT} gcc\n"
    said = capfd.readouterr()
    assert f"$ {APT} gcc" in said.err
    assert "noise" in said.err
    assert "noise" not in said.out, "stdout carries the result only"


def test_docker_is_installed_and_started_where_a_build_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, administered: Path
) -> None:
    no_docker(monkeypatch)
    assert cli.main(["doctor", "--fix", "--yes"]) == 0
    assert administered.read_text() == "", "nobody asked for Docker"
    monkeypatch.setenv("PHPLAYER_BUILD_ENGINE", "docker")
    cli.main(["doctor", "--fix", "--yes"])
    assert administered.read_text() == f"{APT} docker.io\n", "without systemd there is nothing to start it with"
    administered.write_text("")
    (tmp_path / "systemd").mkdir()
    cli.main(["doctor", "--fix", "--yes"])
    assert administered.read_text() == f"{APT} docker.io\nsystemctl enable --now docker\n"
    administered.write_text("")
    (tmp_path / "bin" / "dockerd").write_text("")
    (tmp_path / "bin" / "dockerd").chmod(0o755)
    no_docker(monkeypatch, errno.ECONNREFUSED)
    cli.main(["doctor", "--fix", "--yes"])
    assert administered.read_text() == "systemctl enable --now docker\n"
    (tmp_path / "systemd").rmdir()
    installed = checks(tmp_path, build__engine="docker")["Docker"]
    assert installed.fix is None
    assert "run dockerd as root" in installed.remedy


def test_a_daemon_that_refuses_or_is_elsewhere_is_for_the_user_to_mend(
    tmp_path: Path, administered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.fix(missing_docker(errno.EACCES)) is None
    assert checks(tmp_path, build__engine="docker")["Docker"].fix is None, "DOCKER_HOST names another place"
    assert engine.fix(missing_docker(errno.ENOENT)) is not None
    assert administered.read_text() == ""


def test_docker_is_needed_where_an_architecture_is_not_this_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, administered: Path
) -> None:
    no_docker(monkeypatch)
    found = checks(tmp_path, build__arch=("arm64",))["Docker"]
    assert found.required
    assert found.fix == diagnosis.Fix(what="Docker", packages=("docker.io",))
    assert administered.read_text() == ""


def test_emulation_is_installed_and_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, administered: Path
) -> None:
    monkeypatch.setattr(docker_daemon, "connect", FakeDaemon)
    monkeypatch.setattr(emulation, "_FORMATS", tmp_path)
    monkeypatch.setenv("PHPLAYER_BUILD_ARCH", "all")
    packages, enable = f"{APT} qemu-user-static binfmt-support", "update-binfmts --enable qemu-aarch64"
    cli.main(["doctor", "--fix", "--yes"])
    assert administered.read_text() == f"{packages}\nmount -t binfmt_misc binfmt_misc {tmp_path}\n{enable}\n"
    administered.write_text("")
    (tmp_path / "register").touch()
    cli.main(["doctor", "--fix", "--yes"])
    assert administered.read_text() == f"{packages}\n{enable}\n", "it is mounted already"


def test_a_repair_that_fails_is_told_and_hinders_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], administered: Path
) -> None:
    no_docker(monkeypatch)
    monkeypatch.setattr(host.HostEngine, "missing", lambda _self, _packages: ("gcc",))
    monkeypatch.setenv("PHPLAYER_BUILD_ARCH", "all")
    monkeypatch.setenv("FAIL_apt_get", "100")
    assert cli.main(["doctor", "--fix", "--yes", "--json"]) == 4
    assert administered.read_text() == f"{APT} docker.io\n{APT} gcc\n"
    said = capsys.readouterr()
    assert f"warning: {APT} gcc ended with status 100." in said.err
    by_name = {check["name"]: check for check in json.loads(said.out)["checks"]}
    assert by_name["compiler and libraries"]["fix"] == [f"{APT} gcc"]
    assert by_name["disk space"]["fix"] == []
