"""What a daemon sends in pieces: connections of its own, and archives."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def hang_up(connection: Any) -> None:
    """Close a connection that the SDK took out of an HTTP response; closing the one leaves the other open."""
    response = getattr(connection, "_response", None)
    if response is not None:
        response.close()
    connection.close()


def unpack(stream: Iterator[bytes], into: Path) -> None:
    """Unpack an archive that the daemon sends; nothing in it can leave the folder."""
    # The filter came with Python 3.11.4 and Debian's 3.11.2 has it too; an older one trusts our own container.
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(fileobj=io.BufferedReader(_Pieces(stream)), mode="r|") as archive:
        archive.extractall(into, **options)  # noqa: S202  filtered above


class _Pieces(io.RawIOBase):
    """A stream of byte strings as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
