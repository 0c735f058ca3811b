"""Fills the layer tree of a runtime: what was compiled, the libraries it carries, php.ini and the bootstrap."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from phplayer import __version__, bootstrap, ini, libraries
from phplayer.errors import BuildFailedError
from phplayer.layer import RuntimeManifest, SourceRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from phplayer.compile import CompiledPhp
    from phplayer.engines import Engine
    from phplayer.recipe import Recipe
    from phplayer.runtime import Runtime


def fill(
    tree: Path,
    compiled: CompiledPhp,
    plan: Recipe,
    *,
    runtime: Runtime,
    engine: Engine,
    ini_files: Mapping[str, str],
    layer: str,
    key: str,
) -> RuntimeManifest:
    """Fill the layer tree and return its manifest.

    Raises:
        BuildFailedError: PHP lacks an extension that was asked for, or a library was not found.

    """
    extensions = compiled.extensions()
    absent = [extension.name for extension in runtime.extensions if extension.name not in extensions]
    if absent:
        raise BuildFailedError(
            f"PHP was compiled, but it lacks what was asked for: {', '.join(absent)}.",
            remedy="Report this: the catalogue's flags for it are wrong for this PHP version.",
            log=compiled.log,
        )
    shutil.copytree(compiled.tree, tree, dirs_exist_ok=True)
    grafted = libraries.graft(tree, compiled.libraries, target=runtime.target, base=engine.base)
    ini.write(ini_files, tree)
    bootstrap.write(runtime.bootstrap, tree)
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
        extensions=extensions,
        configure=plan.configure,
        sources=(SourceRecord(name="php", version=plan.php, sha256=plan.source_sha256),),
        libraries=tuple(record for record in compiled.library_records() if record.soname in grafted),
    )
