"""Sizes and start-up times beside prebuilt PHP from npm, with the same extensions on both sides.

The peer is taken with ``npm pack``. The same set on both sides is had in two ways: the peer cut down to ours, and with
``--extensions peer`` ours grown to the peer's, which is asked of itself; what the catalogue cannot build of that is
listed. Where intl is in ours, ICU's data is cut to the locales of ``--icu-locales``; the peer has all of them. Both are
zipped by the same compressor.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import archive, budget, catalog, inspection
from phplayer.compression import Compression
from phplayer.errors import UsageError
from phplayer.runtime import Architecture, BootstrapMode
from tests import conftest

PEER = "@libphp/amazon-linux-2023-v84@0.0.8"
SEARCH_PATH = "/lib64:/usr/lib64"  # Lambda's, as far as this machine has it


def fetch_peer(into: Path) -> Path:
    """Return the folder of the peer's PHP, its modules and libraries."""
    subprocess.run(["npm", "pack", "--silent", PEER], cwd=into, check=True, stdout=subprocess.DEVNULL)
    (tarball,) = into.glob("*.tgz")
    subprocess.run(["tar", "-xzf", tarball, "-C", into], check=True)
    return into / "package" / "native"


def run_peer(native: Path, *arguments: str) -> list[str | Path]:
    command: list[str | Path] = ["env", f"LD_LIBRARY_PATH={native / 'lib'}:{SEARCH_PATH}", native / "php" / "php"]
    return [*command, "-c", native / "php" / "php.ini", "-d", f"extension_dir={native / 'php' / 'modules'}", *arguments]


def run_ours(tree: Path, *arguments: str) -> list[str | Path]:
    scan, ini = tree / "etc" / "php" / "conf.d", tree / "etc" / "php" / "php.ini"
    command: list[str | Path] = ["env", f"PHP_INI_SCAN_DIR={scan}", f"LD_LIBRARY_PATH={SEARCH_PATH}", tree / "bin/php"]
    return [*command, "-c", ini, "-d", f"extension_dir={tree / 'lib' / 'php' / 'extensions'}", *arguments]


