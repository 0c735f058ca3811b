"""Counts of bytes as people write them: ``12 MB``, ``12MiB``, ``12_000_000``."""

from __future__ import annotations

import re
from decimal import Decimal

_SIZE = re.compile(r"(?P<number>[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)\s*(?P<unit>[kmgt]i?)?(?:b|bytes)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DECIMAL, _BINARY = 1000, 1024


def parse(text: str) -> int | None:
    """Return the bytes that a text states, or None where it states none.

    MB are of 1,000,000 bytes, as AWS states most of its limits, MiB of 1,048,576; without a unit they are bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    unit = (match["unit"] or "").lower()
    base = _BINARY if unit.endswith("i") else _DECIMAL
    return int(Decimal(match["number"]) * base ** _POWERS[unit[:1]])
