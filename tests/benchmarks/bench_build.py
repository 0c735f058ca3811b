"""What `phplayer build` adds to compiling PHP by hand, and what start-up and a build with nothing to do cost."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import cache, catalog, recipe, sources
from phplayer.engines.host import HostEngine
from phplayer.events import unheard
from phplayer.runtime import Architecture, BootstrapMode
from tests import conftest

PHPLAYER = Path(sys.executable).with_name("phplayer")


def seconds(command: list[str | Path], *, cwd: Path, env: dict[str, str] | None = None) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def interleaved(rounds: int, *contestants: Callable[[], float]) -> list[float]:
    """Return the median of each, measured in turns so that a busy moment hits all."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for taken, contestant in zip(times, contestants, strict=True):
            taken.append(contestant())
    return [statistics.median(taken) for taken in times]


def line(what: str, ours: float, theirs: float, aim: str) -> None:
    print(f"{what:<58} {ours:8.3f} s {theirs:8.3f} s  ratio {ours / theirs:5.2f}  (aim {aim})", flush=True)


def start_up(folder: Path) -> None:
    ours, typer = interleaved(
        15,
        lambda: seconds([PHPLAYER, "--help"], cwd=folder),
        lambda: seconds([sys.executable, "-c", "import typer"], cwd=folder),
    )
    line("phplayer --help / python -c 'import typer'", ours, typer, "under 2")


def compile_by_hand(tarball: Path, flags: tuple[str, ...], folder: Path, jobs: int) -> float:
    """Run configure, make and install with the recipe's own flags, as one would by hand."""
    script = """
        mkdir php && tar -xJf "$1" -C php --strip-components=1 && cd php && shift &&
        jobs=$1 && shift && export CFLAGS=-O2 CXXFLAGS=-O2 && ./configure "$@" &&
        make -j "$jobs" &&
        make install-cli install-modules INSTALL_ROOT="$PWD/../install"
    """
    return seconds(["sh", "-c", script, "sh", tarball, str(jobs), *flags], cwd=folder)


def build(folder: Path) -> None:
    """Compare one cold build of the smallest extension set with the same by hand, both sides on all processors."""
    known = catalog.load()
    runtime = known.runtime(
        php=conftest.PHP,
        extensions=("minimal",),
        target=known.default_target,
        architecture=Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )
    release = known.release(conftest.PHP)
    plan = recipe.plan(runtime, HostEngine().base)
    tarball = sources.fetch(release, file=None, subject="", listener=unheard)
    jobs = len(os.sched_getaffinity(0))

    own_cache, project, by_hand = folder / "cache", folder / "project", folder / "by-hand"
    (own_cache / "sources").mkdir(parents=True)
    shutil.copy(tarball, own_cache / "sources" / f"php-{release.version}.tar.xz")
    project.mkdir()
    by_hand.mkdir()
    # As by hand: on this machine and without ccache, whose misses cost time.
    plain = {"PHPLAYER_BUILD_ENGINE": "host", "PHPLAYER_BUILD_CCACHE": "false"}
    environment = os.environ | {"PHPLAYER_CACHE": str(own_cache), **plain, **conftest.PINNED}
    command: list[str | Path] = [PHPLAYER, "build", "--extension", "minimal"]
    ours = seconds(command, cwd=project, env=environment)
    theirs = compile_by_hand(tarball, plan.configure, by_hand, jobs)
    line("phplayer build / configure, make, install by hand", ours, theirs, "under 1.10")

    nothing, python = interleaved(
        7,
        lambda: seconds(command, cwd=project, env=environment),
        lambda: seconds([sys.executable, "-c", "pass"], cwd=project),
    )
    print(f"{'phplayer build with nothing to do':<58} {nothing - python:8.3f} s beyond python's start  (aim under 1 s)")


def main() -> None:
    cache.root()
    with tempfile.TemporaryDirectory() as temporary:
        start_up(Path(temporary))
        build(Path(temporary))


if __name__ == "__main__":
    main()