def loaded(command: list[str | Path]) -> set[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {str(name).lower().removeprefix("zend ") for name in json.loads(done.stdout)}


def seconds(command: list[str | Path]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def interleaved(rounds: int, *contestants: Callable[[], float]) -> list[float]:
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for taken, contestant in zip(times, contestants, strict=True):
            taken.append(contestant())
    return [statistics.median(taken) for taken in times]


def prune(native: Path, wanted: set[str]) -> None:
    """Leave of the peer what takes part: one SAPI, the modules that both sides have, the libraries that these need."""
    for name in ("composer", "php-cgi", "php-fpm", "php-fpm.ini"):
        (native / "php" / name).unlink(missing_ok=True)
    for module in (native / "php" / "modules").iterdir():
        if module.stem not in wanted:
            module.unlink()
    ini = native / "php" / "php.ini"
    lines = ini.read_text().splitlines()
    ini.write_text("\n".join(each for each in lines if not each.startswith("extension=") or each[10:] in wanted) + "\n")
    files = [native / "php" / "php", *(native / "php" / "modules").iterdir()]
    environment = os.environ | {"LD_LIBRARY_PATH": str(native / "lib")}
    told = subprocess.run(["ldd", *files], env=environment, check=True, capture_output=True, text=True).stdout
    needed = {Path(line.split()[2]).name for line in told.splitlines() if f"=> {native}" in line}
    for library in (native / "lib").iterdir():
        if library.name not in needed:
            library.unlink()


def buildable(names: set[str]) -> tuple[list[str], dict[str, str]]:
    """Return which of the extensions the catalogue can build, and why not the others."""
    known = catalog.load()
    can: list[str] = []
    cannot: dict[str, str] = {}
    for name in sorted(names):
        try:
            known.runtime(
                php=conftest.PHP,
                extensions=[name],
                target=known.default_target,
                architecture=Architecture.of_this_machine(),
                bootstrap=BootstrapMode.FUNCTION,
            )
        except UsageError as error:
            cannot[name] = error.message
        else:
            can.append(name)
    return can, cannot


def build(project: Path, extensions: list[str], locales: list[str]) -> Path:
    """Build ours, with what that takes here, and return its archive."""
    project.mkdir()
    lines = ["[php]", f"extensions = {json.dumps(extensions)}"]
    if locales:
        lines.append(f"icu_locales = {json.dumps(locales)}")
    (project / "phplayer.toml").write_text("\n".join(lines) + "\n")
    conftest.run_phplayer("doctor", "--fix", "--yes", cwd=project, check=False)  # other findings are no matter here
    conftest.run_phplayer("build", cwd=project)
    return next(project.glob("dist/*/runtime.zip"))


def line(what: str, ours: float, theirs: float, unit: str) -> None:
    print(f"{what:<44} {ours:9.2f} {unit} {theirs:9.2f} {unit}  ratio {ours / theirs:5.2f}", flush=True)


def compare(tree: Path, native: Path, folder: Path, *, title: str) -> None:
    print(f"\n{title:<44} {'phplayer':>12} {'peer':>12}")
    zips = {}
    for name, of in (("ours", tree), ("peer", native)):
        zips[name] = folder / f"{name}.zip"
        archive.pack(of, zips[name])
    ours, peer = inspection.read_zip(zips["ours"]), inspection.read_zip(zips["peer"])
    line("unpacked", ours.unpacked / 1e6, peer.unpacked / 1e6, "MB")
    line("zipped", ours.size / 1e6, peer.size / 1e6, "MB")
    code = ["-r", ""]
    first, second = interleaved(21, lambda: seconds(run_ours(tree, *code)), lambda: seconds(run_peer(native, *code)))
    line("start-up with all extensions, median", first * 1000, second * 1000, "ms")
    for content in (ours, peer):
        largest = ", ".join(f"{each.name} {each.zipped / 1e6:.1f}" for each in budget.contributors(content)[:6])
        print(f"  {content.path.stem}, MB zipped: {largest}")


def pack_each_way(tree: Path, folder: Path) -> None:
    print("\npacking our layer")
    for compression in Compression:
        began = time.perf_counter()
        archive.pack(tree, folder / "packed.zip", compression=compression)
        size = (folder / "packed.zip").stat().st_size
        print(f"  {compression:<8} {size / 1e6:7.2f} MB {time.perf_counter() - began:7.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--extensions", default="default", help="a set, a list, or 'peer': all that the peer has")
    parser.add_argument("--icu-locales", default="en", help="a list of locales for intl, or 'all'")
    parser.add_argument("--pack", action="store_true", help="also pack our layer with each compression")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        native = fetch_peer(folder)
        theirs = loaded(run_peer(native, "-r", "echo json_encode(get_loaded_extensions());"))
        wanted: list[str] = options.extensions.split(",")
        cannot: dict[str, str] = {}
        if options.extensions == "peer":
            wanted, cannot = buildable(theirs)
        locales = [] if options.icu_locales == "all" else options.icu_locales.split(",")
        tree = conftest.unpack(build(folder / "project", wanted, locales), folder / "tree")
        ours = loaded(run_ours(tree, "-r", "echo json_encode(get_loaded_extensions());"))
        print(f"extensions: {len(ours)} of ours, {len(theirs)} of {PEER}")
        print(f"  both: {len(ours & theirs)}")
        for title, names in (("only ours", ours - theirs), ("only the peer", theirs - ours)):
            print(f"  {title}: {', '.join(sorted(names)) or 'none'}")
        for name, why in cannot.items():
            print(f"  not built: {name}: {why}")
        if "intl" in ours:
            print(f"ICU's locales: {options.icu_locales} in ours, all in the peer")
        compare(tree, native, folder, title="against the peer as it is")
        prune(native, ours)
        compare(tree, native, folder, title="against the peer cut down to our extensions")
        if options.pack:
            pack_each_way(tree, folder)


if __name__ == "__main__":
    main()
