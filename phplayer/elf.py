"""What ELF files say of themselves: architecture, needed libraries, search paths, symbol versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"\x7fELF"


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """The dynamic section of one executable or shared library."""

    path: Path
    machine: str  # e_machine by pyelftools' name: EM_X86_64
    soname: str
    needed: tuple[str, ...]
    rpath: str
    runpath: str
    versions: tuple[tuple[str, str], ...]  # (library, symbol version) pairs that it needs


def is_elf(path: Path) -> bool:
    """Tell whether a file is an ELF file."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read(path: Path) -> ElfFile:
    """Read one ELF file."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    strings: dict[str, list[str]] = {"needed": [], "soname": [], "rpath": [], "runpath": []}
    versions: list[tuple[str, str]] = []
    with path.open("rb") as file:
        elf = ELFFile(file)
        for section in elf.iter_sections():
            if isinstance(section, DynamicSection):
                for tag in section.iter_tags():
                    for name, values in strings.items():
                        if hasattr(tag, name):
                            values.append(getattr(tag, name))
            elif isinstance(section, GNUVerNeedSection):
                for library, needs in section.iter_versions():
                    versions.extend((str(library.name), need.name) for need in needs)
        machine = elf["e_machine"]
    return ElfFile(
        path=path,
        machine=machine,
        soname="".join(strings["soname"]),
        needed=tuple(strings["needed"]),
        rpath=":".join(strings["rpath"]),
        runpath=":".join(strings["runpath"]),
        versions=tuple(versions),
    )


def files(tree: Path) -> Iterator[Path]:
    """Yield every ELF file of a tree, sorted."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and is_elf(path):
            yield path
