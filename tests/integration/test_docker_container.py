"""What a container is that a recipe runs in, against a real daemon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from phplayer.engines import EngineOptions, docker_container, docker_daemon, docker_leftovers
from phplayer.engines.lines import LONGEST
from phplayer.errors import BuildFailedError
from phplayer.events import Event, Noted, unheard
from tests.integration import standin
from tests.integration.docker_bed import DockerBed
from tests.recipes import recipe

pytestmark = pytest.mark.usefixtures("daemon")


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


def test_nothing_that_an_image_sets_takes_part(bed: DockerBed, tmp_path: Path) -> None:
    image = "phplayer-bed:opinionated"
    settings = "ENV CFLAGS=-Oburn PATH=/nowhere:/usr/bin:/bin:/usr/sbin:/sbin"
    bed.build(image, tmp_path, f'FROM {bed.image()}\n{settings}\nWORKDIR /build\nENTRYPOINT ["/bin/false"]\n')
    said: list[str] = []
    with docker_container.workspace(
        docker_daemon.connect(), image, "clean", options=EngineOptions(), ccache=("", ""), listener=unheard
    ) as workspace:
        workspace.run(["env"], environment={"PHPLAYER_JOBS": "3"}, on_line=said.append)
    assert {line.partition("=")[0] for line in said} == {"PATH", "LC_ALL", "TZ", "HOME", "PHPLAYER_JOBS"}
    assert "PHPLAYER_JOBS=3" in said
    assert not any("/nowhere" in line for line in said)
    bed.docker("rmi", image)


def test_a_program_that_never_ends_its_line_does_not_fill_our_memory(bed: DockerBed) -> None:
    engine = standin.engine(bed.image())
    engine.require(())
    longest = count = 0

    def on_line(line: str) -> None:
        nonlocal longest, count
        longest, count = max(longest, len(line)), count + len(line)

    with engine.workspace("endless", recipe()) as workspace:
        script = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last >&2; exit 3"
        assert workspace.run(["sh", "-c", script], environment={}, on_line=on_line) == 3
    assert (longest, count) == (LONGEST, 5_000_000 + len("last"))


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
    generous = standin.engine(bed.image(), memory=10**15, cpus=1000.0)
    assert generous.compilers() == standin.engine(bed.image()).compilers(), "the daemon's machine limits them, too"
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
