"""The values that say what is asked for: PHP version, extensions, target, architecture, bootstrap mode."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering

from phplayer.errors import EnvironmentMissingError, UsageError, did_you_mean


@total_ordering
@dataclass(frozen=True)
class PhpVersion:
    """An exact PHP release."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> PhpVersion:
        """Read ``8.4.24``.

        Raises:
            UsageError: the text is not three numbers.

        """
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", text)
        if match is None:
            raise UsageError(f"{text!r} is not an exact PHP version.", remedy="Write it as MAJOR.MINOR.PATCH.")
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def __lt__(self, other: PhpVersion) -> bool:
        return (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)

    @property
    def branch(self) -> str:
        """``8.4``: what PHP's own release schedule calls a branch."""
        return f"{self.major}.{self.minor}"

    @property
    def short(self) -> str:
        """``84``: the form used in layer names and build identifiers."""
        return f"{self.major}{self.minor}"


class Architecture(StrEnum):
    """The two instruction sets of Lambda, by Lambda's own names."""

    X86_64 = "x86_64"
    ARM64 = "arm64"

    @classmethod
    def of_this_machine(cls) -> Architecture:
        """Return this machine's architecture.

        Raises:
            EnvironmentMissingError: Lambda has no such architecture.

        """
        machine = platform.machine().lower()
        names = {"x86_64": cls.X86_64, "amd64": cls.X86_64, "aarch64": cls.ARM64, "arm64": cls.ARM64}
        if machine not in names:
            raise EnvironmentMissingError(
                f"Lambda has no {machine} machines, so nothing built here could run there.",
                remedy=f"Build on one of: {', '.join(cls)}.",
            )
        return names[machine]

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Read one of Lambda's names.

        Raises:
            UsageError: no such architecture.

        """
        if text not in set(cls):
            near = did_you_mean(text, cls)
            raise UsageError(f"Unknown architecture {text!r}.", remedy=f"{near}Known: {', '.join(cls)}.")
        return cls(text)

    @property
    def elf_machine(self) -> str:
        """``e_machine`` of this architecture's ELF files, by the name that pyelftools gives it."""
        return {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}[self.value]


class BootstrapMode(StrEnum):
    """What the bootstrap makes of an event."""

    FUNCTION = "function"


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A PHP extension as the catalogue describes it."""

    name: str
    summary: str
    configure: tuple[str, ...]  # flags of PHP's ./configure, up to branch configured_until
    libraries: tuple[str, ...]  # abstract names; each base maps them to its packages
    requires: tuple[str, ...]  # other extensions
    since: str  # first PHP branch that bundles it, "" for all
    until: str  # last PHP branch that bundles it, "" for all
    always: bool  # compiled into every PHP, whatever is asked for
    configured_until: str  # last branch that takes the flags ("" for all); later ones have it built in
    zend_extension: bool  # where it takes flags, it is a shared object that php.ini loads as zend_extension

    def configure_flags(self, version: PhpVersion) -> tuple[str, ...]:
        """Return the flags that switch it on in this PHP version."""
        built_in = self.configured_until and (version.major, version.minor) > _branch(self.configured_until)
        return () if built_in else self.configure

    def offered_by(self, version: PhpVersion) -> bool:
        """Tell whether this PHP version bundles the extension."""
        branch = (version.major, version.minor)
        return (not self.since or branch >= _branch(self.since)) and (not self.until or branch <= _branch(self.until))


@dataclass(frozen=True, kw_only=True)
class Target:
    """A Lambda environment and what it offers to a layer."""

    name: str
    lambda_runtime: str  # the identifier that CreateFunction takes
    native_base: str  # the base whose libraries are this target's own
    glibc: str
    glibc_sonames: frozenset[str]  # glibc's own libraries and the loader
    never_grafted: frozenset[str]  # compiler runtimes that must be the target's
    sonames: frozenset[str]  # shared libraries of live Lambda


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What is asked for. Extensions are resolved: closed under their requirements, sorted by name."""

    php: PhpVersion
    extensions: tuple[Extension, ...]
    target: Target
    architecture: Architecture
    bootstrap: BootstrapMode

    @property
    def identifier(self) -> str:
        """``php84-al2023-x86_64``: names this build in messages and selections."""
        return identifier(self.php, self.target, self.architecture)


def identifier(php: PhpVersion, target: Target, architecture: Architecture) -> str:
    """Return what names a build; extensions are no part of it."""
    return f"php{php.short}-{target.name}-{architecture}"


def _branch(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
