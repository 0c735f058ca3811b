"""What a program prints comes in pieces; what is told of it are lines, on every engine."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST = 65_536
"""Characters of a line. One that goes on is cut there, or a program that never ends its line would fill the memory."""


def lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Cut pieces into lines, none of them longer than LONGEST; bytes that are no UTF-8 are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        for line in whole:
            yield from _cut(line.removesuffix("\r"))
        while len(rest) > LONGEST:
            yield rest[:LONGEST]
            rest = rest[LONGEST:]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _cut(line: str) -> Iterator[str]:
    return (line[start : start + LONGEST] for start in range(0, max(len(line), 1), LONGEST))
