"""What all tests share: the real command line, a real build, and tools in environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import filelock
import pytest

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
SCRIPTS = Path(sys.executable).parent

PHP = "8.4.24"
"""The release that the tests build: of those whose source can be had where phplayer is developed, the newest."""

PINNED = {"PHPLAYER_PHP_VERSION": PHP}
"""The environment that builds it, whatever a project says; with ``""`` the project says."""


class Phplayer(Protocol):
    """Runs the real command line as a user does."""

    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]: ...


@dataclass(frozen=True)
class Built:
    """A project that was built for real."""

    dist: Path
    tree: Path  # the runtime layer, unpacked: becomes /opt

    @property
    def php(self) -> Path:
        return self.tree / "bin" / "php"


def cache_folder() -> Path:
    return Path(os.environ.get("PHPLAYER_CACHE", WORK / "cache"))


def run_phplayer(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PHPLAYER_"))}
    # The host engine, unless a test says otherwise: a Docker daemon of this machine must not decide what is tested.
    environment |= {"PHPLAYER_CACHE": str(cache_folder()), "PHPLAYER_BUILD_ENGINE": "host"}
    environment |= {"PHPLAYER_DATA": str(WORK / "data")}  # a catalogue of the user's own stays out
    environment |= PINNED | dict(env or {})
    done = subprocess.run(
        [str(SCRIPTS / "phplayer"), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"phplayer {arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def unpack(archive: Path, into: Path) -> Path:
    """Unpack a layer archive as Lambda does, with its modes."""
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            path = Path(opened.extract(entry, into))
            path.chmod((entry.external_attr >> 16) & 0o777)
    return into


@pytest.fixture(scope="session")
def phplayer() -> Phplayer:
    return run_phplayer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by the fixtures that cost: a Docker daemon, or a compile that no other group waits for."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "bed" in fixtures:
            item.add_marker("docker")
        elif "small" in fixtures:
            item.add_marker("compiles")


def build_hello(unpacked: Path) -> Built:
    """Build the hello example; compiles PHP unless the cache of this checkout has it."""
    project = WORK / "test" / "hello"
    project.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "examples" / "hello", project, dirs_exist_ok=True)
    with filelock.FileLock(project / "lock"):  # tests may run side by side
        run_phplayer("build", cwd=project)
    dist = next((project / "dist").iterdir())
    return Built(dist=dist, tree=unpack(dist / "runtime.zip", unpacked))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The hello example, built on this machine."""
    return build_hello(tmp_path_factory.mktemp("opt"))


def tools_bin(name: str) -> Path:
    """Return the bin folder of the environment made from requirements/<name>.txt; made first if need be."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    home = WORK / "tools" / name
    made_from = home / "made-from"
    home.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home.with_name(f"{name}.lock")):
        _make(home, made_from, requirements)
    return home / "bin"


def _make(home: Path, made_from: Path, requirements: Path) -> None:
    if not made_from.is_file() or made_from.read_bytes() != requirements.read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        install: Sequence[str | Path] = [
            home / "bin" / "pip",
            "install",
            "-q",
            "--no-deps",  # all are listed, and pip takes requirements with extras for unpinned ones
            "--require-hashes",
            "-r",
            requirements,
        ]
        subprocess.run(install, check=True)
        made_from.write_bytes(requirements.read_bytes())


SMALL = """
[php]
extensions = ["curl", "openssl", "intl"]
icu_locales = ["en", "de"]
"""


def small_project(folder: Path) -> Path:
    """Write a project that asks for few extensions, of which one is intl with two languages."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "phplayer.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """That project, built on this machine."""
    project = small_project(WORK / "test" / "small")
    with filelock.FileLock(project / "lock"):
        run_phplayer("doctor", "--fix", "--yes", cwd=project, check=False)  # other findings are no matter here
        run_phplayer("build", cwd=project)
    dist = next((project / "dist").iterdir())
    return Built(dist=dist, tree=unpack(dist / "runtime.zip", tmp_path_factory.mktemp("opt")))


@pytest.fixture(scope="session")
def tools() -> Callable[[str], Path]:
    """The function that gives the bin folder of a tool's environment."""
    return tools_bin


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI nothing may be skipped unnoticed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
