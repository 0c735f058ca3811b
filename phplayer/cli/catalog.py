"""``phplayer catalog``.

Its document: ``versions`` (each ``version``, ``branch``, ``end_of_life``, ``default`` of its branch, whether phplayer
was ``tested`` with it, ``sha256`` and where that is ``from``), ``extensions`` (each ``name``, ``summary``, ``source``
(``php``, or ``pecl``), ``version``, ``requires``, ``since``, ``until``, ``always``, the ``sets`` that hold it, and
``size``, its bytes by ``code`` and ``libraries``, null where it was not measured), ``sets`` of them, and ``targets``.
``catalog update`` has ``file`` and ``versions``.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phplayer.catalog import Catalog
    from phplayer.runtime import Extension, Release, Target

_MEGABYTE = 1_000_000

app = typer.Typer(help="List what can be built.", invoke_without_command=True)


@app.callback()
def catalog(context: typer.Context, _json: options.Json = False, _debug: options.Debug = False) -> None:
    """List what can be built: PHP versions, extensions, targets."""
    if context.invoked_subcommand is None:
        _show(context, tuple(_LISTS))


@app.command()
def versions(context: typer.Context, _json: options.Json = False, _debug: options.Debug = False) -> None:
    """List PHP versions and how long they are supported."""
    _show(context, ("versions",))


@app.command()
def extensions(context: typer.Context, _json: options.Json = False, _debug: options.Debug = False) -> None:
    """List extensions and what each costs."""
    _show(context, ("extensions", "sets"))


@app.command()
def targets(context: typer.Context, _json: options.Json = False, _debug: options.Debug = False) -> None:
    """List the Lambda environments to build for."""
    _show(context, ("targets",))


@app.command()
def update(context: typer.Context, _json: options.Json = False, _debug: options.Debug = False) -> None:
    """Learn of new PHP releases from php.net.

    They and their checksums are kept in a file of yours, beside the catalogue that came with phplayer.
    """
    from phplayer.catalog import feed, files
    from phplayer.settings import Settings

    console = Console.of(context)
    path = files.user_file()
    learned = feed.update(feed=Settings.load().text("catalog.feed"), today=_today(), path=path)
    document = {
        "file": str(path),
        "versions": [{"version": str(item.version), "sha256": item.sha256, "new": item.new} for item in learned],
    }
    rows = [(str(item.version), item.sha256[:12], "new" if item.new else "known") for item in learned]
    console.result(document, console.table("php", "sha256", "", rows=rows))
    console.note(f"Kept in {path}.")


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _show(context: typer.Context, lists: Sequence[str]) -> None:
    from phplayer import pins
    from phplayer.settings import Settings

    console = Console.of(context)
    known = pins.catalogue(Settings.load())
    document: dict[str, Any] = {}
    tables: list[Any] = []
    for name in lists:
        document[name], table = _LISTS[name](console, known)
        tables.extend(("", table) if tables else (table,))
    console.result(document, *tables)


def _versions(console: Console, known: Catalog) -> tuple[list[dict[str, Any]], Any]:
    def support(release: Release) -> str:
        left = (release.end_of_life - _today()).days
        return f"until {release.end_of_life}" if left >= 0 else f"ended {release.end_of_life}"

    named = {known.release(branch).version for branch in known.branches}
    rows = [
        (
            str(release.version),
            f"means {release.version.branch}" if release.version in named else "",
            "tested" if release.tested else "",
            support(release),
            release.sha256[:12],
            release.origin,
        )
        for release in known.releases
    ]
    document = [
        {
            "version": str(release.version),
            "branch": release.version.branch,
            "default": release.version in named,
            "tested": release.tested,
            "end_of_life": str(release.end_of_life),
            "sha256": release.sha256,
            "from": release.origin,
        }
        for release in known.releases
    ]
    return document, console.table("php", "", "", "security fixes", "sha256", "checksum from", rows=rows)


def _extensions(console: Console, known: Catalog) -> tuple[list[dict[str, Any]], Any]:
    rows = [
        (
            extension.name,
            _source(extension),
            _span(extension),
            _megabytes(known, extension),
            ", ".join(extension.requires),
            extension.summary,
        )
        for extension in known.extensions.values()
    ]
    document = [
        {
            "name": extension.name,
            "summary": extension.summary,
            "source": "pecl" if extension.shared else "php",
            "version": extension.source.version if extension.source else None,
            "requires": list(extension.requires),
            "since": extension.since or None,
            "until": extension.until or None,
            "always": extension.always,
            "sets": [name for name, members in known.sets.items() if extension.name in members],
            "size": _size(known, extension),
        }
        for extension in known.extensions.values()
    ]
    return document, console.table("extension", "from", "php", "MB", "requires", "", rows=rows)


def _source(extension: Extension) -> str:
    if not extension.shared:
        return "PHP, always in" if extension.always else "PHP"
    return f"PECL {extension.source.version}" if extension.source else "PECL, source to be given"


def _span(extension: Extension) -> str:
    if extension.since and extension.until:
        return f"{extension.since} to {extension.until}"
    return f"since {extension.since}" if extension.since else f"up to {extension.until}" if extension.until else ""


def _megabytes(known: Catalog, extension: Extension) -> str:
    """``0.31``, or ``0.31 + 35.20`` with libraries; nothing where it was not measured."""
    cost = known.costs.get(extension.name)
    if cost is None:
        return ""
    code = f"{cost.code / _MEGABYTE:.2f}"
    return f"{code} + {cost.libraries / _MEGABYTE:.2f}" if cost.libraries else code


def _size(known: Catalog, extension: Extension) -> dict[str, int] | None:
    cost = known.costs.get(extension.name)
    return {"code": cost.code, "libraries": cost.libraries} if cost else None


def _sets(console: Console, known: Catalog) -> tuple[list[dict[str, Any]], Any]:
    rows = [(name, ", ".join(members) or "what is always in") for name, members in known.sets.items()]
    document = [{"name": name, "extensions": list(members)} for name, members in known.sets.items()]
    return document, console.table("set", "extensions", rows=rows)


def _targets(console: Console, known: Catalog) -> tuple[list[dict[str, Any]], Any]:
    def default(target: Target) -> bool:
        return target.name == known.default_target

    rows = [
        (target.name, target.lambda_runtime, target.glibc, "default" if default(target) else "")
        for target in known.targets.values()
    ]
    document = [
        {
            "name": target.name,
            "lambda_runtime": target.lambda_runtime,
            "glibc": target.glibc,
            "native_base": target.native_base,
            "default": default(target),
        }
        for target in known.targets.values()
    ]
    return document, console.table("target", "Lambda runtime", "glibc", "", rows=rows)


_LISTS: dict[str, Callable[[Console, Catalog], tuple[list[dict[str, Any]], Any]]] = {
    "versions": _versions,
    "extensions": _extensions,
    "sets": _sets,
    "targets": _targets,
}
