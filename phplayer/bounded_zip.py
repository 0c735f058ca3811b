"""Reads zips that may come from anybody. Every layer archive is opened here, whatever it is opened for.

No more is read than a layer can have, and whatever is wrong with an archive is one UsageError: ``zipfile`` knows a
dozen others for it. What its entries are called, and whether they may be unpacked, is the reader's own matter.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from phplayer.errors import UsageError
from phplayer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from zipfile import ZipInfo

MOST_ENTRIES = 200_000
"""Entries of an archive that are read; the layers of PHP frameworks have some ten thousand."""

_LARGEST = 1_073_741_824  # bytes of an archive: four times what a layer may have unpacked
_LARGEST_DIRECTORY = 64_000_000  # bytes: it is read as a whole
_END_OF_ZIP = 65_557  # bytes: the end record and the longest comment
_CHUNK = 1 << 20
_START = b"PK\x03\x04"
_AGAIN = "Make it again with: zip -r layer.zip . (or phplayer build)"
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,
    LookupError,
)  # fmt: skip  RuntimeError: it is encrypted, or compressed by a method that is not known


def refusal(path: Path, what: str) -> UsageError:
    """Return the error that refuses an archive: ``what`` is said of it."""
    return UsageError(f"{path} {printable(what)}.", remedy=_AGAIN)


class BoundedZip:
    """An open archive."""

    def __init__(self, path: Path) -> None:
        """Open it and read its directory.

        Raises:
            UsageError: it is not a zip, is damaged, or has more entries than any layer.
            OSError: it cannot be read.

        """
        self.path = path
        self.size = path.stat().st_size
        if self.size > _LARGEST:
            raise refusal(path, f"has {self.size:,} bytes, and no more than {_LARGEST:,} are read")
        _check_directory(path, self.size)
        with self._guarded():
            self._file = zipfile.ZipFile(path)
        self.entries: tuple[ZipInfo, ...] = tuple(self._file.infolist())
        self.directory = self._file.start_dir
        if len(self.entries) > MOST_ENTRIES:
            self._file.close()
            raise refusal(path, f"has {len(self.entries):,} entries, and no more than {MOST_ENTRIES:,} are read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def unpacked(self) -> int:
        """Bytes that the entries say they have."""
        return sum(entry.file_size for entry in self.entries)

    def find(self, name: str) -> ZipInfo | None:
        """Return the entry of a name, if there is one; of several the last."""
        return next((entry for entry in reversed(self.entries) if entry.filename == name), None)

    def read(self, entry: ZipInfo, *, limit: int) -> bytes:
        """Return what is in an entry.

        Raises:
            UsageError: it is damaged, or has more than ``limit`` bytes.

        """
        found = bytearray()
        for chunk in self.chunks(entry):
            found += chunk
            if len(found) > limit:
                raise refusal(self.path, f"has {entry.filename!r} with more than {limit:,} bytes")
        return bytes(found)

    def chunks(self, entry: ZipInfo) -> Iterator[bytes]:
        """Yield what is in an entry, a megabyte at most at once.

        Raises:
            UsageError: it is damaged.

        """
        with self._guarded():
            file = self._file.open(entry)
        with file:
            while True:
                with self._guarded():
                    chunk = file.read(_CHUNK)
                if not chunk:
                    return
                yield chunk

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise refusal(self.path, _what_is_wrong(self.path, error)) from error
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise refusal(self.path, "is damaged: an entry of it begins before the file does") from error


def _check_directory(path: Path, size: int) -> None:
    """Refuse a directory that would fill the memory."""
    with path.open("rb") as file:
        file.seek(max(0, size - _END_OF_ZIP))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    claimed = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if claimed > min(_LARGEST_DIRECTORY, size) and claimed != 0xFFFF_FFFF:  # noqa: PLR2004  zip64: told elsewhere
        raise refusal(path, f"says that its directory has {claimed:,} bytes, which no layer's has")


def _what_is_wrong(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(len(_START))
    text = str(error)
    if not start:
        return "is empty"
    if start != _START and not start.startswith(b"PK\5\6"):
        return "is not a zip"
    if "not a zip" in text or "Truncated" in text or "central directory" in text:
        return "is cut off: the directory at its end is missing"
    return f"is damaged: {text or type(error).__name__}"
