"""Parts of a real build: an extension is added to what is compiled already."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from phplayer.layer import LayerArchive, RuntimeManifest
from tests.conftest import Built, Phplayer, run_phplayer, unpack
from tests.integration import tiny_extension

PROJECT = """
[php]
extension_sources = { tiny = "tiny-1.2.tar" }
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's PHP and one extension more; what compiling it takes is installed."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_extension.write(folder)
    (folder / "phplayer.toml").write_text(PROJECT)
    run_phplayer("doctor", "--fix", "--yes", cwd=folder, check=False)  # other findings are no matter here
    return folder


@pytest.fixture(scope="module")
def output(built: Built, project: Path) -> str:
    return run_phplayer("build", cwd=project).stderr


@pytest.fixture(scope="module")
def tiny(output: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    (dist,) = (project / "dist").iterdir()
    return Built(dist=dist, tree=unpack(dist / "runtime.zip", tmp_path_factory.mktemp("opt")))


def manifest(built: Built) -> RuntimeManifest:
    found = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(found, RuntimeManifest)
    return found


def php(built: Built, code: str) -> str:
    done = subprocess.run(
        [built.php, "-d", f"extension_dir={built.tree / 'lib/php/extensions'}", "-r", code],
        env={"PHP_INI_SCAN_DIR": str(built.tree / "etc/php/conf.d")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_one_more_extension_compiles_nothing_but_itself(output: str, phplayer: Phplayer, project: Path) -> None:
    steps = {line.split(" ", 1)[1].partition(":")[0] for line in output.splitlines() if line.startswith("php84-")}
    assert {step for step in steps if "tiny" not in step} <= {"pack runtime.zip", "pack runtime"}, output
    assert any(step.startswith("tiny") for step in steps)
    assert "up to date: nothing to do" in phplayer("build", cwd=project).stderr


def test_it_is_loaded_and_the_rest_is_as_before(tiny: Built, built: Built) -> None:
    assert php(tiny, "echo tiny(3, 4);") == "5"
    assert manifest(tiny).extensions == manifest(built).extensions | {"tiny": "1.2"}
    assert manifest(tiny).configure == manifest(built).configure
    assert (tiny.tree / "bin/php").read_bytes() == (built.tree / "bin/php").read_bytes()
    before = {path.relative_to(built.tree).as_posix() for path in built.tree.rglob("*.so*")}
    after = {path.relative_to(tiny.tree).as_posix() for path in tiny.tree.rglob("*.so*")}
    assert after - before == {"lib/php/extensions/tiny.so"}
    assert {source.name for source in manifest(tiny).sources} == {source.name for source in manifest(built).sources} | {
        "tiny"
    }


def test_static_libraries_and_pinned_symbols_are_recorded(built: Built) -> None:
    recorded = {library.soname: library for library in manifest(built).libraries}
    assert {"libcurl.a", "libnghttp2.a"} <= set(recorded)
    sources = {source.name: source.version for source in manifest(built).sources}
    assert recorded["libcurl.a"].version == sources["curl"]
    carried = {path.name for path in (built.tree / "lib").glob("*.so*")}
    assert {name for name in recorded if not name.endswith(".a")} == carried
    assert not any(name.startswith(("libcurl.so", "libxml2.so", "libicu")) for name in carried)
    for symbol in manifest(built).pinned_symbols:
        assert symbol.partition("@")[2].startswith("GLIBC_2.")


def test_the_default_layer_is_small(built: Built) -> None:
    """Compressed as the setting's default does, on a base that shares nothing with Lambda."""
    archive = LayerArchive.read(built.dist / "runtime.zip")
    assert archive.size < 10_000_000
    php_of = (built.tree / "bin/php").stat().st_size
    assert php_of < 24_000_000, "no segment is padded to a huge page"


def test_a_source_without_config_m4_is_told(phplayer: Phplayer, tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "README").write_text("no extension")
    with tarfile.open(tmp_path / "wrong.tar", "w") as archive:
        archive.add(tmp_path / "README", "wrong/README")
    done = phplayer("build", "--extension-source", "wrong=wrong.tar", "--json", cwd=tmp_path, check=False)
    assert done.returncode == 5
    assert "config.m4" in json.loads(done.stdout)["error"]["message"]
