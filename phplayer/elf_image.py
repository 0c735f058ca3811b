"""An ELF file as the kernel and glibc's loader see it: header, program headers, dynamic section.

They look at no section, so neither does this: a file without sections needs its libraries all the same. Nothing in a
file is believed: offsets, counts and lengths are held against its size, and what is read of it in all is bounded.
(pyelftools, which the tests compare this with, goes by sections, and loops where tables are made to.)
Only 64-bit little-endian files are read beyond their header; Lambda loads no others.

Layouts and numbers: System V ABI, chapters 4 and 5. The loader's ways: glibc 2.34, elf/dl-load.c and
elf/get-dynamic-info.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

MAGIC = b"\x7fELF"

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PT_GNU_STACK, PT_GNU_PROPERTY = 0x6474E551, 0x6474E553

DT_NULL, DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_RPATH = 0, 1, 4, 5, 6, 10, 14, 15
DT_TEXTREL, DT_RUNPATH, DT_FLAGS = 22, 29, 30
DT_GNU_HASH, DT_VERSYM, DT_VERDEF, DT_VERNEED = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE

_CLASS_32, _CLASS_64 = 1, 2
_LITTLE_ENDIAN = 1
_IDENT = 16  # bytes before the header's numbers
_PROGRAMS = {2, 3}  # e_type of what can be loaded: ET_EXEC, ET_DYN
_MACHINES = {
    3: "EM_386", 8: "EM_MIPS", 20: "EM_PPC", 21: "EM_PPC64", 22: "EM_S390", 40: "EM_ARM", 62: "EM_X86_64",
    183: "EM_AARCH64", 243: "EM_RISCV", 258: "EM_LOONGARCH",
}  # fmt: skip
_HEADER = struct.Struct("<HHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")
_MOST_SEGMENTS = 256  # real files have a dozen
_MOST_TAGS = 8192  # of the dynamic section
_LONGEST = 65_536  # bytes of a string
_MORE_TEXT = 1 << 20  # bytes of strings that are read beyond twice the file's size

Buffer: TypeAlias = "bytes | mmap.mmap"


class NotElfError(ValueError):
    """The file begins as an ELF file does and cannot be read as one."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A program header; all in bytes."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int  # in the file
    room: int  # in memory: zeros after what is in the file
    align: int


class Image:
    """The bytes of an ELF file, by offset and by the address at which they would be loaded."""

    def __init__(self, data: Buffer) -> None:
        """Read the headers.

        Raises:
            NotElfError: they are damaged.

        """
        self.data = data
        self.size = len(data)
        self._text_left = 2 * self.size + _MORE_TEXT
        if self.size < _IDENT or data[:4] != MAGIC:
            raise NotElfError("it ends within its header")
        self.is_readable = data[4] == _CLASS_64 and data[5] == _LITTLE_ENDIAN
        number = int.from_bytes(data[18:20], "little" if data[5] == _LITTLE_ENDIAN else "big")
        self.machine = _MACHINES.get(number, f"EM_{number}")
        self.segments: tuple[Segment, ...] = ()
        if self.is_readable:
            self._header = self.unpack(_HEADER, _IDENT)
            self.segments = tuple(self._segments())
        elif data[4] == _CLASS_32 and self.machine in {"EM_X86_64", "EM_AARCH64"}:
            self.machine += "_32"  # x32 and its like run on such a processor, and load no library of it

    def _segments(self) -> Iterator[Segment]:
        kind, start, size, count = (self._header[each] for each in (0, 4, 8, 9))
        if kind not in _PROGRAMS:
            return
        if count and size != _SEGMENT.size:
            raise NotElfError(f"its program headers have {size} bytes each, and not {_SEGMENT.size}")
        if not 0 < count <= _MOST_SEGMENTS:
            raise NotElfError(f"it has {count} program headers")
        for number in range(count):
            kind, flags, offset, address, _, size, room, align = self.unpack(_SEGMENT, start + number * _SEGMENT.size)
            if kind in {PT_LOAD, PT_INTERP, PT_NOTE, PT_GNU_PROPERTY} and offset + size > self.size:
                raise NotElfError("it is cut off: a segment ends beyond it")
            yield Segment(kind=kind, flags=flags, offset=offset, address=address, size=size, room=room, align=align)

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[int, ...]:
        """Return the numbers at an offset.

        Raises:
            NotElfError: the file ends before.

        """
        if offset < 0 or offset + layout.size > self.size:
            raise NotElfError("a table of it ends beyond it")
        return layout.unpack_from(self.data, offset)

    def of_kind(self, kind: int) -> Iterator[Segment]:
        """Yield the segments of a kind."""
        return (segment for segment in self.segments if segment.kind == kind)

    def offset(self, address: int) -> int:
        """Return where in the file the byte is that is loaded at an address.

        Raises:
            NotElfError: none is.

        """
        for segment in reversed(tuple(self.of_kind(PT_LOAD))):  # a later mapping goes over an earlier one
            if 0 <= address - segment.address < segment.size:
                return segment.offset + address - segment.address
        raise NotElfError(f"it has nothing at the address {address:#x}, where a table should be")

    def string(self, offset: int) -> str:
        """Return the text from an offset to the next NUL.

        Raises:
            NotElfError: it has no end, or more is read than there can be.

        """
        limit = min(self.size, offset + _LONGEST)
        end = self.data.find(b"\0", offset, limit) if offset < self.size else -1
        if end < 0:
            raise NotElfError("a text of it has no end")
        self._text_left -= end - offset + 1
        if self._text_left < 0:
            raise NotElfError("its tables have more text than it has bytes")
        return bytes(self.data[offset:end]).decode("utf-8", "backslashreplace")

    @cached_property
    def dynamic(self) -> tuple[tuple[int, int], ...]:
        """The dynamic section: tags and values, in order.

        Raises:
            NotElfError: it has no end.

        """
        segment = next(self.of_kind(PT_DYNAMIC), None)
        if segment is None or segment.size == 0:  # a static program, or the debugging information of another file
            return ()
        start = self.offset(segment.address)  # the loader goes by the address, whatever the offset says
        found: list[tuple[int, int]] = []
        for number in range(_MOST_TAGS):
            tag, value = self.unpack(_DYNAMIC, start + number * _DYNAMIC.size)
            if tag == DT_NULL:
                return tuple(found)
            found.append((tag, value))
        raise NotElfError("its dynamic section has no end")

    @cached_property
    def tags(self) -> dict[int, int]:
        """The values of the dynamic section by tag: of several the loader takes the last."""
        return dict(self.dynamic)

    @cached_property
    def strings(self) -> int:
        """The offset of the dynamic section's strings.

        Raises:
            NotElfError: there are none.

        """
        if DT_STRTAB not in self.tags:
            raise NotElfError("its dynamic section has no strings")
        return self.offset(self.tags[DT_STRTAB])

    def texts(self, tag: int) -> tuple[str, ...]:
        """Return the text of every such tag."""
        return tuple(self.string(self.strings + value) for each, value in self.dynamic if each == tag)

    def sections(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield the start of the name, the kind and the size of each section, as far as there are any.

        What is wrong with them is passed over: no loader looks at them.
        """
        if not self.is_readable:
            return
        start, size, count, names = (self._header[each] for each in (5, 10, 11, 12))
        if size != _SECTION.size or start + count * size > self.size or names >= count:
            return
        texts = self.unpack(_SECTION, start + names * size)[4]
        for number in range(count):
            name, kind, _, _, _, length, *_ = self.unpack(_SECTION, start + number * size)
            at = min(texts + name, self.size)
            yield bytes(self.data[at : at + 16]), kind, length
