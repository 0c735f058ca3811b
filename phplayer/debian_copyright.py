"""Reads Debian's copyright files in their machine-readable format (DEP-5), and says their licences in SPDX.

The format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/. Its names are a vocabulary of its own,
which maintainers add to; what ``catalog/debian_licenses.toml`` knows is said in SPDX, and nothing else is guessed.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from phplayer.catalog import files

if TYPE_CHECKING:
    from collections.abc import Iterator

UNNAMED = "a licence without a short name"
"""Stands for one that a copyright file gives the text of, and no name."""

_DATA = "debian_licenses.toml"
_FORMAT = re.compile(r"copyright-format/1\.0|dep5")  # of the drafts too: they differ in nothing that is read here
_PACKAGING = "debian/"
_ZEROES = re.compile(r"(?<=\d)(\.0)+(?=\+?$)")
_TERM = re.compile(r"(?P<license>\S+)(?: with (?P<exception>\S+)[ -]exceptions?)?", re.IGNORECASE)


class _File(files.Struct, frozen=True, kw_only=True):
    """``debian_licenses.toml``."""

    license: dict[str, str]
    exception: dict[str, str]


@cache
def vocabulary() -> _File:
    """Return Debian's names and SPDX's."""
    return files.read(files.FOLDER / _DATA, _File).content


def licenses(text: str) -> tuple[str, ...]:
    """Return what a copyright file calls the licences of a source package's files, each once and in its own words.

    All of them apply, each to some of the files. Those of the packaging (``debian/``) are left out: it is in no
    library. Of a file that is not machine-readable nothing is told.
    """
    header, *stanzas = list(_stanzas(text)) or [{}]
    if not _FORMAT.search(header.get("format") or header.get("format-specification") or ""):
        return ()
    found = (stanza for stanza in stanzas if "files" in stanza and not _is_packaging(stanza["files"]))
    return tuple(sorted({stanza.get("license", "").partition("\n")[0].strip() or UNNAMED for stanza in found}))


def spdx(license_: str) -> str:
    """Return the SPDX expression for what one of these licences is called, or nothing where that is not certain.

    "And" binds before "or", as in SPDX, unless a comma stands before it.
    """
    groups = re.split(r",\s+and\s+", license_, flags=re.IGNORECASE)
    said = [_without_commas(group) for group in groups]
    if not all(said):
        return ""
    return " AND ".join(f"({each})" if len(said) > 1 and " OR " in each else each for each in said)


def _without_commas(text: str) -> str:
    words = re.split(r"\s+(and|or)\s+", " ".join(text.split()), flags=re.IGNORECASE)
    said = [word.upper() if number % 2 else _term(word) for number, word in enumerate(words)]
    return " ".join(said) if all(said) else ""


def _term(text: str) -> str:
    match = _TERM.fullmatch(text)
    if match is None:
        return ""
    known = vocabulary()
    license_ = known.license.get(_ZEROES.sub("", match["license"].lower()), "")
    if not match["exception"]:
        return license_
    exception = known.exception.get(match["exception"].lower(), "")
    return f"{license_} WITH {exception}" if license_ and exception else ""


def _is_packaging(patterns: str) -> bool:
    return all(pattern.removeprefix("./").startswith(_PACKAGING) for pattern in patterns.split())


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the stanzas, by field name in lower case; the first is the header."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line
        elif not line.startswith("#"):
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
