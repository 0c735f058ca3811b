"""Fills the layer tree of a runtime: what was compiled, the libraries it carries, php.ini and the bootstrap."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec

from phplayer import __version__, bootstrap, elf, ini, libraries, licenses, rebinding
from phplayer.catalog import libraries as own_libraries
from phplayer.errors import BuildFailedError
from phplayer.layer import LibraryRecord, RuntimeManifest, SourceRecord
from phplayer.recipe import ICU

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from phplayer.compile import Compiled
    from phplayer.engines import Engine
    from phplayer.recipe import Recipe
    from phplayer.runtime import Runtime


def check_loaded(runtime: Runtime, loaded: Collection[str], *, modules: Collection[str]) -> None:
    """Check that PHP has every extension that was asked for.

    ``loaded`` are those that it says it has, ``modules`` the names of the shared objects that were compiled.

    Raises:
        BuildFailedError: it lacks one, because a source makes another than it was given for, or by our own mistake.

    """
    absent = [extension for extension in runtime.extensions if extension.name not in loaded]
    if not absent:
        return
    given = [extension.name for extension in absent if extension.source is not None and not extension.source.version]
    if given:
        others = sorted(set(modules) - {extension.name for extension in runtime.extensions})
        makes = ", ".join(others) or "no extension of that name"
        name = others[0] if len(others) == 1 else "NAME"
        raise BuildFailedError(
            f"The source that was given for {', '.join(given)} makes {makes}.",
            remedy=f"Give it by the name that it has in PHP: --extension-source {name}=FILE (php.extension_sources).",
        )
    raise BuildFailedError(
        f"PHP was compiled, but it lacks what was asked for: {', '.join(extension.name for extension in absent)}.",
        remedy="Report this: the catalogue's flags for it are wrong for this PHP version.",
    )


def _modules(parts: Sequence[Compiled]) -> set[str]:
    return {path.stem for part in parts for path in (part.tree / "lib" / "php" / "extensions").glob("*.so")}


def fill(
    tree: Path,
    parts: Sequence[Compiled],
    *,
    configure: Sequence[str],
    runtime: Runtime,
    engine: Engine,
    ini_files: Mapping[str, str],
    layer: str,
    key: str,
) -> RuntimeManifest:
    """Fill the layer tree with what the parts gave and return its manifest.

    Raises:
        BuildFailedError: PHP lacks an extension that was asked for, or a library was not found.

    """
    extensions = {name: version for part in parts for name, version in part.extensions().items()}
    check_loaded(runtime, extensions, modules=_modules(parts))
    for part in parts:
        if part.tree.is_dir():
            shutil.copytree(part.tree, tree, dirs_exist_ok=True)
    # ICU's cut data stands before the whole one, which the loader found for PHP.
    folders = [part.libraries for part in sorted(parts, key=lambda part: part.recipe.name != ICU)]
    grafted = libraries.graft(tree, folders, target=runtime.target, base=engine.base)
    rebound = rebinding.rebind(elf.files(tree), folders, target=runtime.target)
    ini.write(ini_files, tree)
    bootstrap.write(runtime.bootstrap, tree)
    sources = tuple(_source(part.recipe, runtime) for part in parts if part.recipe.inputs)
    records = tuple(_libraries(parts, grafted))
    components = {*(source.name for source in sources), *(record.package for record in records)}
    licenses.write([part.licenses for part in parts], tree, components=components)
    return RuntimeManifest(
        phplayer=__version__,
        layer=layer,
        key=key,
        php=str(runtime.php),
        target=runtime.target.name,
        lambda_runtime=runtime.target.lambda_runtime,
        architecture=runtime.architecture,
        base=engine.base.name,
        engine=engine.name,
        bootstrap=runtime.bootstrap,
        extensions=dict(sorted(extensions.items())),
        configure=tuple(configure),
        sources=sources,
        libraries=records,
        distribution=next((part.distribution() for part in parts if part.os_release.is_file()), ""),
        pinned_symbols=tuple(sorted({*rebound, *(symbol for part in parts for symbol in part.pinned_symbols())})),
    )


def _source(recipe: Recipe, runtime: Runtime) -> SourceRecord:
    source = recipe.inputs[0].source
    record = SourceRecord(name=recipe.name, version=str(source.version), sha256=source.sha256)
    if recipe.is_library:
        library = own_libraries.load()[recipe.name]
        patched = library.patches.debian_path.rpartition("/")[2] if library.patches else ""
        return msgspec.structs.replace(
            record,
            license=library.license,
            cpe=library.cpe,
            patches=library.patch_names,
            patches_from=patched.partition(".debian.tar")[0],
        )
    known = {extension.name: extension.license for extension in runtime.extensions if extension.shared}
    return msgspec.structs.replace(record, license=known.get(recipe.name, runtime.release.license))


def _libraries(parts: Sequence[Compiled], grafted: Collection[str]) -> Iterator[LibraryRecord]:
    """Yield the shared libraries that the layer carries, then the static ones that went into what was compiled."""
    records = {record.soname: record for part in parts for record in part.library_records()}
    yield from (records[soname] for soname in sorted(records) if soname in grafted)
    known = own_libraries.load()
    for part in parts:
        if part.recipe.is_library:
            library = known[part.recipe.name]
            yield LibraryRecord(soname=library.archive, package=library.name, version=library.source.version)
