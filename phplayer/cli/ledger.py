"""``phplayer ledger``.

The document of ``merge``: ``ledger`` (the file), ``versions`` (how many it records now).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

app = typer.Typer(help="Look after the record of published layers.")

File = Annotated[Path | None, typer.Argument(show_default=False, readable=False)]


@app.callback()
def _ledger() -> None:
    """Look after the record of published layers."""


@app.command()
def merge(
    context: typer.Context,
    base: File = None,
    ours: File = None,
    theirs: File = None,
    *,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Merge the ledgers of two branches.

    Without files it settles the conflict that git left in the ledger. With three, those of the common ancestor, ours
    and theirs, it writes the result to OURS, as git's merge drivers do.
    """
    from phplayer import ledger_merge
    from phplayer.errors import UsageError
    from phplayer.settings import Settings

    console = Console.of(context)
    if base is not None and ours is not None and theirs is not None:
        merged, path = ledger_merge.merge_files(base, ours, theirs), ours
    elif base is None:
        path = Settings.load(flags={"publish.ledger": ledger and ledger.absolute()}).path("publish.ledger")
        merged = ledger_merge.resolve(path)
        console.note(f"Both sides are in {path} now. Next: git add {path.name}")
    else:
        raise UsageError(
            "A merge takes three files or none.", remedy="As a merge driver: phplayer ledger merge %O %A %B"
        )
    count = len(merged.entries)
    text = f"{count} layer version{'' if count == 1 else 's'} recorded"
    console.result({"ledger": str(path), "versions": count}, text)
