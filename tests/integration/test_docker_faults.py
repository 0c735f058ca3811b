"""The docker engine against a real daemon, with a recipe of seconds: what can go wrong does, and nothing is left."""

from __future__ import annotations

import gc
import json
import secrets
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from phplayer.engines import docker_daemon, docker_leftovers
from phplayer.errors import BuildFailedError, EnvironmentMissingError
from tests.conftest import Phplayer
from tests.integration import standin
from tests.integration.docker_bed import NATIVE, DockerBed
from tests.integration.docker_client import client, until, wait_for

pytestmark = pytest.mark.usefixtures("daemon")


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
    daemon = docker_daemon.connect()
    assert bed.unnamed_images()
    assert docker_leftovers.find(daemon) == (), "somebody builds it"
    process.send_signal(number)
    process.communicate(timeout=30)
    assert wait_for(lambda: bed.ours() == [])
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


# -- side by side --------------------------------------------------------------------------------------------------


def test_of_builds_side_by_side_those_that_end_badly_disturb_no_other(bed: DockerBed, tmp_path: Path) -> None:
    standin.engine(bed.image()).require(())
    gate = "while ! test -e /ccache/$GATE; do sleep 0.2; done\n"  # the volume that all containers share
    own = f"gate-{secrets.token_hex(4)}"
    waiting = {
        "good": gate + standin.RESULT,
        "failing": gate + "echo broken; exit 3\n",
        "interrupted": "sleep 300\n",
        "killed": "sleep 300\n",
    }
    processes = {}
    for name, script in waiting.items():
        folder = standin.write(tmp_path / name, {"1-step": f"# {name}\nGATE={own}\n{script}"})
        processes[name] = client(bed.image(), folder)
    for process in processes.values():
        until(process, "PhaseStarted 1-step")
    assert len(bed.ours()) == len(processes)
    processes["interrupted"].send_signal(signal.SIGINT)
    processes["killed"].kill()
    for name in ("interrupted", "killed"):
        processes[name].communicate(timeout=60)
    assert wait_for(lambda: len(bed.ours()) == 2), "the containers of the other two, and no more"
    bed.docker("exec", bed.ours()[0].split()[0], "touch", f"/ccache/{own}")
    said = {name: processes[name].communicate(timeout=120) for name in ("good", "failing")}
    assert processes["good"].returncode == 0, said["good"]
    assert "PhaseFinished 1-step" in said["good"][0]
    assert processes["failing"].returncode != 0
    assert "status 3" in said["failing"][1]
    assert wait_for(lambda: bed.ours() == [])


def test_clean_removes_what_is_left_and_nothing_of_a_build_that_runs(
    bed: DockerBed, tmp_path: Path, phplayer: Phplayer
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    labels = ("--label", "phplayer=workspace", "--label", f"phplayer.client={socket.gethostname()}:{ended.pid}")
    bed.docker("create", "--name", "phplayer-orphan", *labels, bed.image(), "true")
    (tmp_path / "Dockerfile").write_text(f"FROM {bed.image()}\nLABEL phplayer=toolchain half={tmp_path}\n")
    bed.docker("build", "-q", tmp_path)
    process = client(bed.image(), standin.write(tmp_path / "scripts", {"1-wait": "sleep 300\n"}))
    until(process, "PhaseStarted 1-wait")
    environment = {**bed.environment, "PHPLAYER_BUILD_ENGINE": "docker", "PHPLAYER_CACHE": str(tmp_path / "cache")}

    def clean(*options: str) -> list[tuple[str, str]]:
        document = json.loads(phplayer("clean", "--json", *options, env=environment, cwd=tmp_path).stdout)
        found = [(each["kind"], each["path"]) for each in document["removed"]]
        return [each for each in found if each[0].startswith("docker ")]

    expected = {"docker container", "docker image"}
    foreseen = clean("--dry-run")
    assert {kind for kind, _ in foreseen} == expected
    assert ("docker container", "phplayer-orphan") in foreseen
    assert clean() == foreseen
    assert clean() == []
    assert len(bed.ours()) == 1
    process.kill()
    process.communicate(timeout=60)
    assert wait_for(lambda: bed.ours() == [])
