"""How a layer's files are compressed: deflate, the one method that Lambda unpacks, by three compressors.

libdeflate at its highest level comes close to zopfli, which takes some twenty times as long, and on large files is
ahead of it: what is called ``zopfli`` takes the shorter of both. All give the same bytes for the same input and release
Python's lock while they work.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import TYPE_CHECKING

from phplayer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from phplayer.settings import Settings

_FAST, _BEST = 6, 12  # libdeflate's levels go from 0 to 12
_ZLIB_HEADER, _ZLIB_TRAILER = 2, 4  # bytes around a raw deflate stream


class Compression(StrEnum):
    """A compressor by the name that ``layer.compression`` gives it."""

    FAST = "fast"
    BEST = "best"
    ZOPFLI = "zopfli"

    @classmethod
    def of(cls, settings: Settings) -> Compression:
        """Return what the settings ask for.

        Raises:
            UsageError: there is no such compression.

        """
        text = settings.text("layer.compression")
        if text not in list(cls):
            near = did_you_mean(text, list(cls))
            raise UsageError(
                f"layer.compression is {text!r} ({settings.origins['layer.compression']}).",
                remedy=f"{near}Known: {', '.join(cls)}.",
            )
        return cls(text)

    def deflate(self, data: bytes) -> bytes:
        """Return the raw deflate stream of some bytes."""
        if not data:  # libdeflate takes none
            return zlib.compress(data)[_ZLIB_HEADER:-_ZLIB_TRAILER]
        import deflate

        made = bytes(deflate.deflate_compress(data, _FAST if self is Compression.FAST else _BEST))
        if self is Compression.ZOPFLI:
            import zopfli.zlib

            other = bytes(zopfli.zlib.compress(data)[_ZLIB_HEADER:-_ZLIB_TRAILER])
            return min(other, made, key=len)
        return made
