"""The catalogue: every PHP version, extension, package name and target, as data.

The TOML files beside this module are the one place that names them. They are read and checked once per process;
what leaves this module is frozen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from phplayer.catalog import files
from phplayer.errors import UsageError, check_known, did_you_mean, unknown
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

SHA256 = re.compile("[0-9a-f]{64}")


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
    phpize: tuple[str, ...]  # packages that compiling an extension for itself takes
    icu_tools: tuple[str, ...]  # packages with the tools for ICU's data


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an extension adds to an unpacked layer, in bytes, as measured once."""

    code: int
    libraries: int  # that it brings, where none of them is the target's

    @property
    def total(self) -> int:
        """Both together."""
        return self.code + self.libraries


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
    costs: Mapping[str, Cost]  # of the extensions that were measured
    given: Mapping[str, ExtensionSource]  # extension -> the source that the project gives for it

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
            if text in {str(release.version), release.version.branch}:
                return release
        known = [*self.branches, *(str(release.version) for release in self.releases)]
        raise unknown(text, known, "PHP version")

    def target(self, name: str) -> Target:
        """Return the target of that name.

        Raises:
            UsageError: no such target.

        """
        check_known(name, self.targets, "target")
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
        release = self.release(php)
        version = release.version
        chosen: dict[str, Extension] = {}
        wanted = [name for name in self.extension_names(version) if self.extensions[name].always]
        for name in extensions:
            wanted.extend(self._of_set(name, version) if name in self.sets else (name,))
        while wanted:
            name = wanted.pop().lower()
            if name not in chosen:
                chosen[name] = self._extension(name, version)
                wanted.extend(chosen[name].requires)
        for extension in chosen.values():
            for other in extension.conflicts:
                if other in chosen:
                    raise UsageError(
                        f"The extensions {extension.name} and {other} cannot be in the same PHP.",
                        remedy="Take one of them out of php.extensions.",
                    )
        return Runtime(
            release=release,
            extensions=tuple(chosen[name] for name in sorted(chosen)),
            target=self.target(target),
            architecture=architecture,
            bootstrap=bootstrap,
        )

    def _of_set(self, name: str, version: PhpVersion) -> Iterable[str]:
        """Yield the set's extensions that this PHP version has: a set names those of all versions."""
        return (member for member in self.sets[name] if self.extensions[member].offered_by(version))

    def _extension(self, name: str, version: PhpVersion) -> Extension:
        known = self.extensions.get(name)
        if name in self.given:
            return _with_source(name, known, self.given[name], version)
        if known is None:
            names = [*self.sets, *self.extension_names(version)]
            near = did_you_mean(name, names)
            raise UsageError(
                f"Unknown extension {name!r}.",
                remedy=f"{near}One that is not in the catalogue needs its source: --extension-source {name}=FILE, or "
                f"{name}=URL@SHA256. Known: {', '.join(names)}.",
            )
        if not known.offered_by(version):
            span = f"since PHP {known.since}" if known.since else f"up to PHP {known.until}"
            what = f"version {known.source.version} of it compiles" if known.source else "PHP bundles it"
            raise UsageError(
                f"PHP {version} has no extension {name!r}: {what} {span}.",
                remedy=f"Remove {name!r} from php.extensions, choose another php.version, or give a source that "
                f"compiles for it: --extension-source {name}=FILE.",
            )
        if known.shared and known.source is None:
            raise UsageError(
                f"phplayer has no source of the extension {name!r} of which it knows the checksum.",
                remedy=f"Download it from https://pecl.php.net/package/{name} and give it: "
                f"--extension-source {name}=FILE, or {name}=URL@SHA256.",
            )
        return known


def _with_source(name: str, known: Extension | None, source: ExtensionSource, version: PhpVersion) -> Extension:
    """Return the extension as the project's own source makes it."""
    if known is None:
        return Extension(
            name=name, summary="", configure=(), libraries=(), requires=(), uses=(), conflicts=(), since="", until="",
            always=False, configured_until="", zend_extension=False, shared=True, source=source,
        )  # fmt: skip
    if not known.shared and known.offered_by(version):
        raise UsageError(
            f"PHP {version} has the extension {name!r} in its own source: it cannot come from another one.",
            remedy=f"Take {name!r} out of --extension-source (php.extension_sources).",
        )
    return replace(known, shared=True, source=source, since="", until="")


@cache
def load() -> Catalog:
    """Read and check the catalogue.

    Raises:
        PhplayerError: a catalogue file does not validate; names file, line and key.

    """
    from phplayer.catalog import reading  # it needs what this module defines

    return reading.read(files.FOLDER, user=files.user_file())
