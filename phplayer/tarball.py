"""Reads what a source tarball holds, and refuses one that would not stay within its folder or that would fill the disk.

Of the user's own extensions the tarball may be anybody's. It is read once, as a stream: nothing is written, and what
is decompressed is counted.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import tarfile
import zlib
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from phplayer.errors import BuildFailedError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1_000_000_000
"""Unpacked, headers with it. The largest extension of PECL, grpc, has about 150 MB."""

MOST_FILES = 100_000

_REMEDY = "Give the extension's release tarball: one with a config.m4, as pecl.php.net offers it."
_FORMATS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))  # by how they begin


class _TooMuchError(Exception):
    """More was decompressed than a source can have."""


class _Counted(io.RawIOBase):
    """A stream that gives no more than ``MOST_BYTES``."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size if 0 <= size <= self._left else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuchError
        return data


def files(path: Path, *, of: str) -> list[PurePosixPath]:
    """Return the files in a tarball, the source of ``of``.

    Raises:
        BuildFailedError: it is no whole tar archive, unpacks to too much, or holds what would lie outside of the folder
            that it is unpacked in, or what no source has: devices, pipes.

    """
    found: list[PurePosixPath] = []
    links: set[str] = set()
    try:
        with path.open("rb") as file, _decompressed(file) as stream, _opened(stream) as archive:
            for count, member in enumerate(archive, start=1):
                _check_amount(count, member)
                wrong = _wrong(member, links)
                if wrong:
                    raise BuildFailedError(f"{path}, the source of {of}, {wrong}.", remedy=_REMEDY)
                name = posixpath.normpath(member.name)
                if member.issym() or member.islnk():
                    links.add(name)
                elif member.isfile():
                    found.append(PurePosixPath(name))
    except _TooMuchError as error:
        raise BuildFailedError(
            f"{path}, the source of {of}, unpacks to more than {MOST_BYTES // 1_000_000} MB or {MOST_FILES} files: "
            "no extension has so much.",
            remedy=_REMEDY,
        ) from error
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise BuildFailedError(f"{path}, the source of {of}, is not a whole tar archive.", remedy=_REMEDY) from error
    return found


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    head = file.read(6)
    file.seek(0)
    for start, opened in _FORMATS:
        if head.startswith(start):
            return cast("IO[bytes]", opened(file))
    return file


def _opened(stream: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=_Counted(stream), mode="r|")


def _check_amount(count: int, member: tarfile.TarInfo) -> None:
    if count > MOST_FILES or member.size > MOST_BYTES:
        raise _TooMuchError


def _wrong(member: tarfile.TarInfo, links: set[str]) -> str:
    """Say what is wrong with an entry, "" where nothing is. ``links`` are the names of those before it.

    A link may point up from its own folder and then down, not down and up again: with nothing below a link, that
    makes sure that none leads out.
    """
    shown = repr(member.name)
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts:
        return f"holds {shown}, which would lie outside of its folder"
    if member.isdev():
        return f"holds the device or pipe {shown}"
    if any(str(parent) in links for parent in PurePosixPath(posixpath.normpath(member.name)).parents):
        return f"holds {shown} below a link"
    if member.issym() or member.islnk():
        target = PurePosixPath(member.linkname).parts
        up = len(target) - len(tuple(part for part in target if part != ".."))
        depth = len(parts) - 1 if member.issym() else 0  # a hard link names its target from the top
        if member.linkname.startswith("/") or up > depth or ".." in target[up:]:
            return f"holds the link {shown} to {member.linkname!r}, outside of its folder"
    elif not (member.isfile() or member.isdir()):
        return f"holds {shown}, which is neither a file nor a folder"
    return ""
