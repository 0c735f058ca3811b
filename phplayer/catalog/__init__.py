"""The catalogue: every PHP version, extension, package name and target, as data.

The TOML files beside this module are the one place that names them. They are read and checked once per process;
what leaves this module is frozen.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003  msgspec reads annotations at run time
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from phplayer.errors import PhplayerError, UsageError, did_you_mean
from phplayer.runtime import Architecture, BootstrapMode, Extension, PhpVersion, Runtime, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOLDER = Path(__file__).resolve().parent


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a catalogue file: unknown keys are mistakes."""


class _Release(_Struct, frozen=True, kw_only=True):
    version: str
    sha256: str
    from_: str = msgspec.field(name="from")
    debian: str = ""


class _Branch(_Struct, frozen=True, kw_only=True):
    end_of_life: dt.date


class _PhpFile(_Struct, frozen=True, kw_only=True):
    default: str
    mirrors: tuple[str, ...]
    branch: dict[str, _Branch]
    release: tuple[_Release, ...]


class _Extension(_Struct, frozen=True, kw_only=True):
    summary: str
    configure: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    always: bool = False
    configured_until: str = ""
    zend_extension: bool = False


class _ExtensionsFile(_Struct, frozen=True, kw_only=True):
    set: dict[str, tuple[str, ...]]
    extension: dict[str, _Extension]


class Image(_Struct, frozen=True, kw_only=True):
    """A container image of a base, and what is added to it beside the packages that a build needs."""

    name: str
    digest: str = ""  # sha256:..., "" where it is not known
    packages: tuple[str, ...] = ()
    ccache: str = ""  # the folder of compilers that go through ccache, "" where the base has no such package

    @property
    def reference(self) -> str:
        """What is pulled: the digest decides where it is known."""
        return f"{self.name}@{self.digest}" if self.digest else self.name


class _Base(_Struct, frozen=True, kw_only=True):
    os_release: tuple[str, ...]
    manager: str
    image: Image
    install: tuple[str, ...]
    toolchain: tuple[str, ...]
    composer: tuple[str, ...]
    libraries: dict[str, tuple[str, ...]]
    pinned_symbols: dict[str, dict[Architecture, str]] = {}


class _BasesFile(_Struct, frozen=True, kw_only=True):
    base: dict[str, _Base]


class _Target(_Struct, frozen=True, kw_only=True):
    lambda_runtime: str
    native_base: str
    glibc: str
    glibc_sonames: frozenset[str]
    never_grafted: frozenset[str]
    sonames: frozenset[str]


class _TargetsFile(_Struct, frozen=True, kw_only=True):
    default: str
    target: dict[str, _Target]


@dataclass(frozen=True, kw_only=True)
class Release:
    """A PHP source tarball: what it must hash to and where it can be had."""

    version: PhpVersion
    sha256: str
    urls: tuple[str, ...]
    debian_path: str  # below a Debian mirror, "" where Debian has not the same bytes
    end_of_life: dt.date


