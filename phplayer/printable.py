"""Names from layers that may be anybody's, made fit for a terminal."""

from __future__ import annotations


def printable(name: str) -> str:
    """Return a name with all that would steer a terminal, or turn the text around, written as an escape."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)
