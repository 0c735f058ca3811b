"""What ELF files say of themselves: architecture, needed libraries, search paths, symbol versions, what they demand."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from elftools.elf.elffile import ELFFile

_MAGIC = b"\x7fELF"
_ISA_NEEDED = "GNU_PROPERTY_X86_ISA_1_NEEDED"
_DF_TEXTREL = 0x4
_PF_X = 0x1
_BASE, _WEAK = 0x1, 0x2  # flags of symbol versions
_LOCAL_VERSIONS = 2  # version indexes 0 and 1 are "local" and "global": no version at all
_VERSION_MASK = 0x7FFF  # the topmost bit marks a version that is hidden from the linker
_OF_DAMAGE = (ValueError, AttributeError, AssertionError, TypeError, MemoryError, RecursionError)  # pyelftools', too
_HALF = 2  # bytes of an entry of .gnu.version


class NotElfError(ValueError):
    """The file begins as an ELF file does and cannot be read as one."""


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """The dynamic section of one executable or shared library, and what it demands of the machine."""

    path: Path
    machine: str  # e_machine by pyelftools' name: EM_X86_64
    soname: str
    needed: tuple[str, ...]
    rpath: str
    runpath: str
    versions: tuple[tuple[str, str], ...]  # (library, symbol version) pairs that it needs
    interpreter: str = ""  # of an executable: the loader that it asks for
    defined: frozenset[str] = frozenset()  # symbol versions that it offers
    symbols: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # which it needs at a version
    isa_needed: int = 0  # GNU_PROPERTY_X86_ISA_1_NEEDED: bit 0 baseline, 1 x86-64-v2, 2 v3, 3 v4
    text_relocations: bool = False
    executable_stack: bool = False
    debug: int = 0  # bytes of debugging information


def is_elf(path: Path) -> bool:
    """Tell whether a file is an ELF file."""
    with path.open("rb") as file:
        return begins_elf(file.read(len(_MAGIC)))


def begins_elf(data: bytes) -> bool:
    """Tell whether these are the first bytes of an ELF file."""
    return data.startswith(_MAGIC)


def read(path: Path) -> ElfFile:
    """Read one ELF file.

    Raises:
        NotElfError: it is damaged.

    """
    return parse(path.read_bytes(), path)


def parse(data: bytes, path: Path) -> ElfFile:
    """Read the ELF file of these bytes, which are those of ``path``.

    Raises:
        NotElfError: it is damaged.

    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        return _parse(ELFFile(io.BytesIO(data)), data, path)
    except (ELFError, ConstructError, struct.error, ArithmeticError, LookupError, *_OF_DAMAGE) as error:
        raise NotElfError(f"{path.name} is damaged: {str(error) or type(error).__name__}") from error


@dataclass
class _Sections:
    """What the sections of a file tell, gathered one by one."""

    strings: dict[str, list[str]] = field(
        default_factory=lambda: {"needed": [], "soname": [], "rpath": [], "runpath": []}
    )
    needs: dict[int, tuple[str, str]] = field(default_factory=dict)  # by version index
    defined: set[str] = field(default_factory=set)
    versym: Any = None
    text_relocations: bool = False
    debug: int = 0

    def add_dynamic(self, section: Any) -> None:
        for tag in section.iter_tags():
            for name, values in self.strings.items():
                if hasattr(tag, name):
                    values.append(getattr(tag, name))
            self.text_relocations |= tag.entry.d_tag == "DT_TEXTREL"
            self.text_relocations |= tag.entry.d_tag == "DT_FLAGS" and bool(tag.entry.d_val & _DF_TEXTREL)

    def add_needed_versions(self, section: Any) -> None:
        for library, versions in section.iter_versions():
            for version in versions:
                if not version["vna_flags"] & _WEAK:  # the loader only warns where that one is missing
                    self.needs[version["vna_other"]] = (str(library.name), version.name)

    def add_defined_versions(self, section: Any) -> None:
        for version, names in section.iter_versions():
            if not version["vd_flags"] & _BASE:  # that one is the library's own name
                self.defined.add(next(iter(names)).name)


