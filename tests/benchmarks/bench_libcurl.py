"""What PHP's start-up and size gain by a libcurl of our own, beside the distribution's with all that it needs.

The same PHP is started with either: a layer has our libcurl linked into ``php``, in a copy of it ``php`` needs the
distribution's ``libcurl.so.4`` as well, grafted with its libraries as every library is. What is compared is thus what
loading it takes. (The copy keeps ours too, unused: about half a megabyte.)
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import archive, catalog, libraries
from phplayer.compression import Compression
from tests import binaries, conftest
from tests.benchmarks.bench_size import interleaved, run_ours, seconds

LIBCURL = "libcurl.so.4"
ROUNDS = 101


def system_folders() -> Sequence[Path]:
    """Return the folders of this machine's own libraries, where its libcurl is among them."""
    told = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True).stdout
    found = dict.fromkeys(Path(line.split()[-1]).parent for line in told.splitlines() if " => " in line)
    if not any((folder / LIBCURL).is_file() for folder in found):
        raise SystemExit(f"This machine has no {LIBCURL} to compare with: install its package (libcurl4).")
    return tuple(found)


def with_the_distributions(tree: Path, into: Path) -> Path:
    """Return a copy of the layer whose php needs the distribution's libcurl."""
    shutil.copytree(tree, into)
    binaries.patchelf(into / "bin" / "php", "--add-needed", LIBCURL)
    known = catalog.load()
    base = known.base_of("debian")
    assert base is not None
    libraries.graft(into, system_folders(), target=known.target(known.default_target), base=base)
    return into


def size(tree: Path, zipped: Path) -> tuple[int, float, float]:
    """Return how many libraries a layer carries, and its megabytes unpacked and zipped."""
    archive.pack(tree, zipped, compression=Compression.BEST)
    unpacked = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    return len(list((tree / "lib").glob("*.so*"))), unpacked / 1e6, zipped.stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer-tree", type=Path, help="a layer with curl, unpacked; built if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = options.layer_tree or conftest.build_hello(folder / "ours").tree
        theirs = with_the_distributions(ours, folder / "theirs")
        code = ["-r", "curl_init();"]
        seconds(run_ours(ours, *code)), seconds(run_ours(theirs, *code))  # it works, and is in the page cache
        medians = interleaved(ROUNDS, lambda: seconds(run_ours(ours, *code)), lambda: seconds(run_ours(theirs, *code)))
        print(f"{'libcurl':<20} {'libraries':>9} {'unpacked':>12} {'zipped':>12} {f'start-up, of {ROUNDS}':>26}")
        for name, tree, median in (("our own", ours, medians[0]), ("the distribution's", theirs, medians[1])):
            count, unpacked, zipped = size(tree, folder / "packed.zip")
            print(f"{name:<20} {count:>9} {unpacked:>9.1f} MB {zipped:>9.1f} MB {median * 1000:>23.2f} ms")


if __name__ == "__main__":
    main()
