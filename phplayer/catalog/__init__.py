"""The catalogue: every PHP version, extension, package name and target, as data.

The TOML files beside this module are the one place that names them. They are read and checked once per process;
what leaves this module is frozen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from phplayer.catalog import files
from phplayer.errors import PhplayerError, UsageError, did_you_mean
from phplayer.runtime import (
    Architecture,
    BootstrapMode,
    Extension,
    ExtensionSource,
    PhpVersion,
    Release,
    Runtime,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Base:
    """Where PHP is compiled, with its package manager and its names for libraries."""

    name: str
    os_release: tuple[str, ...]
    manager: str
    install_command: tuple[str, ...]
    toolchain: tuple[str, ...]
    composer: tuple[str, ...]
    image: files.Image
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
        PhplayerError: a catalogue file does not validate; names file, line and key.

    """
    return read(files.FOLDER)


def read(folder: Path) -> Catalog:
    """Read and check the catalogue in a folder.

    Raises:
        PhplayerError: one of its files does not validate; names file, line and key.

    """
    php = files.read(folder / "php.toml", files.PhpFile)
    extensions = files.read(folder / "extensions.toml", files.ExtensionsFile)
    bases = files.read(folder / "bases.toml", files.BasesFile)
    targets = files.read(folder / "targets.toml", files.TargetsFile)
    mirrors = extensions.content.mirrors
    catalog = Catalog(
        default_php=php.content.default,
        default_target=targets.content.default,
        releases=_releases(php),
        extensions=MappingProxyType(
            {name: _extension(name, table, mirrors) for name, table in extensions.content.extension.items()}
        ),
        sets=MappingProxyType(extensions.content.set),
        bases=MappingProxyType({name: _base(name, table) for name, table in bases.content.base.items()}),
        targets=MappingProxyType(
            {name: Target(name=name, **msgspec.structs.asdict(table)) for name, table in targets.content.target.items()}
        ),
    )
    _check(catalog)
    return catalog


def _releases(file: files.CatalogFile[files.PhpFile]) -> tuple[Release, ...]:
    """Return the file's releases, oldest first."""
    found = []
    for number, table in enumerate(file.content.release):
        key = ("release", str(number))
        try:
            version = PhpVersion.parse(table.version)
        except UsageError as error:
            raise file.mistake((*key, "version"), error.message.rstrip(".")) from error
        if version.branch not in file.content.branch:
            raise file.mistake((*key, "version"), f"there is no [branch.{version.branch!r}]")
        if not re.fullmatch("[0-9a-f]{64}", table.sha256):
            raise file.mistake((*key, "sha256"), "a SHA-256 has 64 hexadecimal digits")
        release = Release(
            version=version,
            sha256=table.sha256,
            urls=tuple(mirror.replace("${version}", table.version) for mirror in file.content.mirrors),
            debian_path=table.debian,
            end_of_life=file.content.branch[version.branch].end_of_life,
        )
        found.append(release)
    return tuple(sorted(found, key=lambda release: release.version))


def _extension(name: str, table: files.ExtensionTable, mirrors: tuple[str, ...]) -> Extension:
    fields: dict[str, Any] = msgspec.structs.asdict(table)
    shared, source = fields.pop("pecl"), table.source
    return Extension(
        **fields
        | {
            "name": name,
            "uses": tuple(sorted(table.uses.items())),
            "shared": shared,
            "source": source and _extension_source(name, source, mirrors),
        }
    )


def _extension_source(name: str, table: files.SourceTable, mirrors: tuple[str, ...]) -> ExtensionSource:
    from_debian = (mirror.replace("${path}", table.debian) for mirror in mirrors if table.debian)
    return ExtensionSource(
        name=name,
        version=table.version,
        sha256=table.sha256,
        urls=(*table.urls, *from_debian),
        debian_path=table.debian,
        folder=table.folder,
    )


def _base(name: str, table: files.BaseTable) -> Base:
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
