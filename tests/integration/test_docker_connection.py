"""Which engine compiles, and how the docker engine gets to its daemon."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phplayer.engines import EngineOptions, choose, docker_daemon
from phplayer.errors import EnvironmentMissingError, UsageError
from phplayer.events import Event
from phplayer.runtime import Architecture
from tests.conftest import ROOT
from tests.integration import standin
from tests.integration.docker_bed import DockerBed
from tests.integration.docker_client import client, until, wait_for
from tests.integration.ssh_server import SshServer, ssh_server
from tests.integration.tunnel import port_to

pytestmark = pytest.mark.usefixtures("daemon")

FOREIGN = next(each for each in Architecture if each != Architecture.of_this_machine())


def test_auto_is_docker_where_a_daemon_answers(bed: DockerBed) -> None:
    said: list[Event] = []
    engine = choose(EngineOptions(base_image=bed.image()), standin.runtime(), said.append)
    assert engine.name == "docker"
    assert f"Compiling in {bed.image()}, with Docker " in str(said[-1])


def test_auto_is_this_machine_where_none_does_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    said: list[Event] = []
    assert choose(EngineOptions(), standin.runtime(), said.append).name == "host"
    assert "there is no socket at /nowhere/docker.sock" in str(said[-1])
    with pytest.raises(EnvironmentMissingError, match="no socket") as caught:
        choose(EngineOptions(base_image="x"), standin.runtime(), said.append)
    assert "--engine host" in caught.value.remedy
    with pytest.raises(EnvironmentMissingError) as caught:
        choose(EngineOptions(), standin.runtime(FOREIGN), said.append)
    assert "Docker" in caught.value.remedy


def test_the_host_engine_has_no_container_to_keep() -> None:
    with pytest.raises(UsageError, match="--keep-container"):
        choose(EngineOptions(engine="host", keep_container=True), standin.runtime(), print)


def test_a_socket_that_nobody_serves_is_told_from_one_that_is_not_there(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(docker_daemon.DaemonMissingError, match="no daemon listens"):
        docker_daemon.connect()


def test_a_daemon_that_never_answers_is_not_waited_for(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    monkeypatch.setattr(docker_daemon, "_PROBE", 1)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(docker_daemon.DaemonMissingError, match="does not answer within 1 seconds"):
            docker_daemon.connect()


def test_a_socket_that_refuses_the_user_names_the_group(bed: DockerBed, tmp_path: Path) -> None:
    """As another user than root, in a process of its own."""
    bed.run.chmod(0o755)
    code = (
        "from phplayer.engines import docker_daemon as daemon\n"
        "try: daemon.connect()\n"
        "except daemon.DaemonMissingError as error: print(error, error.remedy)\n"
    )
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **bed.environment, "HOME": "/"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "permission denied at" in done.stdout, done.stderr
    assert "usermod -aG docker" in done.stdout


# -- where the daemon is -------------------------------------------------------------------------------------------


def test_a_daemon_behind_tcp_serves_as_well(bed: DockerBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with port_to(bed.socket) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        folder = standin.write(tmp_path / "scripts", {"1-make": standin.RESULT})
        assert (standin.run(folder, standin.engine(bed.image())) / "made").read_text() == "made\n"


@pytest.fixture
def contexts(bed: DockerBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Docker's own client with a configuration of the test's, which has the context ``tests``."""
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))

    def docker(*arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    docker("context", "create", "tests", "--docker", f"host=unix://{bed.socket}")
    return docker


def test_the_context_that_the_environment_names_is_used(
    contexts: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "tests")
    found = docker_daemon.connect()
    assert found.origin == "context tests"
    assert found.address == contexts("context", "inspect", "tests", "--format", "{{.Endpoints.docker.Host}}")
    assert found.version == contexts("version", "--format", "{{.Server.Version}}")


def test_the_context_in_use_is_used_unless_docker_host_is_set(
    contexts: Callable[..., str], bed: DockerBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts("context", "use", "tests")
    said: list[Event] = []
    engine = choose(EngineOptions(base_image=bed.image()), standin.runtime(), said.append)
    assert engine.name == "docker"
    assert f"at unix://{bed.socket} (context tests)" in str(said[-1])
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(docker_daemon.DaemonMissingError, match="no socket at /nowhere"):
        docker_daemon.connect()


def test_a_context_that_is_gone_is_named_with_who_asks_for_it(
    contexts: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts("context", "use", "tests")
    shutil.rmtree(tmp_path / "config" / "contexts")
    with pytest.raises(docker_daemon.DaemonMissingError, match=r"no context 'tests', which .*config.json names"):
        docker_daemon.connect()
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    with pytest.raises(docker_daemon.DaemonMissingError, match="no context 'other', which DOCKER_CONTEXT names"):
        docker_daemon.connect()


# -- behind ssh ----------------------------------------------------------------------------------------------------


@pytest.fixture
def far(bed: DockerBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshServer:
    """A machine behind ssh on which the daemon is Docker's own choice."""
    server = ssh_server(tmp_path, bed.environment)
    monkeypatch.setenv("PATH", f"{server.path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://root@bed:2222")
    return server


def test_a_daemon_behind_ssh_compiles_and_keeps_nothing(far: SshServer, bed: DockerBed, tmp_path: Path) -> None:
    said: list[Event] = []
    folder = standin.write(tmp_path / "scripts", {"1-make": f"seq 20000\n{standin.RESULT}"})
    tree = standin.run(folder, standin.engine(bed.image(), said.append))
    assert (tree / "made").read_text() == "made\n"
    assert "at ssh://root@bed:2222 (DOCKER_HOST)" in str(said[0])
    assert "Accepted publickey for root" in far.log.read_text()
    assert bed.ours() == []


def test_no_container_behind_ssh_outlives_its_client(far: SshServer, bed: DockerBed, tmp_path: Path) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-wait": "sleep 300\n"})
    process = client(bed.image(), folder)
    until(process, "PhaseStarted 1-wait")
    assert any(" Up " in line for line in bed.ours())
    assert far.log.read_text()
    process.kill()
    process.communicate(timeout=60)
    assert wait_for(lambda: bed.ours() == [])


def test_what_ssh_says_is_told_with_its_remedy(far: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    far.authorized_keys.write_text("")
    with pytest.raises(docker_daemon.DaemonMissingError, match=r"root@bed:2222 is not reached: .*ublickey") as key:
        docker_daemon.connect()
    assert "ssh-copy-id" in key.value.remedy
    far.known_hosts.write_text("")
    with pytest.raises(docker_daemon.DaemonMissingError, match="Host key verification failed") as host:
        docker_daemon.connect()
    assert "once by hand" in host.value.remedy
    monkeypatch.setenv("DOCKER_HOST", "ssh://root:secret@bed")
    with pytest.raises(docker_daemon.DaemonMissingError, match="holds a password") as password:
        docker_daemon.connect()
    assert "secret" not in str(password.value)


def test_a_daemon_that_is_down_behind_ssh_is_told_from_a_machine_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ssh_server(tmp_path, {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    monkeypatch.setenv("PATH", f"{server.path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://root@bed")
    with pytest.raises(docker_daemon.DaemonMissingError, match=r"none\.sock") as caught:
        docker_daemon.connect()
    assert "Start Docker there" in caught.value.remedy


def test_a_machine_without_ssh_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://root@bed")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(docker_daemon.DaemonMissingError, match="takes ssh, which is not installed"):
            docker_daemon.connect()
