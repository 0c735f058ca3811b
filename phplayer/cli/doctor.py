"""``phplayer doctor``.

Its document: ``engine`` (what a build would take), ``ok`` (nothing required is missing), ``checks`` (each ``name``,
``ok``, ``required``, what was ``found`` and the ``remedy`` where it is not ok), and ``error`` where ``ok`` is false.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from phplayer.diagnosis import Check


def doctor(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Install what is missing, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Install without asking.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Check what the other commands need here.

    Looks at engine, disk, memory, compilers, Composer and AWS. The exit code is 4 when a build lacks something;
    what only publish or invoke lacks is told.
    """
    from phplayer import diagnosis
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load()
    found = diagnosis.examine(settings)
    command = diagnosis.install_command(found.checks)
    if fix and command and (yes or console.confirm(f"Run: {shlex.join(command)} ?")):
        console.note(f"$ {shlex.join(command)}")
        diagnosis.install(command)
        found = diagnosis.examine(settings)
    error = diagnosis.failure(found.checks)
    document: dict[str, Any] = {
        "engine": found.engine,
        "ok": error is None,
        "checks": [
            {
                "name": check.name,
                "ok": check.ok,
                "required": check.required,
                "found": check.found,
                "remedy": "" if check.ok else check.remedy,
            }
            for check in found.checks
        ],
    }
    if console.as_json and error is not None:
        console.result({**document, "error": console.error_document(error)})
        raise typer.Exit(error.exit_code)
    console.result(document, console.table("", "check", "", rows=[_row(check) for check in found.checks]))
    if error is not None:
        raise error
    console.note(f"A build here compiles with the {found.engine} engine.")


def _row(check: Check) -> tuple[str, str, str]:
    if check.ok:
        return "ok", check.name, check.found
    return "MISSING" if check.required else "no", check.name, check.remedy