def _parse(elf: ELFFile, data: bytes, path: Path) -> ElfFile:
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection, GNUVerSymSection

    found = _Sections()
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            found.add_dynamic(section)
        elif isinstance(section, GNUVerNeedSection):
            found.add_needed_versions(section)
        elif isinstance(section, GNUVerDefSection):
            found.add_defined_versions(section)
        elif isinstance(section, GNUVerSymSection):
            found.versym = section
        elif section.name.startswith((".debug_", ".zdebug_")):
            found.debug += int(section["sh_size"])
    interpreter, executable_stack = _segments(elf)
    return ElfFile(
        path=path,
        machine=elf["e_machine"],
        soname="".join(found.strings["soname"]),
        needed=tuple(found.strings["needed"]),
        rpath=":".join(found.strings["rpath"]),
        runpath=":".join(found.strings["runpath"]),
        versions=tuple(found.needs.values()),
        interpreter=interpreter,
        defined=frozenset(found.defined),
        symbols=_symbols(elf, data, found.versym, found.needs),
        isa_needed=_isa_needed(elf),
        text_relocations=found.text_relocations,
        executable_stack=executable_stack,
        debug=found.debug,
    )


def _segments(elf: ELFFile) -> tuple[str, bool]:
    """Return the loader that is asked for, and whether the stack is to be executable."""
    from elftools.elf.segments import InterpSegment

    interpreter, executable_stack = "", False
    for segment in elf.iter_segments():
        if isinstance(segment, InterpSegment):
            interpreter = str(segment.get_interp_name())
        elif segment["p_type"] == "PT_GNU_STACK":
            executable_stack = bool(segment["p_flags"] & _PF_X)
    return interpreter, executable_stack


def _isa_needed(elf: ELFFile) -> int:
    """Return the bits of the property that says which level of the instruction set the program cannot do without."""
    from elftools.elf.sections import NoteSection

    section = elf.get_section_by_name(".note.gnu.property")
    if not isinstance(section, NoteSection):
        return 0
    needed = 0
    for note in section.iter_notes():
        if note["n_type"] == "NT_GNU_PROPERTY_TYPE_0" and note["n_name"] == "GNU":
            for entry in note["n_desc"]:
                if entry["pr_type"] == _ISA_NEEDED:
                    needed |= int(entry["pr_data"])
    return needed


def _symbols(
    elf: ELFFile, data: bytes, versym: Any, needs: Mapping[int, tuple[str, str]]
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the names of the symbols that are needed at a version.

    Libraries have tens of thousands of symbols, so the tables are walked as bytes and only these are made objects.
    """
    if versym is None or not needs:
        return MappingProxyType({})
    table = elf.get_section(versym["sh_link"])
    strings = elf.get_section(table["sh_link"])
    order = "<" if elf.little_endian else ">"
    count = versym["sh_size"] // _HALF
    indexes = struct.unpack_from(f"{order}{count}H", data, versym["sh_offset"])
    size, start = table["sh_entsize"], table["sh_offset"]
    names_at, names_end = strings["sh_offset"], strings["sh_offset"] + strings["sh_size"]
    found: dict[tuple[str, str], list[str]] = {}
    for number, index in enumerate(indexes):
        need = needs.get(index & _VERSION_MASK) if index >= _LOCAL_VERSIONS else None
        if need is not None:
            (offset,) = struct.unpack_from(f"{order}I", data, start + number * size)  # st_name is the first member
            end = data.index(b"\0", names_at + offset, names_end)
            found.setdefault(need, []).append(data[names_at + offset : end].decode("ascii", "replace"))
    return MappingProxyType({need: tuple(sorted(names)) for need, names in found.items()})


def files(tree: Path) -> Iterator[Path]:
    """Yield every ELF file of a tree, sorted."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and is_elf(path):
            yield path
