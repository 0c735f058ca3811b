"""What a program prints comes in pieces; what is told of it are lines, on every engine."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST = 65_536
"""Characters of a line. One that goes on is cut there, or a program that never ends its line would fill the memory."""


def lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Cut pieces into lines, none of them much longer than LONGEST; bytes that are no UTF-8 are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        yield from (line.removesuffix("\r") for line in whole)
        while len(rest) > LONGEST:
            yield rest[:LONGEST]
            rest = rest[LONGEST:]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest
