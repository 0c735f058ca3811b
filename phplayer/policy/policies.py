"""What live Lambda offers to a layer: one policy per target and architecture, from the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from phplayer.catalog import files
from phplayer.errors import PhplayerError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phplayer.runtime import Target

ISA_LEVELS = ("x86-64-baseline", "x86-64-v2", "x86-64-v3", "x86-64-v4")
"""Levels of the x86-64 instruction set, in the order of the bits of GNU_PROPERTY_X86_ISA_1_NEEDED (x86-64 psABI)."""

_FILE = files.FOLDER / "policies.toml"
_VERSION = re.compile(r"(?P<family>.+)_(?P<number>\d+(\.\d+)*)")


class _Limits(files.Struct, frozen=True, kw_only=True):
    zipped_direct: int
    unpacked: int
    layers: int


class _OfArchitecture(files.Struct, frozen=True, kw_only=True):
    loaders: tuple[str, ...]
    absent: frozenset[str]
    isa: str


class _OfTarget(files.Struct, frozen=True, kw_only=True):
    programs: frozenset[str]
    search_path: tuple[str, ...]
    library_path: tuple[str, ...]
    system_folders: frozenset[str]
    image_only: frozenset[str]
    versions: dict[str, tuple[str, ...]]
    x86_64: _OfArchitecture
    arm64: _OfArchitecture


class _PoliciesFile(files.Struct, frozen=True, kw_only=True):
    limits: _Limits
    policy: dict[str, _OfTarget]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a layer finds on live Lambda, and what Lambda takes of it. Sizes are bytes."""

    target: str
    architecture: Architecture
    glibc: str
    glibc_sonames: frozenset[str]
    compiler_sonames: frozenset[str]  # runtimes of the compiler, which are the target's
    sonames: frozenset[str]  # all shared libraries of live Lambda, glibc's included
    image_only: frozenset[str]
    versions: Mapping[str, tuple[str, ...]]  # soname -> newest symbol version of each family
    loaders: tuple[str, ...]
    library_path: tuple[str, ...]
    system_folders: frozenset[str]
    programs: frozenset[str]
    search_path: tuple[str, ...]
    isa: str  # one of ISA_LEVELS, or nothing where ELF files tell no level
    zipped_direct: int
    unpacked: int
    layers: int

    def offers(self, soname: str, version: str) -> bool | None:
        """Tell whether Lambda's library of that name defines the symbol version; None where that is not known.

        A library without any versions is used by the loader whatever is asked of it, so its answer is None too.
        """
        newest = self.newest(soname)
        if not newest:
            return None
        return any(_at_least(known, version) for known in newest)

    def newest(self, soname: str) -> tuple[str, ...]:
        """Return the newest symbol version of each family that Lambda's library of that name defines."""
        if soname in self.glibc_sonames:
            return (f"GLIBC_{self.glibc}",)
        return self.versions.get(soname, ())


def of(target: Target, architecture: Architecture) -> Policy:
    """Return the policy of a target and architecture.

    Raises:
        PhplayerError: the catalogue has none.

    """
    file = _load()
    if target.name not in file.policy:
        raise PhplayerError(f"The catalogue file {_FILE.name} has no [policy.{target.name}].")
    table = file.policy[target.name]
    own = table.x86_64 if architecture is Architecture.X86_64 else table.arm64
    return Policy(
        target=target.name,
        architecture=architecture,
        glibc=target.glibc,
        glibc_sonames=target.glibc_sonames - own.absent,
        compiler_sonames=target.never_grafted,
        sonames=(target.sonames | target.glibc_sonames | target.never_grafted) - own.absent,
        image_only=table.image_only,
        versions=MappingProxyType(table.versions),
        loaders=own.loaders,
        library_path=table.library_path,
        system_folders=table.system_folders,
        programs=table.programs,
        search_path=table.search_path,
        isa=own.isa,
        zipped_direct=file.limits.zipped_direct,
        unpacked=file.limits.unpacked,
        layers=file.limits.layers,
    )


@cache
def _load() -> _PoliciesFile:
    return files.read(_FILE, _PoliciesFile).content


def _at_least(known: str, wanted: str) -> bool:
    """Tell whether a library whose newest version of a family is ``known`` defines ``wanted``."""
    if known == wanted:
        return True
    ours, theirs = _VERSION.fullmatch(known), _VERSION.fullmatch(wanted)
    if ours is None or theirs is None or ours["family"] != theirs["family"]:
        return False
    return _numbers(theirs["number"]) <= _numbers(ours["number"])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
