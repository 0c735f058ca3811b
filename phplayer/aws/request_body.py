"""The body of PublishLayerVersion, read from the archive while it is sent.

botocore would hold an archive several times over for each request (its bytes, in base64, in JSON), and 32 requests go
out at once. So it is given a mark for the archive, and the mark's place in the JSON is taken by what the file holds.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 64 * 1024  # bytes handed to the socket at once: each of them has the connection's time-out to go out


class SplicedBody:
    """A request's body with the content of a file, in base64, in the place of a mark. Seekable; reads like a file."""

    def __init__(self, body: bytes, mark: bytes, source: BinaryIO) -> None:
        """``mark`` stands in ``body`` in base64; its length is a multiple of three bytes."""
        self._before, _, self._after = body.partition(base64.b64encode(mark))
        self._source = source
        self._size = source.seek(0, os.SEEK_END)
        self._encoded = (self._size + 2) // 3 * 4
        self._at = 0
        self.sent: Callable[[int], None] | None = None
        """Gets the length of each block that is read; what is read to be signed should not count."""

    def __len__(self) -> int:
        return len(self._before) + self._encoded + len(self._after)

    def tell(self) -> int:
        """Return where the next block begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self)}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return the next block; a little more than asked for, where little is."""
        size = len(self) if size is None or size < 0 else max(size, _BLOCK)
        data = self._slice(self._at, min(self._at + size, len(self)))
        self._at += len(data)
        if self.sent is not None:
            self.sent(len(data))
        return data

    def _slice(self, begin: int, end: int) -> bytes:
        first, last = len(self._before), len(self._before) + self._encoded
        return (
            self._before[begin:end]
            + self._encode(min(max(begin - first, 0), self._encoded), min(max(end - first, 0), self._encoded))
            + self._after[max(begin - last, 0) : max(end - last, 0)]
        )

    def _encode(self, begin: int, end: int) -> bytes:
        """Return a part of the file's base64: four letters are three bytes."""
        group = begin // 4
        self._source.seek(3 * group)
        text = base64.b64encode(self._source.read(3 * ((end + 3) // 4 - group)))
        return text[begin - 4 * group : end - 4 * group]
