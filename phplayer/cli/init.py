"""``phplayer init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console


def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Folder of the project.")] = Path(),
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Write a commented phplayer.toml."""
    from phplayer import catalog, example_settings

    console = Console.of(context)
    path = example_settings.write(directory, php=catalog.load().default_php)
    console.result({"path": str(path)}, str(path))
    console.note("Next: phplayer build")
