"""On which line a TOML file says what: the standard library's reader does not tell."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, from 1, on which each table and each key is first given, by its path: ``("php", "ini")``.

    The text must be TOML. It is read statement by statement: one ends with the first line up to which it is valid.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    begin, statement = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        try:
            document = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:  # an array or a string goes on
            continue
        paths = list(_paths(document))
        if statement.lstrip().startswith("["):  # [table] or [[table]]
            table, given = paths[-1], paths
        else:
            given = [(*table, *path) for path in paths]
        for path in given:
            found.setdefault(path, begin)
        begin, statement = number + 1, ""
    return found


def _paths(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the path of each table and each value, those of tables before what is in them."""
    for name, value in document.items():
        yield (name,)
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict):
            yield from ((name, *path) for path in _paths(inner))
