"""What ELF files say of themselves: architecture, needed libraries, search paths, symbol versions, what they demand.

elf_image      the bytes, by segments and addresses
elf_versions   symbol versions
elf_notes      the instruction set
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from phplayer import elf_notes, elf_versions
from phplayer.elf_image import (
    DT_FLAGS,
    DT_NEEDED,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    DT_TEXTREL,
    DT_VERSYM,
    MAGIC,
    PT_GNU_STACK,
    PT_INTERP,
    Image,
    NotElfError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from phplayer.elf_image import Buffer

_DF_TEXTREL = 0x4
_PF_X = 0x1
_NOBITS = 8  # sections that are not in the file


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """The dynamic section of one executable or shared library, and what it demands of the machine."""

    path: Path
    machine: str  # e_machine by its name in elf.h, EM_X86_64; EM_X86_64_32 where it is a 32-bit file of it
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: str = ""  # empty where there is a runpath, for then the loader passes it over
    runpath: str = ""
    versions: tuple[tuple[str, str], ...] = ()  # (library, symbol version) pairs without which it is not loaded
    interpreter: str = ""  # of an executable: the loader that it asks for
    defined: frozenset[str] = frozenset()  # symbol versions that it offers
    tells_versions: bool = False  # of each symbol, even if it is none
    symbols: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # which it needs at a version
    isa_needed: int = 0  # GNU_PROPERTY_X86_ISA_1_NEEDED: bit 0 baseline, 1 x86-64-v2, 2 v3, 3 v4
    text_relocations: bool = False
    executable_stack: bool = False
    debug: int = 0  # bytes of debugging information

    def satisfies(self, version: str) -> bool:
        """Tell whether the loader takes it as a library of which that symbol version is needed.

        One without any versions is taken (with a message on stderr), but one that has not even a table that says so
        lets the loader end in a failed assertion (glibc 2.34, elf/dl-lookup.c, check_match).
        """
        return version in self.defined if self.defined else self.tells_versions


def is_elf(path: Path) -> bool:
    """Tell whether a file is an ELF file."""
    with path.open("rb") as file:
        return begins_elf(file.read(len(MAGIC)))


def begins_elf(data: Buffer) -> bool:
    """Tell whether these are the first bytes of an ELF file."""
    return data[: len(MAGIC)] == MAGIC


def read(path: Path) -> ElfFile:
    """Read one ELF file, of which only what is looked at comes into memory.

    Raises:
        NotElfError: it is damaged.
        ValueError: it is empty.

    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return parse(data, path)


def parse(data: Buffer, path: Path) -> ElfFile:
    """Read the ELF file of these bytes, which are those of ``path``.

    Raises:
        NotElfError: it is damaged.

    """
    try:
        return _parse(Image(data), path)
    except NotElfError as error:
        raise NotElfError(f"{path.name} is damaged: {error}") from error


def _parse(image: Image, path: Path) -> ElfFile:
    if not image.is_readable:
        return ElfFile(path=path, machine=image.machine)
    needs = tuple(need for need in elf_versions.needs(image) if not need.is_weak)
    runpath = _last(image, DT_RUNPATH)
    return ElfFile(
        path=path,
        machine=image.machine,
        soname=_last(image, DT_SONAME),
        needed=image.texts(DT_NEEDED),
        rpath="" if DT_RUNPATH in image.tags else _last(image, DT_RPATH),
        runpath=runpath,
        versions=tuple((need.library, need.version) for need in needs),
        interpreter=_interpreter(image),
        defined=frozenset(elf_versions.definitions(image).values()),
        tells_versions=DT_VERSYM in image.tags,
        symbols=_symbols(image, needs),
        isa_needed=elf_notes.isa_needed(image),
        text_relocations=DT_TEXTREL in image.tags or bool(image.tags.get(DT_FLAGS, 0) & _DF_TEXTREL),
        executable_stack=_executable_stack(image),
        debug=_debug(image),
    )


def _last(image: Image, tag: int) -> str:
    return image.string(image.strings + image.tags[tag]) if tag in image.tags else ""


def _executable_stack(image: Image) -> bool:
    """Tell whether the stack becomes executable with it.

    Of a library that says nothing the loader takes it so (glibc 2.34, elf/dl-load.c, DEFAULT_STACK_PERMS); of a program
    the kernel does not, on 64 bits.
    """
    told = tuple(image.of_kind(PT_GNU_STACK))
    is_library = bool(image.dynamic) and next(image.of_kind(PT_INTERP), None) is None
    return any(segment.flags & _PF_X for segment in told) if told else is_library


def _interpreter(image: Image) -> str:
    segment = next(image.of_kind(PT_INTERP), None)
    return "" if segment is None else image.string(segment.offset)


def _symbols(image: Image, needs: tuple[elf_versions.Need, ...]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the names of the symbols that are needed at a version."""
    by_index = {need.index: (need.library, need.version) for need in needs}
    found: dict[tuple[str, str], list[str]] = {}
    for symbol in elf_versions.symbols(image, frozenset(by_index)):
        found.setdefault(by_index[symbol.index], []).append(symbol.name)
    return MappingProxyType({need: tuple(sorted(names)) for need, names in found.items()})


def _debug(image: Image) -> int:
    sizes = (
        size for name, kind, size in image.sections() if kind != _NOBITS and name.startswith((b".debug_", b".zdebug_"))
    )
    return min(sum(sizes), image.size)


def files(tree: Path) -> Iterator[Path]:
    """Yield every ELF file of a tree, sorted."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and is_elf(path):
            yield path
