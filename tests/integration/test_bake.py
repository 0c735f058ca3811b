"""Compiling on other machines: the docker-bake.hcl, read by buildx, and packing what it gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from phplayer import bake, cache, catalog, matrix, recipe
from phplayer import compile as compiling
from phplayer.engines.host import HostEngine
from phplayer.layer import LayerArchive, RuntimeManifest
from phplayer.settings import Settings
from tests.conftest import PHP, PINNED, WORK, Built, Phplayer, cache_folder

_SUITE = "trixie"  # the oldest Debian with buildx; the program is static and runs on any


@pytest.fixture(scope="session")
def buildx() -> Path:
    """Debian's buildx, unpacked; through an apt of its own that leaves this machine's alone."""
    home = WORK / "tools" / "buildx"
    program = home / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-buildx"
    if not program.is_file():
        (home / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        sites = _output("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split()
        site = next(site for site in sites if "debian" in site and "security" not in site)
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (home / "sources.list").write_text(f"deb [signed-by={keyring}] {site} {_SUITE} main\n")
        own = {
            "Dir::Etc::SourceList": home / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": home / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": home,
            "APT::Sandbox::User": "",
        }
        options = [part for name, value in own.items() for part in ("-o", f"{name}={value}")]
        _output("apt-get", *options, "update", cwd=home)
        _output("apt-get", *options, "download", "docker-buildx", cwd=home)
        _output("dpkg-deb", "-x", str(next(home.glob("docker-buildx_*.deb"))), str(home))
    return program


def _output(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def read_by_buildx(buildx: Path, file: Path) -> dict[str, Any]:
    environment = os.environ | {"BUILDX_CONFIG": str(file.parent / "buildx")}
    command: list[str | Path] = [buildx, "bake", "--file", file, "--print", "--progress", "quiet"]
    done = subprocess.run(command, cwd=file.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_buildx_reads_a_target_for_each_runtime(buildx: Path, phplayer: Phplayer, tmp_path: Path) -> None:
    done = phplayer("build", "--print-bake", "--php", "8.3", "--php", "8.4", "--arch", "all", cwd=tmp_path)
    assert done.stderr == ""
    (tmp_path / "docker-bake.hcl").write_text(done.stdout)
    read = read_by_buildx(buildx, tmp_path / "docker-bake.hcl")
    assert list(read["group"]["default"]["targets"]) == list(
        phplayer("build", "--print-identifiers", "--php", "8.3,8.4", "--arch", "all", cwd=tmp_path).stdout.split()
    )
    target = read["target"]["php84-al2023-arm64"]
    assert target["platforms"] == ["linux/arm64"]
    assert target["output"] == ["type=local,dest=compiled/php84-al2023-arm64"]
    assert not (tmp_path / "dist").exists()


def test_the_dockerfile_in_it_holds_the_recipe_letter_for_letter(
    buildx: Path, phplayer: Phplayer, tmp_path: Path
) -> None:
    """The file's own syntax has ${} too: what a script says with it must arrive."""
    (tmp_path / "docker-bake.hcl").write_text(phplayer("build", "--print-bake", cwd=tmp_path).stdout)
    read = read_by_buildx(buildx, tmp_path / "docker-bake.hcl")
    (target,) = read["target"].values()
    dockerfile = target["dockerfile-inline"]
    (runtime,) = matrix.runtimes(Settings.load(start=tmp_path, environment=PINNED))
    base, release = catalog.load().bases["al2023"], catalog.load().release(PHP)
    plan = recipe.plan(runtime, base)
    for part in plan.parts:
        for name, script in compiling.scripts(part).items():
            assert f"/build/{part.name}/{name}.sh\n{script.decode()}PHPLAYER\n" in dockerfile
            assert "\nPHPLAYER\n" not in script.decode()
        for step in part.steps:
            assert f"RUN {json.dumps(['sh', f'{step.name}.sh', *step.arguments])}\n" in dockerfile
        for package in part.packages:
            assert f"      {package} \\\n" in dockerfile
    assert f"--checksum=sha256:{release.sha256}" in dockerfile
    assert dockerfile.startswith("# syntax=docker/dockerfile:1\n")


def compiled_elsewhere(built: Built, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out what the host engine compiled for the example as a target of docker-bake.hcl leaves it."""
    monkeypatch.setenv("PHPLAYER_CACHE", str(cache_folder()))
    (runtime,) = matrix.runtimes(Settings.load(start=built.dist.parents[1], environment={}))
    engine = HostEngine()
    plan = recipe.plan(runtime, engine.base)
    place = folder / "compiled" / runtime.identifier
    for name, key in compiling.keys_on(plan, engine).items():
        shutil.copytree(cache.folder("builds") / key, place / name, ignore=shutil.ignore_patterns("build.log"))
    (place / bake.STAMP).write_text(f"{engine.base.name} {bake.digest(runtime, engine.base)}\n")
    return place


def test_what_was_compiled_elsewhere_is_packed_without_a_compiler(
    built: Built, phplayer: Phplayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = compiled_elsewhere(built, tmp_path, monkeypatch)
    environment = {"PHPLAYER_CACHE": str(tmp_path / "cache")}
    done = phplayer("build", "--compiled", "compiled", cwd=tmp_path, env=environment)
    assert "pack runtime.zip" in done.stderr
    assert "compile:" not in done.stderr
    packed = LayerArchive.read(tmp_path / "dist" / built.dist.name / "runtime.zip")
    original = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(packed.manifest, RuntimeManifest)
    assert isinstance(original, RuntimeManifest)
    assert packed.manifest.engine == "elsewhere"
    assert packed.manifest.extensions == original.extensions
    assert packed.manifest.libraries == original.libraries

    other = phplayer("build", "--compiled", "compiled", "-e", "minimal", cwd=tmp_path, env=environment, check=False)
    assert other.returncode == 2
    assert "compiled with other settings" in other.stderr
    (place / "php" / "extensions.tsv").unlink()
    broken = phplayer("build", "--compiled", "compiled", cwd=tmp_path, env=environment, check=False)
    assert broken.returncode == 2
    assert "extensions.tsv is missing" in broken.stderr
    assert "docker buildx bake" in broken.stderr
