"""The engine for what was compiled elsewhere: every step has been run, the results lie in a folder."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phplayer import bake, catalog, recipe
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from phplayer.catalog import Base
    from phplayer.recipe import Recipe
    from phplayer.runtime import Runtime


class ElsewhereEngine:
    """Gives what a target of docker-bake.hcl left in ``folder/IDENTIFIER``."""

    name = "elsewhere"

    def __init__(self, folder: Path, *, base: Base) -> None:
        self.base = base
        self._folder = folder

    @classmethod
    def open(cls, folder: Path, runtime: Runtime) -> ElsewhereEngine:
        """Find the results for a runtime and check that they are of its recipe.

        Raises:
            UsageError: they are not there, not whole, or of another recipe.

        """
        place = folder / runtime.identifier
        said = (place / bake.STAMP).read_text(encoding="utf-8") if (place / bake.STAMP).is_file() else ""
        base_name, _, digest = said.strip().partition(" ")
        base = catalog.load().bases.get(base_name)
        if said and (base is None or digest != bake.digest(runtime, base)):
            raise UsageError(
                f"{place} was compiled with other settings, or for another phplayer.",
                remedy="Write docker-bake.hcl again with --print-bake, and bake again.",
            )
        missing = [] if said else [bake.STAMP]
        if base is not None:
            plan = recipe.plan(runtime, base)
            results = (f"{part.name}/{name}" for part in plan.parts for name in part.results)
            missing = [name for name in results if not (place / name).exists()]
        if base is None or missing:
            raise UsageError(
                f"{place} holds no compiled PHP: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
                remedy="Compile it: phplayer build --print-bake >docker-bake.hcl && docker buildx bake",
            )
        return cls(place, base=base)

    def compilers(self) -> int:
        """Return how many archives are packed at once: nothing is compiled."""
        return 1

    def require(self, packages: Sequence[str]) -> None:
        """Ask for nothing."""

    def fingerprint(self, packages: Sequence[str]) -> str:
        """Return a digest of all that is there."""
        total = hashlib.sha256(" ".join(packages).encode())
        for path in sorted(path for path in self._folder.rglob("*") if path.is_file()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(self._folder).as_posix()}\0{content}\0".encode())
        return total.hexdigest()

    @contextmanager
    def workspace(self, key: str, recipe: Recipe) -> Iterator[_Results]:
        """Open the results of a part."""
        del key
        yield _Results(self._folder / recipe.name)


class _Results:
    """A workspace in which all is done."""

    full_disk_remedy = "The disk is full: free some space, or move the cache with PHPLAYER_CACHE, and run again."

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: Path, name: str) -> None:
        """Need nothing."""

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str], on_line: Callable[[str], None]) -> int:
        """Run nothing: no step is left."""
        raise AssertionError(arguments, environment, on_line)

    def exists(self, name: str) -> bool:
        """Tell that every step has been run."""
        return name.endswith(".done")

    def mark(self, name: str) -> None:
        """Note nothing."""

    def get(self, name: str, into: Path) -> None:
        """Copy a file or a folder out."""
        source = self._folder / name
        if source.is_dir():
            shutil.copytree(source, into / name, symlinks=True)
        else:
            shutil.copyfile(source, into / name)
