"""``phplayer doctor``.

Its document: ``engine`` (what a build would take), ``ok`` (nothing required is missing), ``checks`` (each ``name``,
``ok``, ``required``, what was ``found`` and, where it is not ok, the ``remedy`` and the commands of ``--fix``), and
``error`` where ``ok`` is false.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from phplayer.diagnosis import Check, Fix


def doctor(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Install or start what is missing, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Check what the other commands need here.

    Looks at engine, emulation, disk, memory, compilers, Composer and AWS. The exit code is 4 when a build lacks
    something; what only publish or invoke lacks is told.
    """
    from phplayer import diagnosis
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load()
    found = diagnosis.examine(settings)
    offered: set[Fix] = set()
    while fix and (new := [each for each in diagnosis.fixes(found.checks) if each not in offered]):
        offered.update(new)
        for each in new:
            _mend(console, each, yes=yes)
        found = diagnosis.examine(settings)  # a daemon that is there now may lack emulation
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
                "fix": [] if check.ok or check.fix is None else _lines(check.fix),
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


def _mend(console: Console, fix: Fix, *, yes: bool) -> None:
    """Make one repair, with a yes; one that fails hinders no other."""
    from phplayer import diagnosis
    from phplayer.errors import EnvironmentMissingError

    shown = " && ".join(_lines(fix))
    if not yes and not console.confirm(f"For {fix.what}, run: {shown} ?"):
        console.note(f"Not run, for {fix.what}: {shown}")
        return
    console.note(f"$ {shown}")
    try:
        diagnosis.repair(fix)
    except EnvironmentMissingError as error:
        console.warn(f"{error.message} {error.remedy}")


def _lines(fix: Fix) -> list[str]:
    """Return the commands of a repair as a shell takes them."""
    from phplayer import diagnosis

    return [shlex.join(command) for command in diagnosis.commands(fix)]


def _row(check: Check) -> tuple[str, str, str]:
    if check.ok:
        return "ok", check.name, check.found
    return "MISSING" if check.required else "no", check.name, check.remedy
