"""What ``phplayer build`` prints: a table of archives, or its document."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import typer

from phplayer.cli.console import Console, file_size
from phplayer.cli.failures import as_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.batch import Outcome
    from phplayer.building import BuiltLayer

_COLUMNS = ("build", "layer", "archive", "zipped", "unpacked", "sha256", "time", "")
_GAP = 3  # columns of a terminal between two cells of a table


def report(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print what was built and end with the code of the first failure, if any."""
    failed = [(outcome.runtime.identifier, as_error(outcome.error)) for outcome in outcomes if outcome.error]
    if failed and len(outcomes) == 1:
        raise failed[0][1]
    document: dict[str, Any] = {"builds": [_build(outcome) for outcome in outcomes]}
    if failed:
        document["error"] = console.error_document(failed[0][1])
    console.result(document, _table(console, outcomes))
    for identifier, error in failed:
        if not console.as_json:
            console.error(error, of=identifier)
    if failed:
        raise typer.Exit(failed[0][1].exit_code)
    if all(layer.up_to_date for outcome in outcomes if outcome.result for layer in outcome.result.layers):
        names = ", ".join(outcome.runtime.identifier for outcome in outcomes)
        console.note(f"{names} {'are' if len(outcomes) > 1 else 'is'} up to date: nothing to do.")


def _table(console: Console, outcomes: Sequence[Outcome]) -> Any:
    """One row per archive, with the columns that fit into the terminal unfolded; a file or a pipe gets them all."""
    rows = [row for outcome in outcomes for row in _rows(outcome)]
    leave_out = {"build", "time"} if len(outcomes) == 1 else set()
    for dropped in ((), ("unpacked",), ("archive",), ("layer",), ("",)):
        leave_out.update(dropped)
        shown = [number for number, name in enumerate(_COLUMNS) if name not in leave_out]
        cells = [tuple(row[number] for number in shown) for row in (_COLUMNS, *rows)]
        if not console.out.is_terminal or sum(map(max, _widths(cells))) <= console.out.width:
            break
    return console.table(*cells[0], rows=cells[1:])


def _widths(rows: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    return ([len(cell) + _GAP for cell in column] for column in zip(*rows, strict=True))


def _rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    if outcome.result is None:
        yield (outcome.runtime.identifier, "-", "-", "failed", "-", "-", _time(outcome.seconds), "failed")
        return
    for number, layer in enumerate(outcome.result.layers):
        yield (
            outcome.runtime.identifier,
            layer.archive.manifest.layer,
            os.path.relpath(layer.archive.path),
            file_size(layer.archive.size),
            file_size(layer.archive.unpacked),
            layer.archive.sha256[:12],
            _time(outcome.seconds) if number == 0 else "",
            "up to date" if layer.up_to_date else "built",
        )


def _time(seconds: float) -> str:
    """``4:05``, or ``2.3 s`` for less than a minute."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes else f"{seconds:.1f} s"


def _build(outcome: Outcome) -> dict[str, Any]:
    result, error = outcome.result, outcome.error
    return {
        "identifier": outcome.runtime.identifier,
        "php": str(outcome.runtime.php),
        "target": outcome.runtime.target.name,
        "architecture": outcome.runtime.architecture,
        "directory": str(result.folder) if result else None,
        "seconds": round(outcome.seconds, 3),
        "layers": [_layer(layer) for layer in result.layers] if result else [],
        "error": Console.error_document(as_error(error)) if error else None,
    }


def _layer(layer: BuiltLayer) -> dict[str, Any]:
    archive = layer.archive
    return {
        "kind": archive.kind,
        "layer": archive.manifest.layer,
        "path": str(archive.path),
        "key": archive.manifest.key,
        "size": archive.size,
        "unpacked": archive.unpacked,
        "sha256": archive.sha256,
        "up_to_date": layer.up_to_date,
    }
