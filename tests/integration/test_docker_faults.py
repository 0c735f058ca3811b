"""The docker engine against a real daemon, with a recipe of seconds: what can go wrong does."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phplayer.engines import EngineOptions, choose, docker_daemon, docker_leftovers
from phplayer.errors import BuildFailedError, EnvironmentMissingError, UsageError
from phplayer.events import Event, Noted, PhaseStarted
from phplayer.runtime import Architecture
from tests.conftest import ROOT
from tests.integration import standin
from tests.integration.docker_bed import NATIVE, DockerBed, install
from tests.recipes import recipe

FOREIGN = next(each for each in Architecture if each != Architecture.of_this_machine())


@pytest.fixture(autouse=True)
def _daemon(bed: DockerBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Find the daemon as a user's shell would, and leave nothing in it."""
    monkeypatch.setenv("DOCKER_HOST", bed.environment["DOCKER_HOST"])
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    yield
    left = [*bed.ours(), *unnamed_images(bed)]
    bed.clear()
    assert left == []


def unnamed_images(bed: DockerBed) -> list[str]:
    filters = ("--filter", "dangling=true", "--filter", "label=phplayer")
    return bed.docker("images", "-q", *filters).stdout.split()


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def client(image: str, folder: Path) -> subprocess.Popen[str]:
    """Start a build in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.standin", folder, image],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], said: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == said:
            return
    raise AssertionError(f"it never said {said!r}: {process.communicate()}")


# -- what a container is -------------------------------------------------------------------------------------------


def test_steps_run_as_nobody_without_network_and_their_lines_come_as_they_are_printed(bed: DockerBed) -> None:
    lines: list[tuple[float, str]] = []
    engine = standin.engine(bed.image())
    engine.require(())
    with engine.workspace("k" * 20, recipe()) as workspace:
        script = (
            "id -u; pwd; echo $A; ls /sys/class/net; touch /ccache/x || exit 1; sleep 1; printf '\\303\\244\\nend' >&2"
        )
        status = workspace.run(
            ["sh", "-c", f"{script}; exit 7"],
            environment={"A": "1"},
            on_line=lambda line: lines.append((time.monotonic(), line)),
        )
    assert status == 7
    assert [line for _, line in lines] == ["1000", "/build", "1", "lo", "ä", "end"]
    assert lines[-1][0] - lines[0][0] > 0.8


def test_what_steps_make_is_copied_out_as_it_is(bed: DockerBed, tmp_path: Path) -> None:
    script = (
        "mkdir -p tree/bin; echo x >tree/bin/php; chmod 755 tree/bin/php; ln -s php tree/bin/link; echo y >tree/z\n"
    )
    folder = standin.write(tmp_path / "scripts", {"1-first": standin.RESULT, "2-more": script})
    tree = standin.run(folder, standin.engine(bed.image()))
    assert {path.relative_to(tree).as_posix() for path in tree.rglob("*")} == {
        "bin",
        "bin/php",
        "bin/link",
        "made",
        "z",
    }
    assert os.access(tree / "bin" / "php", os.X_OK)
    assert not os.access(tree / "z", os.X_OK) or not (tree / "z").stat().st_mode & 0o111
    assert (tree / "bin" / "link").readlink() == Path("php")


def test_limits_are_the_containers_and_decide_how_many_compilers_run(bed: DockerBed) -> None:
    engine = standin.engine(bed.image(), memory=900_000_000, cpus=1.5)
    assert engine.compilers() == 1
    engine.require(())
    with engine.workspace("limits", recipe()):
        (name,) = (line.split()[0] for line in bed.ours())
        template = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.Binds}}"
        limits = bed.docker("inspect", "--format", template, name).stdout.split()
    assert limits[:2] == ["900000000", "1500000000"]
    assert limits[2].startswith("[phplayer-ccache-"), "a volume, and nothing of this machine"


def test_a_compiler_killed_for_its_memory_is_told_as_such(bed: DockerBed, tmp_path: Path) -> None:
    script = "echo 'gcc: fatal error: Killed signal terminated program cc1'; exit 1\n"
    folder = standin.write(tmp_path / "scripts", {"1-compile": script})
    with pytest.raises(BuildFailedError, match="status 1") as caught:
        standin.run(folder, standin.engine(bed.image()))
    assert "--jobs" in caught.value.remedy


def test_a_container_that_is_kept_can_be_entered_as_told(bed: DockerBed, tmp_path: Path) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-fail": "echo why >reason; exit 3\n"})
    said: list[Event] = []
    with pytest.raises(BuildFailedError, match="status 3"):
        standin.run(folder, standin.engine(bed.image(), said.append, keep_container=True))
    note = next(event.message for event in said if isinstance(event, Noted) and "kept" in event.message)
    enter = note.partition("Enter it: docker ")[2].partition(" sh.")[0].replace("-it ", "").split()
    assert bed.docker(*enter, "cat", "reason").stdout == "why\n"
    daemon = docker_daemon.connect()
    assert docker_leftovers.find(daemon) == ()
    kept = [each for each in docker_leftovers.find(daemon, everything=True) if each.kind == "container"]
    assert [each.name for each in kept] == [enter[1]]
    assert docker_leftovers.sweep(daemon, tuple(kept)) == tuple(kept)


def test_a_daemon_behind_tcp_serves_as_well(bed: DockerBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tcp_to(bed.socket) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        folder = standin.write(tmp_path / "scripts", {"1-make": standin.RESULT})
        assert (standin.run(folder, standin.engine(bed.image())) / "made").read_text() == "made\n"


@contextlib.contextmanager
def tcp_to(path: Path) -> Iterator[str]:
    """Forward a port to a socket, as a tunnel to another machine does."""

    install({"socat": "socat"})
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
    with subprocess.Popen(["socat", listen, f"UNIX-CONNECT:{path}"]) as tunnel:
        assert wait_for(lambda: answers(port))
        yield f"tcp://127.0.0.1:{port}"
        tunnel.terminate()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


# -- endings -------------------------------------------------------------------------------------------------------


def test_a_container_killed_from_outside_ends_the_build_with_its_reason(bed: DockerBed, tmp_path: Path) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-wait": "echo here; sleep 60\n"})
    threading.Thread(target=kill_container, args=(bed,)).start()
    with pytest.raises(BuildFailedError, match=r"The container ended while .* 1-wait\.sh: it was stopped or removed"):
        standin.run(folder, standin.engine(bed.image()))


def kill_container(bed: DockerBed) -> None:
    assert wait_for(lambda: any(" Up " in line for line in bed.ours()))
    time.sleep(1)
    bed.docker("kill", bed.ours()[0].split()[0])


# The SDK leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_daemon_that_dies_is_named_and_what_it_held_is_gone_when_it_is_back(bed: DockerBed, tmp_path: Path) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-wait": "echo here; sleep 60\n"})
    engine = standin.engine(bed.image())

    def kill_daemon() -> None:
        if wait_for(lambda: any(" Up " in line for line in bed.ours())):
            time.sleep(1)
            bed.kill()

    killer = threading.Thread(target=kill_daemon)
    killer.start()
    try:
        with pytest.raises(EnvironmentMissingError, match="went away when it was asked to run sh 1-wait") as caught:
            standin.run(folder, engine)
        assert "run the same command again" in caught.value.remedy
    finally:
        killer.join()
        bed.start()
    daemon = docker_daemon.connect()
    del caught, engine
    gc.collect()
    assert wait_for(lambda: bed.ours() == [], 5) or docker_leftovers.sweep(daemon, docker_leftovers.find(daemon))


def test_a_full_disk_in_the_container_is_told_as_the_daemons(bed: DockerBed, tmp_path: Path) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-fill": "cat /dev/zero >/dev/shm/full\n"})
    with pytest.raises(BuildFailedError) as caught:
        standin.run(folder, standin.engine(bed.image()))
    assert any("No space left on device" in line for line in caught.value.details)
    assert "docker system prune" in caught.value.remedy
    assert caught.value.log is not None
    assert "1-fill" in caught.value.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_container_outlives_its_client(bed: DockerBed, tmp_path: Path, number: signal.Signals) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-wait": "sleep 300\n"})
    process = client(bed.image(), folder)
    until(process, "PhaseStarted 1-wait")
    assert any(" Up " in line for line in bed.ours())
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert wait_for(lambda: bed.ours() == [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_half_image_outlives_its_client(bed: DockerBed, tmp_path: Path, number: signal.Signals) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-make": standin.RESULT})
    base = f"phplayer-bed:cut-off-{number.name.lower()}"  # no image was ever made from it
    bed.build(base, tmp_path, f"FROM {bed.image()}\nLABEL cut-off={number.name}\n", NATIVE)
    process = client(base, folder)
    until(process, "PhaseStarted toolchain image")
    assert wait_for(lambda: any("Up" in line for line in bed.ours()))
    process.send_signal(number)
    process.communicate(timeout=30)
    assert wait_for(lambda: bed.ours() == [])
    daemon = docker_daemon.connect()
    if number == signal.SIGKILL:
        docker_leftovers.sweep(daemon, docker_leftovers.find(daemon))
    assert docker_leftovers.find(daemon) == ()
    bed.docker("rmi", base)


def test_of_two_builds_of_one_key_one_compiles_and_the_other_waits(bed: DockerBed, tmp_path: Path) -> None:
    folder = standin.write(tmp_path / "scripts", {"1-slow": f"sleep 3\n{standin.RESULT}"})
    standin.engine(bed.image()).require(())
    processes = [client(bed.image(), folder) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sorted("PhaseStarted 1-slow" in out for out, _ in said) == [False, True]


# -- images --------------------------------------------------------------------------------------------------------


def test_the_toolchain_image_is_made_once(bed: DockerBed) -> None:
    said: list[Event] = []
    first = standin.engine(bed.image(), said.append)
    first.require(())
    said.clear()
    again = standin.engine(bed.image(), said.append)
    assert again.fingerprint(()) == first.fingerprint(())
    assert not [event for event in said if isinstance(event, PhaseStarted)]
    assert again.fingerprint(("make",)) != first.fingerprint(())


def test_a_package_that_the_base_lacks_leaves_no_half_image(bed: DockerBed) -> None:
    with pytest.raises(EnvironmentMissingError, match="could not be made from phplayer-bed") as caught:
        standin.engine(bed.image()).require(("no-such-package-at-all",))
    assert any("no-such-package-at-all" in line for line in caught.value.details)
    assert "lack a package" in caught.value.remedy
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_a_base_image_that_does_not_exist_is_refused_before_anything_else(bed: DockerBed) -> None:
    with pytest.raises(EnvironmentMissingError, match=r"localhost:1/none:1 is not in the Docker daemon") as caught:
        standin.engine("localhost:1/none:1")
    assert "--base-image" in caught.value.remedy


def test_a_system_without_known_packages_is_refused(bed: DockerBed, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('ID=other\nPRETTY_NAME="Other Linux 3"\n')
    bed.build("phplayer-bed:other", tmp_path, "FROM scratch\nADD os-release /usr/lib/os-release\n")
    with pytest.raises(EnvironmentMissingError, match="is Other Linux 3") as caught:
        standin.engine("phplayer-bed:other")
    assert "debian" in caught.value.remedy


def test_an_architecture_that_is_not_emulated_is_refused_with_the_fix(bed: DockerBed, tmp_path: Path) -> None:
    """A program that no machine here runs stands for one that lacks its emulator."""
    (tmp_path / "os-release").write_text("ID=debian\n")
    (tmp_path / "true").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x15\x00" + bytes(44))
    (tmp_path / "true").chmod(0o755)
    bed.build(
        "phplayer-bed:foreign",
        tmp_path,
        "FROM scratch\nADD os-release /usr/lib/os-release\nADD true /bin/true\nENV PATH=/bin\n",
        {"amd64": "arm64", "arm64": "amd64"}[NATIVE],
    )
    with pytest.raises(EnvironmentMissingError, match="cannot compile for") as caught:
        standin.engine("phplayer-bed:foreign", architecture=FOREIGN)
    assert "binfmt --install" in caught.value.remedy
    with pytest.raises(EnvironmentMissingError, match=r"has no variant for|not in the Docker daemon"):
        standin.engine("phplayer-bed:foreign")


# -- which engine --------------------------------------------------------------------------------------------------


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
