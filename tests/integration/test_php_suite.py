"""PHP's own test suite on the binary as it lies in the layer tree."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from phplayer import recipe, sources
from phplayer.catalog import load
from phplayer.events import unheard
from phplayer.layer import LayerArchive, RuntimeManifest
from phplayer.runtime import Architecture, BootstrapMode
from tests.conftest import WORK, Built, cache_folder

QUICK = ("ext/ctype/tests", "ext/json/tests", "Zend/tests/arrow_functions", "Zend/tests/enum", "Zend/tests/match")
LONG = ("Zend/tests", "ext/standard/tests", "ext/json/tests", "ext/mbstring/tests", "ext/date/tests")


@pytest.fixture(scope="module")
def source(built: Built) -> Path:
    """PHP's source tree, of the release that was built."""
    release = load().release(manifest(built).php)
    folder = WORK / "test" / f"php-{release.version}"
    if not (folder / "run-tests.php").is_file():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PHPLAYER_CACHE", str(cache_folder()))
            tarball = sources.fetch(release, file=None, subject="test", listener=unheard)
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(tarball) as archive:
            archive.extractall(folder, members=_strip(archive), filter="data")
    return folder


def _strip(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members = []
    for member in archive:
        member.name = member.name.partition("/")[2]
        if member.name and not member.islnk():
            members.append(member)
    return members


def manifest(built: Built) -> RuntimeManifest:
    found = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(found, RuntimeManifest)
    return found


def failing(php: Path, source: Path, folders: Sequence[str], work: Path) -> tuple[set[str], int]:
    """Run the tests of these folders; return the names of those that failed, and how many passed."""
    failed, results = work / "failed.txt", work / "results.txt"
    command: list[str | Path] = [
        php,
        *("-n", "-d", "memory_limit=-1", "run-tests.php", "-q", "-n", f"-j{len(os.sched_getaffinity(0))}"),
        *("--no-color", "--set-timeout", "120", "-w", str(failed), "-W", str(results), "-p", str(php)),
        *folders,
    ]
    environment = os.environ | {"NO_INTERACTION": "1", "SKIP_ONLINE_TESTS": "1", "SKIP_SLOW_TESTS": "1", "TZ": "UTC"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert results.is_file(), done.stdout[-3000:] + done.stderr[-3000:]
    passed = sum(line.startswith("PASSED") for line in results.read_text().splitlines())
    return ({line.strip() for line in failed.read_text().splitlines()} if failed.is_file() else set()), passed


def test_a_choice_of_phps_own_tests_passes(built: Built, source: Path, tmp_path: Path) -> None:
    failed, passed = failing(built.php, source, QUICK, tmp_path)
    assert failed == set()
    assert passed > 250


def plain_flags(built: RuntimeManifest) -> tuple[str, ...]:
    """What an unmodified PHP is configured with: no library of our own, hence not the extensions that are for one."""
    known = load()
    base = known.bases[built.base]

    def plan(names: Sequence[str]) -> recipe.Plan:
        runtime = known.runtime(
            php=built.php,
            extensions=names,
            target=built.target,
            architecture=Architecture(built.architecture),
            bootstrap=BootstrapMode(built.bootstrap),
        )
        return recipe.plan(runtime, base)

    names = [name for name in built.extensions if name in known.extensions]
    return plan([name for name in names if plan([name]).parts[0].name == recipe.PHP]).configure


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_what_fails_fails_in_an_unmodified_build_too(built: Built, source: Path, tmp_path: Path) -> None:
    """PHP's own compiler options and the distribution's libraries: failing tests are held side by side."""
    plain = WORK / "test" / "unmodified"
    if not (plain / "sapi/cli/php").is_file():
        subprocess.run(["cp", "-R", source, plain], check=True)
        subprocess.run(["./configure", *plain_flags(manifest(built))], cwd=plain, check=True, capture_output=True)
        subprocess.run(["make", "-j2"], cwd=plain, check=True, capture_output=True)
    (tmp_path / "plain").mkdir()
    (tmp_path / "ours").mkdir()
    theirs, plainly = failing(plain / "sapi/cli/php", source, LONG, tmp_path / "plain")
    ours, passed = failing(built.php, source, LONG, tmp_path / "ours")
    said = (
        f"layer: {passed} passed, {len(ours)} failed ({passed / (passed + len(ours)):.2%}); "
        f"unmodified: {plainly} passed, {len(theirs)} failed ({plainly / (plainly + len(theirs)):.2%})"
    )
    (WORK / "test" / "php-suite.txt").write_text(said + "\n")
    assert ours - theirs == set(), said
