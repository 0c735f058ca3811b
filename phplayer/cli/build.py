"""``phplayer build``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from phplayer.building import BuildResult


def build(
    context: typer.Context,
    php: Annotated[
        str | None, typer.Option("--php", metavar="VERSION", help="Branch or exact version. [php.version]")
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option(
            "--extension", "-e", metavar="NAME", help="Extension, or set of them; repeatable. [php.extensions]"
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", metavar="FILE", help="PHP's source tarball, instead of fetching it.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=0, help="Compilers at once. [build.jobs]")] = None,
    output: options.Output = None,
    composer: Annotated[
        str | None, typer.Option("--composer", metavar="PROGRAM", help="The Composer to run. [composer.bin]")
    ] = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Compile PHP and pack it as a Lambda layer.

    Where the folder has a composer.json, its packages become a second layer.
    """
    from phplayer import building, catalog
    from phplayer.engines.host import HostEngine
    from phplayer.runtime import Architecture, BootstrapMode
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load(
        flags={
            "php.version": php,
            "php.extensions": options.split(extension),
            "build.jobs": jobs,
            "build.output": output.resolve() if output else None,
            "composer.bin": composer,
        }
    )
    known = catalog.load()
    runtime = known.runtime(
        php=settings.text("php.version") or known.default_php,
        extensions=settings.texts("php.extensions"),
        target=settings.text("build.target") or known.default_target,
        architecture=Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )
    result = building.build(
        settings,
        runtime,
        HostEngine(),
        source=source.resolve() if source else None,
        jobs=settings.number("build.jobs") or len(os.sched_getaffinity(0)),
        listener=console.listen,
    )
    _render(console, result)


def _render(console: Console, result: BuildResult) -> None:
    rows = [
        (
            layer.archive.manifest.layer,
            os.path.relpath(layer.archive.path),
            file_size(layer.archive.size),
            file_size(layer.archive.unpacked),
            layer.archive.sha256[:12],
            "up to date" if layer.up_to_date else "built",
        )
        for layer in result.layers
    ]
    document = {
        "identifier": result.runtime.identifier,
        "php": str(result.runtime.php),
        "directory": str(result.folder),
        "seconds": round(result.seconds, 3),
        "layers": [
            {
                "kind": layer.archive.kind,
                "layer": layer.archive.manifest.layer,
                "path": str(layer.archive.path),
                "key": layer.archive.manifest.key,
                "size": layer.archive.size,
                "unpacked": layer.archive.unpacked,
                "sha256": layer.archive.sha256,
                "up_to_date": layer.up_to_date,
            }
            for layer in result.layers
        ],
    }
    console.result(document, console.table("layer", "archive", "zipped", "unpacked", "sha256", "", rows=rows))
    if all(layer.up_to_date for layer in result.layers):
        console.note(f"{result.runtime.identifier} is up to date: nothing to do.")
