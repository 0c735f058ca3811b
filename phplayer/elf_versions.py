"""The symbol versions that an ELF file needs and defines, as glibc's loader reads them.

Layouts: Linux Standard Base, "Symbol Versioning"; the loader's ways: glibc 2.34, elf/dl-version.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer.elf_image import (
    DT_GNU_HASH,
    DT_HASH,
    DT_STRTAB,
    DT_SYMTAB,
    DT_VERDEF,
    DT_VERNEED,
    DT_VERSYM,
    NotElfError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.elf_image import Image

VERSION_MASK = 0x7FFF  # the topmost bit marks a version that is hidden from the linker
HALF = struct.Struct("<H")

_WEAK = 0x2  # a flag: the loader only warns where that version is missing
_FIRST = 2  # version indexes 0 and 1 are "local" and "global": no version at all
_MOST = VERSION_MASK  # versions of a file: as many as there are indexes
_NEED = struct.Struct("<HHIII")  # vn_version, vn_cnt, vn_file, vn_aux, vn_next
_NEED_VERSION = struct.Struct("<IHHII")  # vna_hash, vna_flags, vna_other, vna_name, vna_next
_DEFINITION = struct.Struct("<HHHHIII")  # vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next
_NAME = struct.Struct("<II")  # vda_name, vda_next
_SYMBOL = struct.Struct("<IBBHQQ")  # st_name, st_info, st_other, st_shndx, st_value, st_size
_WORD = struct.Struct("<I")
_PAIR = struct.Struct("<II")
_GNU_HASH = struct.Struct("<IIII")  # buckets, first hashed symbol, words of the filter, shift


@dataclass(frozen=True, kw_only=True)
class Need:
    """A symbol version that a file needs of a library."""

    library: str
    version: str
    index: int  # by which symbols name it
    is_weak: bool
    offset: int  # of the record in the file


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A symbol that has a version."""

    name: str
    index: int  # of the version
    is_defined: bool
    offset: int  # in the file, of its version index


def needs(image: Image) -> Iterator[Need]:
    """Yield every version that is needed.

    Raises:
        NotElfError: the table is damaged.

    """
    if DT_VERNEED not in image.tags:
        return
    left = _MOST
    offset = image.offset(image.tags[DT_VERNEED])
    while True:
        _, _, file, first, following = image.unpack(_NEED, offset)
        library = image.string(image.strings + file)
        at = offset + first
        while True:
            left -= 1
            if left < 0:
                raise NotElfError("it needs more symbol versions than a file can")
            _, flags, index, name, further = image.unpack(_NEED_VERSION, at)
            yield Need(
                library=library,
                version=image.string(image.strings + name),
                index=index & VERSION_MASK,
                is_weak=bool(flags & _WEAK),
                offset=at,
            )
            if not further:
                break
            at += further
        if not following:
            return
        offset += following


def definitions(image: Image) -> dict[int, str]:
    """Return every version that is defined, by the index by which symbols name it; the base is one, too.

    Raises:
        NotElfError: the table is damaged.

    """
    found: dict[int, str] = {}
    if DT_VERDEF not in image.tags:
        return found
    offset = image.offset(image.tags[DT_VERDEF])
    for _ in range(_MOST):
        _, _, index, _, _, name_at, following = image.unpack(_DEFINITION, offset)
        (name, _) = image.unpack(_NAME, offset + name_at)
        found[index & VERSION_MASK] = image.string(image.strings + name)
        if not following:
            return found
        offset += following
    raise NotElfError("it defines more symbol versions than a file can")


def symbols(image: Image, indexes: frozenset[int]) -> Iterator[Symbol]:
    """Yield the symbols of some versions, by the indexes of these.

    Libraries have tens of thousands of symbols, so the tables are walked as numbers and only these are made objects.

    Raises:
        NotElfError: a table is damaged.

    """
    tags = image.tags
    if not indexes or DT_VERSYM not in tags or DT_SYMTAB not in tags:
        return
    table, versions = image.offset(tags[DT_SYMTAB]), image.offset(tags[DT_VERSYM])
    count = min(_count(image), (image.size - table) // _SYMBOL.size, (image.size - versions) // HALF.size)
    for number, (index,) in enumerate(HALF.iter_unpack(image.data[versions : versions + count * HALF.size])):
        if index & VERSION_MASK in indexes and index & VERSION_MASK >= _FIRST:
            name, _, _, section, _, _ = image.unpack(_SYMBOL, table + number * _SYMBOL.size)
            yield Symbol(
                name=image.string(image.strings + name),
                index=index & VERSION_MASK,
                is_defined=section != 0,
                offset=versions + number * HALF.size,
            )


def _count(image: Image) -> int:
    """Return how many symbols there are, which the dynamic section does not tell of itself."""
    if DT_HASH in image.tags:
        return image.unpack(_PAIR, image.offset(image.tags[DT_HASH]))[1]
    if DT_GNU_HASH in image.tags:
        count = _hashed(image, image.offset(image.tags[DT_GNU_HASH]))
        if count:
            return count
    # Without any hashed symbol only the order tells, which every linker keeps: the strings come after the symbols.
    return max(image.tags.get(DT_STRTAB, 0) - image.tags[DT_SYMTAB], 0) // _SYMBOL.size


def _hashed(image: Image, offset: int) -> int:
    """Return the number after the last symbol of a DT_GNU_HASH table; 0 where it holds none."""
    buckets, first, words, _ = image.unpack(_GNU_HASH, offset)
    start = offset + _GNU_HASH.size + words * 8
    chains = start + buckets * _WORD.size
    if chains > image.size:
        raise NotElfError("its table of symbols ends beyond it")
    last = max((value for (value,) in _WORD.iter_unpack(image.data[start:chains])), default=0)
    if last < first or last == 0:
        return 0
    for number in range(last - first, image.size // _SYMBOL.size):
        (value,) = image.unpack(_WORD, chains + number * _WORD.size)
        if value & 1:  # the end of its chain
            return first + number + 1
    raise NotElfError("its table of symbols has no end")
