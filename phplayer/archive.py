"""Packs a layer tree into a zip: the same tree gives the same bytes, whenever, wherever and by whomever.

The zip is written here, because ``zipfile`` compresses one entry after the other and by zlib alone: files are
compressed side by side, the largest first. Its records are those of PKWARE's APPNOTE.TXT (4.3.7, 4.3.12 to 4.3.16).
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from phplayer.compression import Compression
from phplayer.errors import BuildFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

_STORED, _DEFLATED = 0, 8
_NEEDED = 20  # version 2.0 of the format: deflate and folders
_MADE_BY = 3 << 8 | _NEEDED  # Unix: the external attributes carry a mode
_NAMES_ARE_UTF8 = 1 << 11
_DATE, _TIME = 0 << 9 | 1 << 5 | 1, 0  # 1980-01-01 00:00, the earliest that a zip can state
_MANY = 0xFFFF  # entries from here on are counted in the zip64 record
_LIMIT = 0xFFFF_FFFF  # bytes that a plain zip can state

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")


@dataclass(frozen=True, kw_only=True)
class _Packed:
    """A file as it goes into the zip."""

    name: bytes
    executable: bool
    method: int
    crc: int
    size: int
    content: bytes


def pack(tree: Path, into: Path, *, compression: Compression = Compression.BEST) -> None:
    """Write every file of ``tree`` to the zip ``into``, which is absent or whole at any moment.

    Entries are sorted; times are fixed; modes are 0755 for what its owner may execute and 0644 for the rest. What
    compression would not shorten is stored.

    Raises:
        BuildFailedError: the tree holds something that is neither a file nor a folder, or whose name is not UTF-8, or
            is larger than a zip can be.

    """
    files = tuple(_files(tree))
    temporary = into.with_name(f".{into.name}.tmp")
    try:
        with temporary.open("wb") as out:
            _write(out, _compressed(tree, files, compression))
        temporary.replace(into)
    finally:
        temporary.unlink(missing_ok=True)


def _files(tree: Path) -> Iterable[Path]:
    for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).parts):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BuildFailedError(
                f"{path.relative_to(tree)} is neither a file nor a folder.", remedy="A layer can hold no links."
            )
        if path.is_file():
            _check_name(path.relative_to(tree))
            yield path


def _check_name(path: Path) -> None:
    """Refuse a name that a zip cannot say: other bytes than UTF-8 are whatever each program takes them for."""
    try:
        path.as_posix().encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise BuildFailedError(
            f"The name of {shown} is not UTF-8.", remedy="Rename that file, or leave out the package that has it."
        ) from error


def _compressed(tree: Path, files: Sequence[Path], compression: Compression) -> Iterable[_Packed]:
    """Yield the files in their order, compressed by one thread per processor."""
    sizes = {path: path.stat().st_size for path in files}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs: dict[Path, Future[_Packed]] = {}
        for path in sorted(files, key=lambda path: -sizes[path]):
            jobs[path] = pool.submit(_packed, path, path.relative_to(tree).as_posix(), compression)
        try:
            for path in files:
                yield jobs.pop(path).result()
        finally:
            pool.shutdown(cancel_futures=True)


def _packed(path: Path, name: str, compression: Compression) -> _Packed:
    data = path.read_bytes()
    shorter = compression.deflate(data)
    deflated = len(shorter) < len(data)
    return _Packed(
        name=name.encode(),
        executable=bool(path.stat().st_mode & stat.S_IXUSR),
        method=_DEFLATED if deflated else _STORED,
        crc=zlib.crc32(data),
        size=len(data),
        content=shorter if deflated else data,
    )


def _write(out: BinaryIO, files: Iterable[_Packed]) -> None:
    directory = bytearray()
    count = 0
    for file in files:
        count += 1
        offset = out.tell()
        if max(offset + len(file.content), file.size) >= _LIMIT:
            raise BuildFailedError("The layer is larger than 4 GiB.", remedy="Lambda takes 250 MiB, unpacked.")
        flags = 0 if file.name.isascii() else _NAMES_ARE_UTF8
        common = (flags, file.method, _TIME, _DATE, file.crc, len(file.content), file.size, len(file.name), 0)
        mode = stat.S_IFREG | (0o755 if file.executable else 0o644)
        out.write(_LOCAL.pack(b"PK\3\4", _NEEDED, *common) + file.name)
        out.write(file.content)
        directory += _CENTRAL.pack(b"PK\1\2", _MADE_BY, _NEEDED, *common, 0, 0, 0, mode << 16, offset) + file.name
    start = out.tell()
    out.write(directory)
    if count >= _MANY:
        end = out.tell()
        sizes = (0, 0, count, count, len(directory), start)
        out.write(_END_64.pack(b"PK\6\6", _END_64.size - 12, 45, 45, *sizes))
        out.write(_LOCATOR_64.pack(b"PK\6\7", 0, end, 1))
    shown = min(count, _MANY)
    out.write(_END.pack(b"PK\5\6", 0, 0, shown, shown, len(directory), start, 0))
