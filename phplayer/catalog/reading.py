"""Reads the catalogue's files into frozen values, and checks that they fit each other."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from phplayer.catalog import SHA256, Base, Catalog, Cost, files
from phplayer.errors import UsageError
from phplayer.runtime import Extension, ExtensionSource, PhpVersion, Release, Target

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from pathlib import Path


def read(folder: Path, *, user: Path | None = None) -> Catalog:
    """Read and check the catalogue in a folder, with the releases of the user's own file where there is one.

    Raises:
        PhplayerError: one of the files does not validate; names file, line and key.

    """
    php = files.read(folder / "php.toml", files.PhpFile)
    extensions = files.read(folder / "extensions.toml", files.ExtensionsFile)
    bases = files.read(folder / "bases.toml", files.BasesFile)
    targets = files.read(folder / "targets.toml", files.TargetsFile)
    costs = files.read(folder / "costs.toml", files.CostsFile)
    mirrors = extensions.content.mirrors
    catalog = Catalog(
        default_php=php.content.default,
        default_target=targets.content.default,
        releases=_merged(_releases(php), user_releases(user, php) if user and user.is_file() else ()),
        extensions=MappingProxyType(
            {name: _extension(name, table, mirrors) for name, table in extensions.content.extension.items()}
        ),
        sets=MappingProxyType(extensions.content.set),
        bases=MappingProxyType({name: _base(name, table) for name, table in bases.content.base.items()}),
        targets=MappingProxyType(
            {name: Target(name=name, **msgspec.structs.asdict(table)) for name, table in targets.content.target.items()}
        ),
        given=MappingProxyType({}),
        costs=MappingProxyType(
            {name: Cost(code=table.code, libraries=table.libraries) for name, table in costs.content.extension.items()}
        ),
    )
    _check(catalog, php, extensions, targets)
    for name in catalog.costs:
        _known(costs, ("extension", name), (name,), catalog.extensions)
    return catalog


def user_releases(path: Path, php: files.CatalogFile[files.PhpFile]) -> tuple[Release, ...]:
    """Return the releases of the user's own file; branches and mirrors are those of php.toml.

    Raises:
        PhplayerError: it does not validate; names file, line and key.

    """
    file = files.read(path, files.UserFile)
    return tuple(_release(file, number, table, php.content) for number, table in enumerate(file.content.release))


def _releases(file: files.CatalogFile[files.PhpFile]) -> tuple[Release, ...]:
    return tuple(_release(file, number, table, file.content) for number, table in enumerate(file.content.release))


def _merged(own: tuple[Release, ...], users: tuple[Release, ...]) -> tuple[Release, ...]:
    """Return all releases, oldest first. Of one version the catalogue's own wins."""
    found = {release.version: release for release in users}
    found.update({release.version: release for release in own})
    return tuple(sorted(found.values(), key=lambda release: release.version))


def _release(file: files.CatalogFile[Any], number: int, table: files.ReleaseTable, php: files.PhpFile) -> Release:
    key = ("release", str(number))
    try:
        version = PhpVersion.parse(table.version)
    except UsageError as error:
        raise file.mistake((*key, "version"), error.message.rstrip(".")) from error
    if version.branch not in php.branch:
        raise file.mistake((*key, "version"), f"there is no [branch.{version.branch!r}]")
    if not SHA256.fullmatch(table.sha256):
        raise file.mistake((*key, "sha256"), "a SHA-256 has 64 hexadecimal digits")
    return Release(
        version=version,
        sha256=table.sha256,
        urls=tuple(mirror.replace("${version}", table.version) for mirror in php.mirrors),
        debian_path=table.debian,
        end_of_life=php.branch[version.branch].end_of_life,
        tested=table.tested,
        origin=table.from_,
    )


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


def _check(
    catalog: Catalog,
    php: files.CatalogFile[files.PhpFile],
    extensions: files.CatalogFile[files.ExtensionsFile],
    targets: files.CatalogFile[files.TargetsFile],
) -> None:
    """Raise when one table names what another has not."""
    for name, names in catalog.sets.items():
        _known(extensions, ("set", name), names, catalog.extensions)
    for extension in catalog.extensions.values():
        _check_extension(catalog, extensions, extension)
    for target in catalog.targets.values():
        _known(targets, ("target", target.name, "native_base"), (target.native_base,), catalog.bases)
    _known(php, ("default",), (catalog.default_php,), catalog.branches)
    _known(targets, ("default",), (catalog.default_target,), catalog.targets)


def _check_extension(catalog: Catalog, file: files.CatalogFile[files.ExtensionsFile], extension: Extension) -> None:
    key = ("extension", extension.name)
    _known(file, (*key, "requires"), extension.requires, catalog.extensions)
    _known(file, (*key, "uses"), (other for other, _ in extension.uses), catalog.extensions)
    _known(file, (*key, "conflicts"), extension.conflicts, catalog.extensions)
    for base in catalog.bases.values():
        _known(file, (*key, "libraries"), extension.libraries, base.packages, of=f"base {base.name}")
    if extension.source and not extension.shared:
        raise file.mistake((*key, "source"), "only a PECL extension has a source of its own")
    if extension.source and not SHA256.fullmatch(extension.source.sha256):
        raise file.mistake((*key, "source", "sha256"), "a SHA-256 has 64 hexadecimal digits")
    circle = _circle(catalog.extensions, extension.name)
    if circle:
        raise file.mistake((*key, "requires"), f"the extensions require each other: {' -> '.join(circle)}")


def _known(
    file: files.CatalogFile[Any],
    key: tuple[str, ...],
    names: Iterable[str],
    known: Container[str],
    of: str = "the catalogue",
) -> None:
    for name in names:
        if name not in known:
            raise file.mistake(key, f"{of} has no {name!r}")


def _circle(extensions: Mapping[str, Extension], start: str, path: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a way from an extension along what it requires or uses that comes back to it, () where there is none."""
    here = path[-1] if path else start
    for name in (*extensions[here].requires, *(other for other, _ in extensions[here].uses)):
        if name == start:
            return (start, *path, start)
        if name not in path and name in extensions:
            found = _circle(extensions, start, (*path, name))
            if found:
                return found
    return ()
