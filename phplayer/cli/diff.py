"""``phplayer diff``.

Its document: ``differ``, and ``layers``, each with ``old`` and ``new`` (``path``, ``size``, ``unpacked``, ``files``),
``differences`` (each ``what``, ``name``, ``change``, ``old``, ``new``), ``files`` (each ``path``, ``kind``, ``change``,
``now``, ``old`` and ``new`` with ``zipped`` and ``unpacked`` or null) and ``same_files``. ``now`` is ``executable``,
``not executable``, ``a link``, ``no link`` or null. All sizes are in bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.comparison import Comparison, FileDifference
    from phplayer.inspection import Content

_DIFFERENT = 1  # the exit code of git diff --exit-code


def diff(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A layer's zip or folder.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.", show_default=False)],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Files to name; 0 for all.")] = 15,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 where they differ, as git does.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Compare two layers.

    What differs in versions, extensions, libraries, Composer packages, files and sizes. Layers that phplayer did not
    build are compared by their files.
    """
    from phplayer import comparison
    from phplayer.printable import printable

    console = Console.of(context)
    found = comparison.compare(old, new)
    for content in (side for each in found for side in (each.old, each.new)):
        for warning in content.warnings:
            console.warn(f"{printable(str(content.path))}: {warning}.")
    differ = any(each.differ for each in found)
    document = {"differ": differ, "layers": [_document(each) for each in found]}
    console.result(document, *(part for each in found for part in _renderables(console, each, limit)))
    if exit_code and differ:
        raise typer.Exit(_DIFFERENT)


def _renderables(console: Console, found: Comparison, limit: int) -> Iterator[Any]:
    from phplayer.printable import printable

    yield console.table("", "old", "new", "", rows=list(_sizes(found)))
    if found.differences:
        rows = [
            (each.change.value, each.what, printable(each.name), printable(each.old) or "-", printable(each.new) or "-")
            for each in found.differences
        ]
        yield console.table("", "what", "name", "old", "new", rows=rows)
    if found.files:
        shown = found.files[:limit] if limit else found.files
        rows = [
            (
                each.change.value,
                printable(each.path) + (f"  (now {each.mode})" if each.mode else ""),
                _size(each.old_zipped),
                _size(each.new_zipped),
                _more(each.growth),
            )
            for each in shown
        ]
        rest = found.files[len(shown) :]
        if rest:
            rows.append(("", f"{len(rest)} more", "", "", _more(sum(each.growth for each in rest))))
        yield console.table("", "file", "old, zipped", "new, zipped", "more", rows=rows)
    if not found.differ:
        yield f"No difference: {found.same_files} files are the same."


def _sizes(found: Comparison) -> Iterator[tuple[str, str, str, str]]:
    old, new = found.old, found.new
    yield "", str(old.path), str(new.path), ""
    before, after = (("" if each.packed else "about ") + file_size(each.size) for each in (old, new))
    yield "zipped", before, after, _more(new.size - old.size)
    yield "unpacked", file_size(old.unpacked), file_size(new.unpacked), _more(new.unpacked - old.unpacked)
    more = len(new.entries) - len(old.entries)
    yield "files", str(len(old.entries)), str(len(new.entries)), f"{more:+}" if more else ""


def _size(size: int | None) -> str:
    return "-" if size is None else file_size(size)


def _more(growth: int) -> str:
    """``+1.2 MB``, ``-0.3 kB``, or nothing."""
    return f"{'+' if growth > 0 else '-'}{file_size(abs(growth))}" if growth else ""


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "old": _side(found.old),
        "new": _side(found.new),
        "differences": [
            {
                "what": each.what,
                "name": each.name,
                "change": each.change.value,
                "old": each.old or None,
                "new": each.new or None,
            }
            for each in found.differences
        ],
        "files": [_file(each) for each in found.files],
        "same_files": found.same_files,
    }


def _side(content: Content) -> dict[str, Any]:
    return {
        "path": str(content.path),
        "size": content.size,
        "unpacked": content.unpacked,
        "files": len(content.entries),
    }


def _file(each: FileDifference) -> dict[str, Any]:
    old, new = ((each.old_zipped, each.old_size), (each.new_zipped, each.new_size))
    shown = [None if size is None else {"zipped": zipped, "unpacked": size} for zipped, size in (old, new)]
    return {
        "path": each.path,
        "kind": each.kind.value,
        "change": each.change.value,
        "now": each.mode or None,
        "old": shown[0],
        "new": shown[1],
    }
