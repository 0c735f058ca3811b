"""``phplayer ci``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

app = typer.Typer(help="Write workflows that build and publish elsewhere.")


@app.callback()
def _ci() -> None:
    """Write workflows that build and publish elsewhere."""


@app.command()
def github(
    context: typer.Context,
    *,
    php: options.Php = None,
    arch: options.Arch = None,
    only: options.Only = None,
    install: Annotated[
        str | None,
        typer.Option(
            "--install",
            metavar="REQUIREMENT",
            help="What pip installs there: a release or git+https://... By default this phplayer.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a workflow that is there.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Write a GitHub Actions workflow.

    It builds on x86_64 and arm64 machines and publishes without a long-lived key. It builds for both architectures
    unless told otherwise.
    """
    from phplayer import ci, matrix
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load(flags={"php.version": options.split(php), "build.arch": options.split(arch)})
    if not settings.texts("build.arch"):
        settings = settings.using("build.arch", (matrix.ALL,))
    runtimes = matrix.runtimes(settings, only=options.split(only) or ())
    path = ci.Place.of(settings.root).workflow
    ci.write(path, ci.github_workflow(settings, runtimes, install=install or ""), force=force)
    names = [runtime.identifier for runtime in runtimes]
    console.result({"path": str(path), "identifiers": names}, os.path.relpath(path))
    console.note(
        f"It builds {', '.join(names)}. What AWS has to trust stands at its head; commit it with phplayer.toml."
    )
