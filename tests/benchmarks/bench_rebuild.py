"""What it costs to build again after a change, as a share of the first build, which compiles everything.

One project, the example with its Composer dependency and the smallest extension set, in a cache of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import cache
from tests import conftest

PACKED = ("pack runtime.zip", "pack vendor.zip")
SOURCES = ("phplayer", "templates", "dockerfiles")


class Project:
    """A copy of the example, built by a copy of phplayer, so that both can be changed."""

    def __init__(self, folder: Path) -> None:
        self.program, self.folder, self.cache = folder / "program", folder / "project", folder / "cache"
        for name in SOURCES:
            shutil.copytree(ROOT / name, self.program / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "examples" / "hello", self.folder, ignore=shutil.ignore_patterns("dist"))
        shutil.copytree(cache.folder("sources"), self.cache / "sources")
        self.extensions, self.ini = ["minimal"], ""

    def build(self) -> float:
        """Return the seconds of one build; what it compiled is in ``said``."""
        text = f'[build]\nengine = "host"\n[php]\nextensions = {json.dumps(self.extensions)}\n{self.ini}'
        (self.folder / "phplayer.toml").write_text(text)
        own = {"PYTHONPATH": str(self.program), "PHPLAYER_CACHE": str(self.cache), "CI": "1"}
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "phplayer", "build"],
            cwd=self.folder,
            env=os.environ | conftest.PINNED | own,
            check=True,
            capture_output=True,
            text=True,
        )
        self.said = done.stderr
        return time.perf_counter() - began

    def change_ini(self) -> None:
        self.ini = 'ini = { memory_limit = "123M" }\n'

    def change_bootstrap(self) -> None:
        with (self.program / "templates" / "bootstrap" / "function" / "bootstrap").open("a") as file:
            file.write("// changed\n")

    def change_lock(self) -> None:
        path = self.folder / "composer.lock"
        lock = json.loads(path.read_text())
        lock["packages"][0]["description"] = "changed"
        path.write_text(json.dumps(lock))

    def change_flags(self) -> None:
        self.extensions.append("ctype")

    def add_pecl(self) -> None:
        self.extensions.append("apcu")

    def nothing(self) -> None:
        pass


def main() -> None:
    if shutil.which("ccache") is None:
        sys.exit("error: ccache is not installed\n  fix: apt-get install ccache")
    with tempfile.TemporaryDirectory() as temporary:
        project = Project(Path(temporary))
        full = project.build()
        print(f"{'the first build, which compiles everything':<58} {full:8.2f} s", flush=True)
        changes: tuple[tuple[str, Callable[[], None], set[str], str], ...] = (
            ("nothing changed", project.nothing, set(), "under 0.02"),
            ("php.ini changed", project.change_ini, {"pack runtime.zip"}, "under 0.1"),
            ("bootstrap changed", project.change_bootstrap, {"pack runtime.zip"}, "under 0.1"),
            ("Composer's lock changed", project.change_lock, {"pack vendor.zip"}, "under 0.1"),
            ("an extension from PECL added", project.add_pecl, {"apcu", "pack runtime.zip"}, "under 0.1"),
            (
                "a configure flag changed, with ccache",
                project.change_flags,
                {"compile", "pack runtime.zip"},
                "under 0.5",
            ),
        )
        for what, change, expected, aim in changes:
            change()
            again = project.build()
            done = {phase for phase in ("compile", *PACKED) if f" {phase}: " in project.said}
            done |= {"apcu"} if " apcu " in project.said else set()
            if not done >= expected or ("compile" in done) != ("compile" in expected):
                sys.exit(f"error: {what}: done was {done}, not {expected}\n{project.said}")
            print(f"{what:<58} {again:8.2f} s  ratio {again / full:5.3f}  (aim {aim})", flush=True)


if __name__ == "__main__":
    main()
