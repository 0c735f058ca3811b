"""The same request gives the same bytes, in any folder and whatever came between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from phplayer.layer import LayerArchive
from tests.conftest import PINNED, SCRIPTS, Built, cache_folder, run_phplayer, small_project


@pytest.mark.timeout(2700)  # a whole compile
def test_interrupted_it_goes_on_and_another_folder_gives_the_same_bytes(small: Built, tmp_path: Path) -> None:
    """Compiled once more with a project, a cache and a temporary folder of its own, without ccache, and cut off."""
    project, cache = small_project(tmp_path / "another" / "folder"), tmp_path / "cache"
    shutil.copytree(cache_folder() / "sources", cache / "sources")
    environment = {"PHPLAYER_CACHE": str(cache), "PHPLAYER_BUILD_CCACHE": "false"}
    _interrupt_the_compile(project, environment)
    assert not list(project.glob("dist/*/*.zip"))
    done = run_phplayer("build", cwd=project, env=environment)
    assert "php unpack: done" not in done.stderr, "a finished step is not run again"
    (archive,) = project.glob("dist/*/runtime.zip")
    assert LayerArchive.read(archive).sha256 == LayerArchive.read(small.dist / "runtime.zip").sha256
    assert not list((cache / "work").iterdir())


def _interrupt_the_compile(project: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [SCRIPTS / "phplayer", "build"],
        cwd=project,
        env=os.environ | PINNED | {"PHPLAYER_BUILD_ENGINE": "host"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    work = Path(environment["PHPLAYER_CACHE"]) / "work"
    deadline = time.monotonic() + 1200
    while not list(work.glob("*/php/Zend/zend_alloc.o")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert "Interrupted" in err
    assert "Traceback" not in err
    left = subprocess.run(["pgrep", "-f", str(work)], capture_output=True, text=True, check=False).stdout
    assert left == "", f"still running: {left}"
