"""``phplayer inspect``.

Its document: ``archives``, each with ``path``, ``packed``, ``size``, ``unpacked``, ``files``, ``layer``, ``php``,
``warnings``, ``kinds`` (each ``kind``, ``files``, ``zipped``, ``unpacked``) and ``entries`` (each ``path``, ``kind``,
``package``, ``zipped``, ``unpacked``), all sizes in bytes; and ``html``, the page that was written.
"""

from __future__ import annotations

from itertools import compress
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.filetree import Line
    from phplayer.inspection import Content

_BAR = 20  # columns
_WIDE, _NARROW = 76, 56  # columns of a terminal that has room for the bars, and for the shares
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLUMNS = (11, 11, 8, _BAR + 3, 1)  # that each takes, with what rich leaves between them
_GOES_ON = str.maketrans("├└─", "│  ")  # the branches beside the second line of a row
_PLAIN = str.maketrans("├└│─", "|`|-")


def inspect(
    context: typer.Context,
    what: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ZIP|DIR]", help="A layer's zip or folder, or dist. [build.output]", show_default=False
        ),
    ] = None,
    *,
    depth: Annotated[int, typer.Option("--depth", "-d", min=0, help="Folders deep.")] = 2,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows in each folder; 0 for all.")] = 10,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with a treemap; it needs no network.")
    ] = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Show where a layer's bytes are."""
    from phplayer import inspection
    from phplayer.printable import printable
    from phplayer.settings import Settings

    console = Console.of(context)
    contents = inspection.read(what or Settings.load().path("build.output"))
    for content in contents:
        for warning in content.warnings:
            console.warn(f"{printable(str(content.path))}: {warning}.")
    if html is not None:
        from phplayer import treemap

        _write(html, treemap.page(contents))
    document = {"archives": [_document(content) for content in contents], "html": str(html) if html else None}
    if html is not None:
        console.result(document, str(html))
        return
    console.result(document, *(each for content in contents for each in _tree(console, content, depth, limit)))


def _write(path: Path, text: str) -> None:
    from phplayer.errors import UsageError

    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written.", remedy="Name a file in a folder that is there.")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _tree(console: Console, content: Content, depth: int, limit: int) -> Iterator[Any]:
    from phplayer import filetree
    from phplayer.printable import printable

    root = filetree.build(content.entries, name=printable(content.path.name))
    width = console.out.width if console.out.is_terminal else _WIDE
    shown = [True, True, width >= _NARROW, width >= _WIDE, True]
    room = width - sum(compress(_COLUMNS, shown)) if console.out.is_terminal else None
    rows = []
    for line in filetree.lines(root, depth=depth, limit=limit):
        share = line.zipped / root.zipped if root.zipped else 0.0
        origin = content.package_of(line.node.path) if line.node is not None and not line.node.children else ""
        rows.append(
            (
                file_size(line.zipped).rjust(8),
                file_size(line.size).rjust(8),
                f"{100 * share:3.0f} %",
                _bar(share, ascii_only=not console.draws),
                _name(line, origin, room, ascii_only=not console.draws),
            )
        )
    about = "" if content.packed else "about "
    files = f"{len(content.entries)} file{'' if len(content.entries) == 1 else 's'}"
    sizes = f"{about}{file_size(content.size)} zipped, {file_size(content.unpacked)} unpacked"
    yield f"{printable(str(content.path))}: {sizes}, {files}"
    columns = ("  zipped", "unpacked", "share", "", "file")
    yield console.table(*compress(columns, shown), rows=[tuple(compress(row, shown)) for row in rows])


def _name(line: Line, origin: str, room: int | None, *, ascii_only: bool) -> str:
    """Return a name with its branches; where a package takes more room than there is, it stands below the name."""
    text = f"{line.guide}{line.name}"
    if origin and room is not None and len(f"{text}  ({origin})") > room:
        goes_on = line.guide.translate(_GOES_ON)
        text += "".join(f"\n{goes_on}{part}" for part in wrap(f"({origin})", max(room - len(goes_on), 1)))
    elif origin:
        text += f"  ({origin})"
    return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode() if ascii_only else text


def _bar(share: float, *, ascii_only: bool) -> str:
    if ascii_only:
        return ("#" * round(share * _BAR)).ljust(_BAR)
    eighths = round(share * _BAR * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(_BAR)


def _document(content: Content) -> dict[str, Any]:
    from phplayer.inspection import Kind

    kinds = [(kind, [entry for entry in content.entries if entry.kind is kind]) for kind in Kind]
    return {
        "path": str(content.path),
        "packed": content.packed,
        "size": content.size,
        "unpacked": content.unpacked,
        "files": len(content.entries),
        "layer": content.manifest.layer if content.manifest else None,
        "php": content.manifest.php if content.manifest else None,
        "warnings": list(content.warnings),
        "kinds": [
            {
                "kind": kind.value,
                "files": len(entries),
                "zipped": sum(entry.zipped for entry in entries),
                "unpacked": sum(entry.size for entry in entries),
            }
            for kind, entries in kinds
            if entries
        ],
        "entries": [
            {
                "path": entry.path,
                "kind": entry.kind.value,
                "package": content.package_of(entry.path) or None,
                "zipped": entry.zipped,
                "unpacked": entry.size,
            }
            for entry in content.entries
        ],
    }
