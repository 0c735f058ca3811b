"""``phplayer clean``.

Its document: ``cache`` (the folder), ``dry_run``, ``freed`` (bytes), ``in_use`` (how many were left alone) and
``removed`` (each ``kind``, ``path``, ``size`` in bytes; of what is in Docker the path is the name there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.engines.docker_leftovers import Leftover


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
    """Remove what builds left behind.

    That is what interrupted ones left, and what the cache holds beyond cache.max_size. Nothing that a running
    phplayer uses is removed. What is published and what lies in dist stays.
    """
    from phplayer import cache, cleaning
    from phplayer.engines import HOST
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load()
    limit = settings.size("cache.max_size")
    span = cleaning.parse_span(older_than) if older_than else None
    chosen = tuple(dict.fromkeys((*cleaning.choose(everything=everything, older_than=span), *cleaning.over(limit))))
    removed = chosen if dry_run else cleaning.remove(chosen)
    docker: tuple[Leftover, ...] = ()
    if settings.text("build.engine") != HOST:
        docker = cleaning.in_docker(everything=everything, dry_run=dry_run)
    freed = sum(item.size for item in removed) + sum(item.size for item in docker)
    in_use = len(chosen) - len(removed)
    document = {
        "cache": str(cache.root()),
        "dry_run": dry_run,
        "freed": freed,
        "in_use": in_use,
        "removed": [
            *({"kind": item.kind, "path": str(item.path), "size": item.size} for item in removed),
            *({"kind": f"docker {item.kind}", "path": item.name, "size": item.size} for item in docker),
        ],
    }
    rows = [
        *((item.kind, item.path.name[:24], file_size(item.size)) for item in removed),
        *((f"docker {item.kind}", item.name, file_size(item.size) if item.size else "") for item in docker),
    ]
    console.result(document, *_table(console, rows, dry_run=dry_run))
    if rows:
        console.note(f"{file_size(freed)} {'would be freed' if dry_run else 'freed'}.")
    else:
        console.note(f"Nothing to remove in {cache.root()}.")
    if in_use:
        console.note(f"{in_use} left alone: in use.")


def _table(console: Console, rows: Sequence[tuple[str, str, str]], *, dry_run: bool) -> Iterator[Any]:
    if rows:
        yield console.table("", "would be removed" if dry_run else "removed", "size", rows=rows)
