"""The wheel, outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from tests.conftest import ROOT


def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(ROOT)]
    subprocess.run([*pip, *wheel], check=True, cwd=tmp_path)
    made = next(tmp_path.glob("phplayer-*.whl"))
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
    for kind in ("templates", "dockerfiles"):
        expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / kind).rglob("*") if path.is_file()}
        packed = {name.removeprefix("phplayer/_resources/") for name in names if f"/_resources/{kind}/" in name}
        assert packed == expected, kind
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]

    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    subprocess.run([*pip, "--python", home / "bin" / "python", "install", "-q", "--no-deps", made], check=True)
    # The dependencies are those that are installed already; phplayer itself is the wheel's.
    packages = next((home / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    asked = "import phplayer, phplayer.resources as r; print(phplayer.__file__, r.template('build', 'compile.sh'))"
    places = subprocess.run(
        [home / "bin" / "python", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(Path(place).is_relative_to(packages) for place in places), places
    program = home / "bin" / "phplayer"
    subprocess.run([program, "init"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "phplayer.toml").is_file()
    done = subprocess.run([program, "build", "--php", "1.2"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Unknown PHP version '1.2'" in done.stderr
