"""Decides which shared libraries a layer must carry, and grafts them.

On the target's own base a library that live Lambda has is left out. On any other base everything is carried but
glibc, its loader and the compiler's runtimes, because the same soname does not mean the same symbol versions.
Lambda's search path has ``/lib64`` before ``/opt/lib``, so carried libraries are found by DT_RPATH, which comes before
LD_LIBRARY_PATH; DT_RUNPATH would come after it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import elf
from phplayer.errors import BuildFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.catalog import Base
    from phplayer.runtime import Target

_FOLDER = "lib"  # of the layer tree


def carried(soname: str, *, target: Target, base: Base) -> bool:
    """Tell whether the layer must carry this library."""
    if soname in target.glibc_sonames or soname in target.never_grafted:
        return False
    return base.name != target.native_base or soname not in target.sonames


def graft(tree: Path, libraries: Sequence[Path], *, target: Target, base: Base) -> tuple[str, ...]:
    """Copy what the tree's ELF files need into ``lib/`` and point them there; return the sonames, sorted.

    ``libraries`` are the folders to find them in; of two libraries of a name the first counts.

    Raises:
        BuildFailedError: a needed library was not found where PHP was compiled.

    """
    own = tuple(elf.files(tree))
    grafted: dict[str, Path] = {}
    waiting = list(own)
    while waiting:
        path = waiting.pop()
        for soname in elf.read(path).needed:
            if soname in grafted or not carried(soname, target=target, base=base):
                continue
            source = next((folder / soname for folder in libraries if (folder / soname).is_file()), None)
            if source is None:
                raise BuildFailedError(
                    f"{path.name} needs {soname}, which was not found where PHP was compiled.",
                    remedy="Install the package that holds it and build again.",
                )
            grafted[soname] = tree / _FOLDER / soname
            grafted[soname].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, grafted[soname])
            grafted[soname].chmod(0o755)
            waiting.append(grafted[soname])
    for path in (*own, *grafted.values()):
        _point_to_grafts(path, tree / _FOLDER)
    return tuple(sorted(grafted))


def _point_to_grafts(path: Path, folder: Path) -> None:
    """Set DT_RPATH to where the grafts lie, as seen from the file itself."""
    relative = os.path.relpath(folder, path.parent)
    origin = "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"
    _patchelf(["--force-rpath", "--set-rpath", origin, str(path)])


def _patchelf(arguments: Sequence[str]) -> None:
    done = subprocess.run([_patchelf_program(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailedError(
            f"patchelf refused {arguments[-1]}: {done.stderr.strip()}", remedy="Report this with the file attached."
        )


@cache
def _patchelf_program() -> Path:
    """Return the program that the patchelf distribution installed beside this Python, which PATH may not name."""
    from importlib.metadata import distribution

    package = distribution("patchelf")
    return next(Path(str(file.locate())) for file in package.files or () if file.name == "patchelf")
