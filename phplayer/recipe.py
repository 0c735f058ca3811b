"""A runtime resolved to the parts that are compiled and the steps that compile them.

    own libraries  ->  PHP  ->  each PECL extension
                               ICU's data, where it is cut to some locales

Each part is compiled and cached for itself, under a key over all that decides what it gives and over the keys of the
parts that it needs: one more extension from PECL compiles that extension alone.

Pure: values in, values out. An engine runs the steps; they are scripts below ``templates/build/`` that get their
arguments as an argument list and work in the folder they are started in. What a part needs of others lies there in
``needs/PART/``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer.catalog import libraries
from phplayer.errors import EnvironmentMissingError
from phplayer.runtime import SAPIS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from phplayer.catalog import Base
    from phplayer.catalog.libraries import Library
    from phplayer.runtime import Extension, Runtime
    from phplayer.sources import PinnedSource

PHP = "php"
"""The part that all others are made for or with."""

ICU = "icu"
"""The part that stands for ICU's data, where not all locales are wanted; and ICU's abstract name."""

SOURCE, PATCHES = "source.tar", "patches.tar"

_COMMON_FLAGS = (
    "--prefix=/opt",
    "--with-config-file-path=/opt/etc/php",
    "--with-config-file-scan-dir=/opt/etc/php/conf.d:/var/task/php/conf.d",
    "--disable-all",
    "--disable-cgi",
    "--disable-phpdbg",
    "--without-pear",
    "--disable-rpath",  # it would name folders of the build; removed later, they leave room as long as their names
)
_LOADABLE = ("tree", "libraries", "libraries.tsv", "extensions.tsv", "pinned.tsv", "licenses", "os-release")
_GIVEN_ON = ("library", "sdk", "tree")  # of the results of a part, what lies in needs/ of those that need it


@dataclass(frozen=True, kw_only=True)
class Step:
    """One script and its arguments."""

    name: str  # of the script, without .sh
    title: str  # what a user reads
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Input:
    """A tarball and its name in the workspace."""

    name: str
    source: PinnedSource


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides what the compile of one part gives, but the machine it runs on."""

    name: str
    inputs: tuple[Input, ...]
    needs: tuple[str, ...]  # other parts, all that are reached
    target: str
    architecture: str
    base: str
    packages: tuple[str, ...]
    steps: tuple[Step, ...]
    scripts: tuple[str, ...] = ()  # that the steps' own scripts call
    results: tuple[str, ...]  # files and folders that are kept

    @property
    def title(self) -> str:
        """Name and version as a user reads them."""
        version = str(self.inputs[0].source.version) if self.inputs else ""
        return f"{self.name} {version}".strip()

    @property
    def is_library(self) -> bool:
        """Whether it is a static library, which others are linked with."""
        return "library" in self.results

    @property
    def given_on(self) -> tuple[str, ...]:
        """Those of the results that parts which need this one find in ``needs/``."""
        return tuple(name for name in _GIVEN_ON if name in self.results)

    def key(self, *, scripts: Mapping[str, bytes], fingerprint: str, needs: Mapping[str, str]) -> str:
        """Return what the result is cached under.

        That is this recipe, its scripts' text, the engine's fingerprint of its packages, the keys of what it needs.
        """
        said = {
            "name": self.name,
            "inputs": [(each.name, each.source.sha256) for each in self.inputs],
            "needs": {name: needs[name] for name in self.needs},
            "for": (self.target, self.architecture, self.base),
            "packages": self.packages,
            "steps": [(step.name, step.arguments) for step in self.steps],
            "results": self.results,
        }
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for name in sorted(scripts):
            digest.update(f"\0{name}\0".encode() + scripts[name])
        digest.update(b"\0" + fingerprint.encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All parts of a runtime, each after those that it needs."""

    parts: tuple[Recipe, ...]

    @property
    def php(self) -> Recipe:
        """The part that is PHP itself."""
        return next(part for part in self.parts if part.name == PHP)

    @property
    def configure(self) -> tuple[str, ...]:
        """The flags given to PHP's configure."""
        return next(step.arguments for step in self.php.steps if step.name == "configure")

    @property
    def packages(self) -> tuple[str, ...]:
        """What PHP and the libraries before it take: these are there first, extensions come on top."""
        names = [part.name for part in self.parts]
        first = self.parts[: names.index(PHP) + 1] if PHP in names else self.parts
        return tuple(sorted({package for part in first for package in part.packages}))


def plan(runtime: Runtime, base: Base) -> Plan:
    """Resolve a runtime for a base.

    Raises:
        EnvironmentMissingError: the base has no package with a library that an extension needs.

    """
    return _Planner(runtime, base).plan()


def shared_extensions(runtime: Runtime) -> tuple[tuple[str, bool], ...]:
    """Return the extensions that php.ini must load, in this order, and whether as zend_extension."""
    return tuple(
        (extension.name, extension.zend_extension)
        for extension in runtime.load_order
        if extension.shared or (extension.zend_extension and extension.configure_flags(runtime.php))
    )


class _Planner:
    """One runtime on one base: what the parts have in common."""

    def __init__(self, runtime: Runtime, base: Base) -> None:
        self._runtime = runtime
        self._base = base
        self._names = frozenset(extension.name for extension in runtime.extensions)
        self._glibc = runtime.target.glibc

    def plan(self) -> Plan:
        """Return all parts."""
        bundled = [extension for extension in self._runtime.extensions if not extension.shared]
        shared = [extension for extension in self._runtime.load_order if extension.shared]
        own = self._own(extension.libraries for extension in bundled)
        later = tuple(library for library in self._own(each.libraries for each in shared) if library not in own)
        parts = [*(self._library(library) for library in own), self._php(bundled, own)]
        parts.extend(self._library(library) for library in later)
        if ICU in {name for each in bundled for name in each.libraries} and self._runtime.icu_locales:
            parts.append(self._icu())
        parts.extend(self._extension(extension) for extension in shared)
        return Plan(parts=tuple(parts))

    def _own(self, names: Iterable[Iterable[str]]) -> tuple[Library, ...]:
        """Return the libraries that are compiled here."""
        return libraries.compiled_on(self._base.name, {name for each in names for name in each})

    def _packages(
        self, extensions: Iterable[Extension], *, own: Sequence[Library], more: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """Return the packages of the libraries that are the base's own, with the toolchain."""
        compiled = {library.name for library in own}
        wanted = {name: f"the extension {each.name}" for each in extensions for name in each.libraries}
        wanted |= {name: library.name for library in own for name in library.libraries}
        found = {*self._base.toolchain, *more}
        for name in sorted(set(wanted) - compiled):
            if not self._base.packages[name]:
                raise EnvironmentMissingError(
                    f"{self._base.name} has no package with {name}, which {wanted[name]} needs.",
                    remedy="Leave it out, or build on a base that has it: phplayer build --base-image IMAGE.",
                )
            found.update(self._base.packages[name])
        return tuple(sorted(found))

    def _recipe(
        self,
        name: str,
        inputs: tuple[Input, ...],
        *,
        packages: tuple[str, ...],
        steps: tuple[Step, ...],
        results: tuple[str, ...],
        needs: Iterable[str] = (),
        scripts: tuple[str, ...] = (),
    ) -> Recipe:
        return Recipe(
            name=name,
            inputs=inputs,
            needs=tuple(needs),
            target=self._runtime.target.name,
            architecture=self._runtime.architecture,
            base=self._base.name,
            packages=packages,
            steps=steps,
            scripts=scripts,
            results=results,
        )

    def _library(self, library: Library) -> Recipe:
        title = f"{library.name} {library.source.version}"
        inputs = [Input(name=SOURCE, source=library.source)]
        if library.patches is not None:
            inputs.append(Input(name=PATCHES, source=library.patches))
        needed = libraries.compiled_on(self._base.name, library.needs)
        return self._recipe(
            library.name,
            tuple(inputs),
            needs=(need.name for need in needed),
            packages=self._packages((), own=(*needed, library), more=library.packages.get(self._base.name, ())),
            steps=(
                Step(name="unpack", title=f"{title}: unpack", arguments=(library.name, *library.patch_names)),
                Step(name=library.script, title=title, arguments=(library.name, self._glibc, *library.flags)),
            ),
            scripts=("pins", "pkgconfig") if library.script == "library" else ("pins",),
            results=("library", "licenses"),
        )

    def _php(self, bundled: list[Extension], own: tuple[Library, ...]) -> Recipe:
        flags = [
            *_COMMON_FLAGS,
            *(f"--{'enable' if sapi in self._runtime.sapis else 'disable'}-{sapi}" for sapi in SAPIS),
        ]
        for extension in bundled:
            flags.extend(extension.configure_flags(self._runtime.php, self._names))
        loaded = tuple(
            f"zend_extension={extension.name}"
            for extension in bundled
            if extension.zend_extension and extension.configure_flags(self._runtime.php)
        )
        return self._recipe(
            PHP,
            (Input(name=SOURCE, source=self._runtime.release),),
            needs=(library.name for library in own),
            packages=self._packages(bundled, own=own),
            steps=(
                Step(name="unpack", title="unpack", arguments=(PHP,)),
                Step(name="configure", title="configure", arguments=tuple(dict.fromkeys(flags))),
                Step(name="compile", title="compile", arguments=(self._glibc,)),
                Step(name="install", title="install", arguments=self._runtime.sapis),
                Step(name="extensions", title="ask for extensions", arguments=loaded),
                Step(name="collect", title="collect libraries", arguments=(PHP,)),
            ),
            scripts=("pins",),
            results=(*_LOADABLE, "sdk"),
        )

    def _extension(self, extension: Extension) -> Recipe:
        assert extension.source is not None  # noqa: S101  the catalogue refuses those without
        runtime, name = self._runtime, extension.name
        own = self._own([extension.libraries])
        beside = {each: None for each in runtime.load_order if each.shared and each.name in self._reached(extension)}
        title = f"{name} {extension.source.version}".strip()
        flags = extension.configure_flags(runtime.php, self._names)
        load = tuple(f"{'zend_' if each.zend_extension else ''}extension={each.name}" for each in (*beside, extension))
        return self._recipe(
            name,
            (Input(name=SOURCE, source=extension.source),),
            needs=(PHP, *(library.name for library in own), *(each.name for each in beside)),
            packages=self._packages([extension], own=own, more=self._base.phpize),
            steps=(
                Step(name="unpack-extension", title=f"{title}: unpack", arguments=(name, extension.source.folder)),
                Step(name="extension", title=title, arguments=(name, self._glibc, *flags)),
                Step(name="extensions", title=f"{title}: load", arguments=load),
                Step(name="collect", title=f"{title}: collect libraries", arguments=(name,)),
            ),
            scripts=("pins",),
            results=(*_LOADABLE, "sdk"),
        )

    def _reached(self, extension: Extension) -> frozenset[str]:
        """Return the names of the extensions that it requires or uses, directly or not."""
        known = {each.name: each for each in self._runtime.extensions}
        found: set[str] = set()
        waiting = [extension]
        while waiting:
            each = waiting.pop()
            for name in (*each.requires, *(name for name, _ in each.uses)):
                if name in known and name not in found:
                    found.add(name)
                    waiting.append(known[name])
        return frozenset(found)

    def _icu(self) -> Recipe:
        return self._recipe(
            ICU,
            (),
            packages=tuple(sorted({*self._base.toolchain, *self._base.packages[ICU], *self._base.icu_tools})),
            steps=(Step(name="icu", title="ICU's data", arguments=self._runtime.icu_locales),),
            results=("libraries",),
        )
