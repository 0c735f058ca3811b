"""The values that say what is asked for: PHP version, extensions, target, architecture, bootstrap mode."""

from __future__ import annotations

import datetime as dt
import platform
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import TYPE_CHECKING

from phplayer.errors import EnvironmentMissingError, UsageError, check_known

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_SOON = dt.timedelta(days=92)


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
        check_known(text, cls, "architecture")
        return cls(text)

    @property
    def elf_machine(self) -> str:
        """``e_machine`` of this architecture's ELF files, by the name that pyelftools gives it."""
        return {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}[self.value]


class BootstrapMode(StrEnum):
    """What the bootstrap makes of an event."""

    FUNCTION = "function"
    CONSOLE = "console"

    @classmethod
    def parse(cls, text: str) -> BootstrapMode:
        """Read a mode's name.

        Raises:
            UsageError: no such mode.

        """
        check_known(text, cls, "bootstrap mode")
        return cls(text)

    @property
    def suffix(self) -> str:
        """What tells builds and layers of this mode from those of the usual one: ``-console``, or nothing."""
        return "" if self is BootstrapMode.FUNCTION else f"-{self}"


SAPIS = ("cli", "fpm")
"""The programs that PHP can be built as here. The first, which runs the bootstrap, is in every layer."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A PHP source tarball: what it must hash to and where it can be had."""

    version: PhpVersion
    sha256: str
    urls: tuple[str, ...]
    debian_path: str  # below a Debian mirror, "" where Debian has not the same bytes
    end_of_life: dt.date  # of its branch: from then on there are no security fixes
    tested: bool = False  # compiled and tested where phplayer is developed
    origin: str = ""  # where the checksum is from
    name: str = "PHP"
    given_with: str = "--source FILE"

    def support_warning(self, today: dt.date) -> str:
        """Return a sentence when its branch is past its end of life or will be within about three months, else ""."""
        left = self.end_of_life - today
        if left > _SOON:
            return ""
        if left.days < 0:
            return f"PHP {self.version.branch} gets no security fixes since {self.end_of_life}: move to a newer branch."
        return f"PHP {self.version.branch} gets security fixes until {self.end_of_life} only: plan the move."


@dataclass(frozen=True, kw_only=True)
class ExtensionSource:
    """The tarball of an extension that php-src does not bundle: what it must hash to and where it can be had."""

    name: str  # of the extension
    version: str  # "" where the user gave the source and did not say
    sha256: str
    urls: tuple[str, ...]
    debian_path: str  # below a Debian mirror, "" where Debian has not the same bytes
    folder: str  # that holds config.m4, inside the tarball; "" means: find it
    file: Path | None = None  # the user's own copy

    @property
    def given_with(self) -> str:
        """The option that takes another copy of it."""
        return f"--extension-source {self.name}=FILE"


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A PHP extension as the catalogue describes it."""

    name: str
    summary: str
    configure: tuple[str, ...]  # flags of PHP's ./configure (of its own, where shared), up to branch configured_until
    libraries: tuple[str, ...]  # abstract names; each base maps them to its packages
    requires: tuple[str, ...]  # other extensions
    uses: tuple[tuple[str, tuple[str, ...]], ...]  # other extension -> the flags that it adds where that one is built
    conflicts: tuple[str, ...]  # other extensions that cannot be in the same PHP
    since: str  # first PHP branch that bundles it or that it compiles for, "" for all
    until: str  # last such branch, "" for all
    always: bool  # compiled into every PHP, whatever is asked for
    configured_until: str  # last branch that takes the flags ("" for all); later ones have it built in
    zend_extension: bool  # where it takes flags, it is a shared object that php.ini loads as zend_extension
    shared: bool  # from PECL: compiled after PHP, by phpize, into a shared object of its own
    source: ExtensionSource | None  # of a shared one; None where the user has to give it

    def configure_flags(self, version: PhpVersion, among: Collection[str] = ()) -> tuple[str, ...]:
        """Return the flags that switch it on in this PHP version, with these other extensions beside it."""
        built_in = self.configured_until and (version.major, version.minor) > _branch(self.configured_until)
        if built_in:
            return ()
        return (*self.configure, *(flag for name, flags in self.uses if name in among for flag in flags))

    def offered_by(self, version: PhpVersion) -> bool:
        """Tell whether this PHP version bundles the extension, or the extension compiles for it."""
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

    release: Release
    extensions: tuple[Extension, ...]
    target: Target
    architecture: Architecture
    bootstrap: BootstrapMode
    sapis: tuple[str, ...] = ("cli",)  # the programs in the layer; the first is always one of them
    icu_locales: tuple[str, ...] = ()  # those that ICU's data is cut to; none for all

    @property
    def php(self) -> PhpVersion:
        """The exact version."""
        return self.release.version

    @property
    def load_order(self) -> tuple[Extension, ...]:
        """All extensions, each after those that it requires or uses: the order to compile and to load them in."""
        chosen = {extension.name: extension for extension in self.extensions}
        ordered: dict[str, Extension] = {}

        def place(extension: Extension) -> None:
            for name in (*extension.requires, *(name for name, _ in extension.uses)):
                if name in chosen and name not in ordered:
                    place(chosen[name])
            ordered[extension.name] = extension

        for extension in self.extensions:
            if extension.name not in ordered:
                place(extension)
        return tuple(ordered.values())

    @property
    def identifier(self) -> str:
        """``php84-al2023-x86_64``: names this build in messages and selections."""
        return identifier(self.php, self.target, self.architecture, self.bootstrap)


def identifier(
    php: PhpVersion, target: Target, architecture: Architecture, bootstrap: BootstrapMode = BootstrapMode.FUNCTION
) -> str:
    """Return what names a build; extensions are no part of it."""
    return f"php{php.short}-{target.name}-{architecture}{bootstrap.suffix}"


def _branch(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