@dataclass(frozen=True, kw_only=True)
class Base:
    """Where PHP is compiled, with its package manager and its names for libraries."""

    name: str
    os_release: tuple[str, ...]
    manager: str
    install_command: tuple[str, ...]
    toolchain: tuple[str, ...]
    composer: tuple[str, ...]
    image: Image
    packages: Mapping[str, tuple[str, ...]]  # abstract library -> packages
    pinned_symbols: Mapping[str, Mapping[Architecture, str]]  # glibc function -> version to link

    def pins(self, architecture: Architecture) -> tuple[str, ...]:
        """Return ``function@VERSION`` for each function that must not be linked at its newest version."""
        return tuple(f"{name}@{versions[architecture]}" for name, versions in sorted(self.pinned_symbols.items()))

    def packages_for(self, extensions: Iterable[Extension]) -> tuple[str, ...]:
        """Return the sorted packages that compiling these extensions needs, the toolchain included."""
        names = set(self.toolchain)
        for extension in extensions:
            for library in extension.libraries:
                names.update(self.packages[library])
        return tuple(sorted(names))


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All that phplayer knows to build."""

    default_php: str
    default_target: str
    releases: tuple[Release, ...]  # oldest first
    extensions: Mapping[str, Extension]
    sets: Mapping[str, tuple[str, ...]]
    bases: Mapping[str, Base]
    targets: Mapping[str, Target]

    @property
    def branches(self) -> tuple[str, ...]:
        """Every PHP branch with a release, oldest first."""
        return tuple(dict.fromkeys(release.version.branch for release in self.releases))

    def release(self, text: str) -> Release:
        """Return the release named exactly, or the newest of the named branch.

        Raises:
            UsageError: the catalogue has no such release.

        """
        for release in reversed(self.releases):
            if text in (str(release.version), release.version.branch):
                return release
        known = [*self.branches, *(str(release.version) for release in self.releases)]
        near = did_you_mean(text, known)
        raise UsageError(f"Unknown PHP version {text!r}.", remedy=f"{near}Known: {', '.join(known)}.")

    def target(self, name: str) -> Target:
        """Return the target of that name.

        Raises:
            UsageError: no such target.

        """
        if name not in self.targets:
            near = did_you_mean(name, self.targets)
            raise UsageError(f"Unknown target {name!r}.", remedy=f"{near}Known: {', '.join(self.targets)}.")
        return self.targets[name]

    def base_of(self, os_release_id: str) -> Base | None:
        """Return the base that a system with this ``ID`` in /etc/os-release is, if it is one."""
        return next((base for base in self.bases.values() if os_release_id in base.os_release), None)

    def extension_names(self, version: PhpVersion) -> tuple[str, ...]:
        """Return the names of all extensions that this PHP version offers."""
        return tuple(name for name, extension in self.extensions.items() if extension.offered_by(version))

    def runtime(
        self, *, php: str, extensions: Iterable[str], target: str, architecture: Architecture, bootstrap: BootstrapMode
    ) -> Runtime:
        """Resolve names into a runtime; sets are spelled out and requirements added.

        Raises:
            UsageError: an unknown version, extension, set or target, or an extension that this PHP has not.

        """
        version = self.release(php).version
        chosen: dict[str, Extension] = {}
        wanted = [name for name in self.extension_names(version) if self.extensions[name].always]
        for name in extensions:
            wanted.extend(self.sets.get(name, (name,)))
        while wanted:
            name = wanted.pop().lower()
            if name not in chosen:
                chosen[name] = self._extension(name, version)
                wanted.extend(chosen[name].requires)
        return Runtime(
            php=version,
            extensions=tuple(chosen[name] for name in sorted(chosen)),
            target=self.target(target),
            architecture=architecture,
            bootstrap=bootstrap,
        )

    def _extension(self, name: str, version: PhpVersion) -> Extension:
        if name not in self.extensions:
            known = [*self.sets, *self.extension_names(version)]
            near = did_you_mean(name, known)
            raise UsageError(f"Unknown extension {name!r}.", remedy=f"{near}Known: {', '.join(known)}.")
        extension = self.extensions[name]
        if not extension.offered_by(version):
            span = f"since PHP {extension.since}" if extension.since else f"up to PHP {extension.until}"
            raise UsageError(
                f"PHP {version} has no extension {name!r}: PHP bundles it {span}.",
                remedy=f"Remove {name!r} from php.extensions or choose another php.version.",
            )
        return extension


@cache
def load() -> Catalog:
    """Read and check the catalogue.

    Raises:
        PhplayerError: a catalogue file does not validate; names the file and the key.

    """
    php = _read("php.toml", _PhpFile)
    extensions = _read("extensions.toml", _ExtensionsFile)
    bases = _read("bases.toml", _BasesFile)
    targets = _read("targets.toml", _TargetsFile)
    catalog = Catalog(
        default_php=php.default,
        default_target=targets.default,
        releases=tuple(
            sorted((_release(php, release) for release in php.release), key=lambda release: release.version)
        ),
        extensions=MappingProxyType(
            {
                name: Extension(name=name, **msgspec.structs.asdict(table))
                for name, table in extensions.extension.items()
            }
        ),
        sets=MappingProxyType(extensions.set),
        bases=MappingProxyType({name: _base(name, table) for name, table in bases.base.items()}),
        targets=MappingProxyType(
            {name: Target(name=name, **msgspec.structs.asdict(table)) for name, table in targets.target.items()}
        ),
    )
    _check(catalog)
    return catalog


_T = TypeVar("_T")


def _read(name: str, schema: type[_T]) -> _T:
    try:
        with (_FOLDER / name).open("rb") as file:
            return msgspec.convert(tomllib.load(file), schema)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise PhplayerError(f"The catalogue file {name} is not valid: {error}.") from error


def _release(file: _PhpFile, table: _Release) -> Release:
    version = PhpVersion.parse(table.version)
    if version.branch not in file.branch:
        raise PhplayerError(f"The catalogue file php.toml has no [branch.{version.branch!r}] for release {version}.")
    return Release(
        version=version,
        sha256=table.sha256,
        urls=tuple(mirror.replace("${version}", table.version) for mirror in file.mirrors),
        debian_path=table.debian,
        end_of_life=file.branch[version.branch].end_of_life,
    )


def _base(name: str, table: _Base) -> Base:
    fields: dict[str, Any] = msgspec.structs.asdict(table)
    return Base(
        name=name,
        install_command=fields.pop("install"),
        packages=MappingProxyType(fields.pop("libraries")),
        **fields,
    )


def _check(catalog: Catalog) -> None:
    """Raise when one table names what another has not."""
    libraries = {library for extension in catalog.extensions.values() for library in extension.libraries}
    references = [
        *((f"extensions.toml: {e.name}.requires", e.requires, catalog.extensions) for e in catalog.extensions.values()),
        *((f"extensions.toml: set.{name}", names, catalog.extensions) for name, names in catalog.sets.items()),
        *((f"the libraries of base {base.name}", libraries, base.packages) for base in catalog.bases.values()),
        *((f"targets.toml: {t.name}.native_base", (t.native_base,), catalog.bases) for t in catalog.targets.values()),
        ("php.toml: default", (catalog.default_php,), catalog.branches),
        ("targets.toml: default", (catalog.default_target,), catalog.targets),
    ]
    for where, names, known in references:
        for name in names:
            if name not in known:
                raise PhplayerError(f"The catalogue has no {name!r}, which stands in {where}.")
