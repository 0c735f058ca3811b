"""What the notes of an ELF file demand of the processor.

Layouts: x86-64 psABI, "Program Property"; the loader's ways: glibc 2.34, sysdeps/x86/dl-prop.h.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from phplayer.elf_image import PT_GNU_PROPERTY, PT_NOTE, NotElfError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.elf_image import Image, Segment

_NOTE = struct.Struct("<III")  # n_namesz, n_descsz, n_type
_PROPERTY = struct.Struct("<II")  # pr_type, pr_datasz
_WORD = struct.Struct("<I")
_NAME = b"GNU\0"
_PROPERTIES = 5  # NT_GNU_PROPERTY_TYPE_0
_ISA_NEEDED = 0xC0008002  # GNU_PROPERTY_X86_ISA_1_NEEDED
_ALIGN = 8  # bytes
_MOST = 4096  # notes and properties of a file


def isa_needed(image: Image) -> int:
    """Return the bits of the property that says which level of the instruction set the file cannot do without.

    Raises:
        NotElfError: there are more notes than are read.

    """
    segments = list(image.of_kind(PT_GNU_PROPERTY)) or [
        segment for segment in image.of_kind(PT_NOTE) if segment.align == _ALIGN
    ]
    needed, left = 0, _MOST
    for segment in segments:
        for kind, value in _properties(image, segment):
            left -= 1
            if left < 0:
                raise NotElfError(f"it has more than {_MOST} notes")
            if kind == _ISA_NEEDED:
                needed |= value
    return needed


def _properties(image: Image, segment: Segment) -> Iterator[tuple[int, int]]:
    """Yield kind and value of each property, and (0, 0) for each note."""
    at, end = segment.offset, segment.offset + segment.size
    while at + _NOTE.size <= end:
        names, size, kind = image.unpack(_NOTE, at)
        yield 0, 0
        name = at + _NOTE.size
        start = name + _aligned(names, _ALIGN // 2)
        stop = min(start + size, end)
        if kind == _PROPERTIES and names == len(_NAME) and image.data[name:start] == _NAME:
            property_at = start
            while property_at + _PROPERTY.size <= stop:
                property_kind, length = image.unpack(_PROPERTY, property_at)
                value = property_at + _PROPERTY.size
                if length == _WORD.size and value + length <= stop:
                    yield property_kind, image.unpack(_WORD, value)[0]
                property_at = value + _aligned(length, _ALIGN)
        at = _aligned(start + size - segment.offset, _ALIGN) + segment.offset


def _aligned(value: int, to: int) -> int:
    return (value + to - 1) // to * to
