"""``phplayer clean``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.cleaning import Item


def clean(
    context: typer.Context,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also compiled PHPs, unpacked layers, sources and ccache.")
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="SPAN", help="Also what was not used for that long: 12h, 30d, 2w."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Remove what dead builds left behind, and what the cache holds beyond cache.max_size.

    Nothing that a running phplayer uses is removed. What is published and what lies in dist stays.
    """
    from phplayer import cache, cleaning
    from phplayer.settings import Settings

    console = Console.of(context)
    limit = Settings.load().size("cache.max_size")
    span = cleaning.parse_span(older_than) if older_than else None
    chosen = dict.fromkeys((*cleaning.choose(everything=everything, older_than=span), *cleaning.over(limit)))
    removed = tuple(chosen) if dry_run else cleaning.remove(tuple(chosen))
    _report(console, removed, in_use=len(chosen) - len(removed), dry_run=dry_run, cache=str(cache.root()))


def _report(console: Console, removed: Sequence[Item], *, in_use: int, dry_run: bool, cache: str) -> None:
    freed = sum(item.size for item in removed)
    document: dict[str, Any] = {
        "cache": cache,
        "dry_run": dry_run,
        "freed": freed,
        "in_use": in_use,
        "removed": [{"kind": item.kind, "path": str(item.path), "size": item.size} for item in removed],
    }
    if not removed:
        console.result(document)
        console.note(f"Nothing to remove in {cache}.")
    else:
        rows = [(item.kind, item.path.name[:24], file_size(item.size)) for item in removed]
        console.result(document, console.table("", "would be removed" if dry_run else "removed", "size", rows=rows))
        console.note(f"{file_size(freed)} {'would be freed' if dry_run else 'freed'} in {cache}.")
    if in_use:
        console.note(f"{in_use} left alone: in use.")
