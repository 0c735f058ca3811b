"""``phplayer verify`` on PHP that others built, taken from npm. What it should find was looked up with readelf."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WORK, Phplayer

AMAZON_LINUX = "@libphp/amazon-linux-2023-v84@0.0.8"
ALMA_LINUX = "@libphp/almalinux-9-v85@0.0.3"


def _packed(package: str) -> Path:
    """Return npm's tarball of a package, kept from run to run; the registry is asked again where it fails."""
    folder = WORK / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    name = package.removeprefix("@").replace("/", "-").replace("@", "-")
    path = folder / f"{name}.tgz"
    said = ""
    for attempt in range(5):
        if path.is_file():
            break
        time.sleep(5 * attempt)
        into = folder / f"{name}.part"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        done = subprocess.run(
            ["timeout", "90", "npm", "pack", "--silent", package], cwd=into, capture_output=True, text=True, check=False
        )
        said = done.stderr
        made = next(into.glob("*.tgz"), None)
        if done.returncode == 0 and made is not None:
            made.replace(path)
        shutil.rmtree(into)
    assert path.is_file(), f"npm gave no {package}: {said}"
    return path


def _as_layer(package: str, into: Path) -> Path:
    """Lay a peer out as a layer would be: its programs in bin, its libraries in lib, as its launcher finds them."""
    with tarfile.open(_packed(package)) as tar:
        tar.extractall(into, filter="data")
    native, layer = into / "package" / "native", into / "opt"
    layer.mkdir()
    (native / "php").rename(layer / "bin")
    (native / "lib").rename(layer / "lib")
    return layer


def _findings(phplayer: Phplayer, layer: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = phplayer("verify", layer, "--arch", "x86_64", "--json", *arguments, check=False)
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return done.returncode, findings


def _named(findings: list[dict[str, Any]], name: str) -> set[str]:
    return {finding["file"] for finding in findings if finding["name"] == name}


def _naming(layer: Path, word: bytes) -> set[str]:
    """Return the files in which these bytes stand."""
    paths = (path for path in layer.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(layer).as_posix() for path in paths if word in path.read_bytes()}


@pytest.fixture
def amazon_linux(tmp_path: Path) -> Path:
    return _as_layer(AMAZON_LINUX, tmp_path)


def test_what_amazon_linux_built_needs_nothing_but_one_library(phplayer: Phplayer, amazon_linux: Path) -> None:
    code, findings = _findings(phplayer, amazon_linux)
    assert code == 6
    # php-fpm has libsystemd among its needed libraries, which the package does not carry, and neither has Lambda.
    errors = [(finding["name"], finding["file"]) for finding in findings if finding["severity"] == "error"]
    assert errors == [("missing-library", "bin/php-fpm")]
    # Lambda's own of these are found first by LD_LIBRARY_PATH: DT_RUNPATH of php leads to its own folder only.
    assert {"lib/libcrypto.so.3", "lib/libcurl.so.4", "lib/libssl.so.3", "lib/libxml2.so.2"} <= _named(
        findings, "shadowed-library"
    )
    # What the distribution compiled names the folder of its build machine, as strings shows too.
    assert _named(findings, "build-path") == _naming(amazon_linux, b"/builddir/build/")
    assert "bin/php" in _named(findings, "build-path")
    assert {finding["name"] for finding in findings} == {"missing-library", "shadowed-library", "build-path"}
    code, _ = _findings(phplayer, amazon_linux, "--allow", "missing-library")
    assert code == 0


def test_a_library_that_was_left_out_is_missed(phplayer: Phplayer, amazon_linux: Path) -> None:
    (amazon_linux / "lib" / "libonig.so.5").unlink()
    (amazon_linux / "lib" / "libedit.so.0").rename(amazon_linux / "bin" / "modules" / "libedit.so.0")
    _, findings = _findings(phplayer, amazon_linux)
    assert "bin/modules/mbstring.so" in _named(findings, "missing-library")
    assert _named(findings, "unreachable-library") == {"bin/php", "bin/php-cgi"}


def test_what_alma_linux_built_uses_lambdas_older_openssl(phplayer: Phplayer, tmp_path: Path) -> None:
    layer = _as_layer(ALMA_LINUX, tmp_path)
    code, findings = _findings(phplayer, layer)
    assert code == 6
    errors = [(finding["name"], finding["file"]) for finding in findings if finding["severity"] == "error"]
    assert errors == [("missing-library", "bin/php-fpm")]
    # Its OpenSSL is 3.5, and php needs OPENSSL_3.0.0 of it, so Lambda's 3.2 does, which is what is loaded.
    assert _named(findings, "shadowed-library") == {"lib/libcrypto.so.3", "lib/libssl.so.3"}
    # With its libssl pointed to by DT_RPATH and Lambda's libcrypto left in its way, versions would be missing.
    (layer / "lib" / "libcrypto.so.3").unlink()
    subprocess.run([_patchelf(), "--force-rpath", "--set-rpath", "$ORIGIN/../lib", layer / "bin" / "php"], check=True)
    _, findings = _findings(phplayer, layer)
    missed = [finding for finding in findings if finding["name"] == "symbol-version"]
    assert {finding["file"] for finding in missed} == {"lib/libssl.so.3"}
    assert any("OPENSSL_3.4.0 of libcrypto.so.3; al2023 has OPENSSL_3.2.0" in finding["message"] for finding in missed)
    assert any("OSSL_LIB_CTX_get_data" in finding["symbols"] for finding in missed)


def _patchelf() -> Path:
    from phplayer import libraries

    return libraries._patchelf_program()
