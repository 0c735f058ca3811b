"""``phplayer doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console


def doctor(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Install what is missing, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Install without asking.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Check what a build needs of this machine."""
    from phplayer import diagnosis
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load()
    checks = diagnosis.examine(settings)
    command = diagnosis.install_command(checks)
    if fix and command and (yes or console.confirm(f"Run: {' '.join(command)} ?")):
        console.note(f"$ {' '.join(command)}")
        diagnosis.install(command)
        checks = diagnosis.examine(settings)
    rows = [
        ("ok" if check.ok else "MISSING", check.name, check.found if check.ok else check.remedy) for check in checks
    ]
    document = {
        "checks": [
            {"name": check.name, "ok": check.ok, "found": check.found, "remedy": check.remedy} for check in checks
        ]
    }
    console.result(document, console.table("", "check", "", rows=rows))
    diagnosis.require(checks)
