"""arm64 on a machine that is none: PHP compiled under emulation and run by Lambda's emulator for arm64.

Takes half an hour on two processors, so ``make test-slow`` runs it. All but the compiler proper is emulated.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phplayer import elf
from phplayer.layer import LayerArchive, RuntimeManifest
from phplayer.runtime import Architecture
from tests.conftest import WORK, run_phplayer, unpack
from tests.integration import docker_function
from tests.integration.docker_bed import DockerBed
from tests.integration.functions import write

ARM64 = Architecture.ARM64

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(bed: DockerBed) -> subprocess.CompletedProcess[str]:
    """Build the smallest PHP; a compile of a former run is in the cache."""
    project = WORK / "test" / "arm64"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    return run_phplayer(
        *("build", "--engine", "docker", "--arch", ARM64, "--base-image", bed.image("arm64"), "-e", "minimal"),
        cwd=project,
        env=bed.environment,
    )


@pytest.fixture(scope="module")
def archive(done: subprocess.CompletedProcess[str]) -> LayerArchive:
    (dist,) = (WORK / "test" / "arm64" / "dist").iterdir()
    assert dist.name == "php-84-al2023-arm64"
    return LayerArchive.read(dist / "runtime.zip")


@pytest.fixture(scope="module")
def tree(archive: LayerArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(archive.path, tmp_path_factory.mktemp("opt"))


def test_emulation_is_warned_of(done: subprocess.CompletedProcess[str]) -> None:
    assert "arm64 is emulated on this amd64 daemon" in done.stderr


def test_every_elf_of_the_layer_is_arm64(archive: LayerArchive, tree: Path) -> None:
    assert isinstance(archive.manifest, RuntimeManifest)
    assert archive.manifest.architecture == ARM64
    machines = {path.name: elf.read(path).machine for path in elf.files(tree)}
    assert {"php", "opcache.so"} <= set(machines)
    assert set(machines.values()) == {"EM_AARCH64"}


def test_it_answers_under_lambdas_emulator_for_arm64(
    bed: DockerBed, tree: Path, tools: Callable[[str], Path], tmp_path: Path
) -> None:
    code = "function index($data) { return [php_uname('m'), 'Hello, ' . $data['name']]; }"
    got = docker_function.answers(
        bed,
        bed.image("arm64"),
        rie=docker_function.rie(tools, ARM64),
        layer=tree,
        task=write(tmp_path / "task", {"src/index.php": code}),
        events=[{"name": "world"}, {"name": "again"}],
    )
    assert got == [["aarch64", "Hello, world"], ["aarch64", "Hello, again"]]
