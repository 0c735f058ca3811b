"""The libraries that are compiled here and linked statically: ``libraries.toml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from phplayer.catalog import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_NAME = "libraries.toml"


class SourceTable(files.Struct, frozen=True, kw_only=True):
    """``[library.X.source]``."""

    version: str
    sha256: str
    urls: tuple[str, ...] = ()
    debian: str = ""


class PatchesTable(files.Struct, frozen=True, kw_only=True):
    """``[library.X.patches]``."""

    version: str
    sha256: str
    debian: str
    names: tuple[str, ...]


class LibraryTable(files.Struct, frozen=True, kw_only=True):
    """``[library.X]``."""

    archive: str
    license: str
    cpe: str
    bases: tuple[str, ...]
    needs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    packages: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    script: str = "library"
    flags: tuple[str, ...] = ()
    source: SourceTable
    patches: PatchesTable | None = None


class LibrariesFile(files.Struct, frozen=True, kw_only=True):
    """``libraries.toml``."""

    mirrors: tuple[str, ...]
    library: dict[str, LibraryTable]


@dataclass(frozen=True, kw_only=True)
class LibrarySource:
    """A tarball of a library: what it must hash to and where it can be had."""

    name: str
    version: str
    sha256: str
    urls: tuple[str, ...]
    debian_path: str
    given_with: str = ""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that is compiled here."""

    name: str  # abstract, as extensions have it
    archive: str  # the static library
    license: str  # SPDX expression
    cpe: str  # VENDOR:PRODUCT in the NVD's names
    bases: tuple[str, ...]  # where it stands for the base's own packages
    needs: tuple[str, ...]  # other libraries that are compiled here
    libraries: tuple[str, ...]  # abstract names of the base's libraries
    packages: Mapping[str, tuple[str, ...]]  # base -> what compiling it takes beside the toolchain
    script: str  # of templates/build/
    flags: tuple[str, ...]
    source: LibrarySource
    patches: LibrarySource | None  # Debian's
    patch_names: tuple[str, ...]  # those that are applied, in this order


@cache
def load() -> Mapping[str, Library]:
    """Read and check the libraries, by name.

    Raises:
        PhplayerError: the file does not validate; names file, line and key.

    """
    return read(files.FOLDER)


def read(folder: Path) -> Mapping[str, Library]:
    """Read and check the libraries of the catalogue in a folder.

    Raises:
        PhplayerError: the file does not validate; names file, line and key.

    """
    file = files.read(folder / _NAME, LibrariesFile)
    for name, table in file.content.library.items():
        key = ("library", name)
        for need in table.needs:
            if need not in file.content.library:
                raise file.mistake((*key, "needs"), f"there is no [library.{need}]")
        if name in _reached(file.content.library, table.needs):
            raise file.mistake((*key, "needs"), "it needs itself, through what it needs")
        pinned: tuple[tuple[str, Any], ...] = (("source", table.source), ("patches", table.patches))
        for part, source in pinned:
            if source is not None and not re.fullmatch("[0-9a-f]{64}", source.sha256):
                raise file.mistake((*key, part, "sha256"), "a SHA-256 has 64 hexadecimal digits")
    mirrors = file.content.mirrors
    return MappingProxyType({name: _library(name, table, mirrors) for name, table in file.content.library.items()})


def _reached(tables: Mapping[str, LibraryTable], names: Iterable[str]) -> frozenset[str]:
    """Return the names of these libraries and of all that they need."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(tables[name].needs if name in tables else ())
    return frozenset(found)


def compiled_on(base: str, names: Iterable[str]) -> tuple[Library, ...]:
    """Return those of the named libraries that are compiled here on that base, each after those that it needs."""
    known = load()
    ordered: dict[str, Library] = {}

    def place(name: str) -> None:
        library = known.get(name)
        if library is not None and base in library.bases and name not in ordered:
            for need in library.needs:
                place(need)
            ordered[name] = library

    for name in sorted(names):
        place(name)
    return tuple(ordered.values())


def _library(name: str, table: LibraryTable, mirrors: tuple[str, ...]) -> Library:
    return Library(
        name=name,
        archive=table.archive,
        license=table.license,
        cpe=table.cpe,
        bases=table.bases,
        needs=table.needs,
        libraries=table.libraries,
        packages=MappingProxyType(table.packages),
        script=table.script,
        flags=table.flags,
        source=_source(name, table.source, mirrors, urls=table.source.urls),
        patches=_source(f"{name}-patches", table.patches, mirrors) if table.patches else None,
        patch_names=table.patches.names if table.patches else (),
    )


def _source(
    name: str, table: SourceTable | PatchesTable, mirrors: tuple[str, ...], *, urls: tuple[str, ...] = ()
) -> LibrarySource:
    path = table.debian.replace("+", "%2B")
    from_debian = (mirror.replace("${path}", path) for mirror in mirrors if path)
    return LibrarySource(
        name=name,
        version=table.version,
        sha256=table.sha256,
        urls=(*urls, *from_debian),
        debian_path=table.debian,
    )
