"""Checks a layer tree against what live Lambda offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer import elf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from phplayer.runtime import Architecture, Target

_GLIBC = "GLIBC_"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that live Lambda would trip over."""

    name: str  # of the rule
    file: str
    message: str
    error: bool  # False: it may work, and only a run on Lambda tells


def check(tree: Path, *, target: Target, architecture: Architecture) -> tuple[Finding, ...]:
    """Return all findings, in the order of the files."""
    present = {path.name for path in (tree / "lib").glob("*.so*")}
    return tuple(
        finding
        for path in elf.files(tree)
        for finding in _of_file(elf.read(path), tree, present, target=target, architecture=architecture)
    )


def _of_file(
    file: elf.ElfFile, tree: Path, present: set[str], *, target: Target, architecture: Architecture
) -> Iterator[Finding]:
    name = str(file.path.relative_to(tree))
    if file.machine != architecture.elf_machine:
        yield Finding(
            name="wrong-architecture", file=name, message=f"is {file.machine}, asked was {architecture}", error=True
        )
    if file.runpath:
        yield Finding(
            name="runpath", file=name, message="has DT_RUNPATH, which Lambda's LD_LIBRARY_PATH overrides", error=True
        )
    for soname in file.needed:
        offered = target.sonames | target.glibc_sonames | target.never_grafted
        if soname not in present and soname not in offered:
            yield Finding(
                name="missing-library",
                file=name,
                message=f"needs {soname}, which is neither in the layer nor on live Lambda",
                error=True,
            )
    limit = _numbers(target.glibc)
    for library, version in file.versions:
        if library in target.glibc_sonames and version.startswith(_GLIBC):
            number = version.removeprefix(_GLIBC)
            if number.replace(".", "").isdigit() and _numbers(number) > limit:
                yield Finding(
                    name="glibc-version",
                    file=name,
                    message=f"needs {version} of {library}; {target.name} has glibc {target.glibc}",
                    error=False,
                )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
