"""All benchmarks, beside their peers in one run. Figures belong to the machine; the ratios are what counts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import conftest
from tests.integration import guzzle


def bench(name: str, *arguments: str | Path) -> None:
    print(f"\n== {name}", flush=True)
    subprocess.run(
        [sys.executable, ROOT / "tests" / "benchmarks" / f"bench_{name}.py", *arguments], cwd=ROOT, check=True
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        built = conftest.build_hello(Path(temporary))
        bench("bootstrap", "--layer-tree", built.tree, "--vendor", guzzle.guzzle_vendor(conftest.WORK / "guzzle"))
        bench("opcache", "--layer-tree", built.tree, "--cache", conftest.WORK / "guzzle")
        bench("emulator", "--layer-tree", built.tree)
        bench("libcurl", "--layer-tree", built.tree)
    bench("build")
    bench("rebuild")
    bench("publish")
    bench("size")


if __name__ == "__main__":
    main()
