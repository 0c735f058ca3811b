"""Binds what an ELF file needs to older versions of the same symbols, where the target lacks the newer ones.

A library that was compiled on a newer glibc needs ``hypot@GLIBC_2.35``, although ``hypot@GLIBC_2.2.5`` would do and
is in every glibc. What we compile is linked at the older one (templates/build/pins.sh). A distribution's library is
changed here, in place: the record of the newer version becomes one of the older. A version is left alone, for the
policy to refuse, where one of its symbols has no older one on the target, or the older one is named nowhere in it.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from phplayer import elf_versions
from phplayer.elf_image import DT_STRSZ, Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from phplayer.elf_versions import Need, Symbol
    from phplayer.runtime import Target

_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")
_WORD = struct.Struct("<I")
_NAME_AT = 8  # bytes into the record of a needed version; its hash comes first


def rebind(paths: Iterable[Path], libraries: Sequence[Path], *, target: Target) -> tuple[str, ...]:
    """Change files so that they need no newer glibc than the target's, as far as that goes.

    ``libraries`` are the folders in which the glibc lies that they were made with. Returns what was bound to an older
    version, ``function@VERSION``, sorted.

    Raises:
        NotElfError: a file is damaged.
        OSError: a file cannot be read or written.

    """
    return tuple(sorted({symbol for path in paths for symbol in _rebind(path, libraries, target)}))


def _rebind(path: Path, libraries: Sequence[Path], target: Target) -> Iterator[str]:
    before = path.read_bytes()
    image, data = Image(before), bytearray(before)
    needs = tuple(elf_versions.needs(image)) if image.is_readable else ()
    limit = _numbers(f"GLIBC_{target.glibc}")
    for need in needs:
        provider = next((folder / need.library for folder in libraries if (folder / need.library).is_file()), None)
        if need.library not in target.glibc_sonames or provider is None or _numbers(need.version) <= limit:
            continue
        symbols = tuple(elf_versions.symbols(image, frozenset({need.index})))
        versions = _newest_within(provider, limit)
        older = {symbol: versions[symbol.name] for symbol in symbols if symbol.name in versions}
        if symbols and len(older) == len(symbols) and _bind(data, image, needs, need, older):
            yield from (f"{symbol.name}@{version}" for symbol, version in older.items())
    if data != before:
        path.write_bytes(data)


def _bind(data: bytearray, image: Image, needs: Sequence[Need], need: Need, older: Mapping[Symbol, str]) -> bool:
    """Change the record of a needed version, and to which record its symbols belong; tell whether that can be done."""
    others = {each.version: each.index for each in needs if each.library == need.library and each is not need}
    without_record = set(older.values()) - others.keys()
    becomes = max(without_record or set(older.values()), key=_numbers)
    start = image.strings
    name = data.find(becomes.encode() + b"\0", start, start + image.tags.get(DT_STRSZ, 0))
    if len(without_record) > 1 or name < 0:
        return False
    _WORD.pack_into(data, need.offset, _hash(becomes))
    _WORD.pack_into(data, need.offset + _NAME_AT, name - start)
    for symbol, version in older.items():
        if version != becomes:
            elf_versions.HALF.pack_into(data, symbol.offset, others[version])
    return True


def _newest_within(library: Path, limit: tuple[int, ...]) -> dict[str, str]:
    """Return the newest version of each function of a library of glibc that is not beyond a limit."""
    image = Image(library.read_bytes())
    versions = {
        index: version for index, version in elf_versions.definitions(image).items() if () < _numbers(version) <= limit
    }
    found: dict[str, str] = {}
    for symbol in elf_versions.symbols(image, frozenset(versions)):
        version = versions[symbol.index]
        if symbol.is_defined and _numbers(version) > _numbers(found.get(symbol.name, "")):
            found[symbol.name] = version
    return found


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version of glibc; none of what is no such version, GLIBC_PRIVATE or GLIBC_ABI_DT_RELR."""
    match = _GLIBC.fullmatch(version)
    return tuple(map(int, match[1].split("."))) if match else ()


def _hash(name: str) -> int:
    """Return the hash of a symbol version's name (System V ABI, chapter 5, "Hash Table")."""
    value = 0
    for each in name.encode():
        value = (value << 4) + each
        high = value & 0xF000_0000
        value = (value ^ high >> 24) & ~high
    return value
