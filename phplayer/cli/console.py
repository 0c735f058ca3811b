"""The terminal. This module alone uses rich.

stdout carries the result and nothing else; progress, notes, warnings and errors go to stderr. On a terminal they are
drawn with rich; in CI or a pipe they are plain lines. With ``--json`` the result, or the error, is one JSON document.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from phplayer.errors import INTERRUPTED
from phplayer.events import Event, Noted, PhaseAdvanced, PhaseFinished, PhaseStarted, SubjectFailed, Warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    import rich.console
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID
    from rich.table import Column
    from typer import Context

    from phplayer.errors import PhplayerError

SCHEMA_VERSION = 1
"""Of the JSON documents that commands print."""

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_WORTH_TELLING = 0.1  # seconds
_WIDE = 90  # columns of a terminal with room for a bar beside a build's name, its phase and the count
_PLAIN_INTERVAL = 15.0  # seconds between progress lines where nothing can be redrawn


class Console:
    """What commands write to."""

    def __init__(self, *, as_json: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.debug = debug
        self._answered = False  # whether the result is out: with --json nothing may follow it
        self._out: rich.console.Console | None = None
        self._err: rich.console.Console | None = None
        self._progress: Progress | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._told: dict[tuple[str, str], float] = {}

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Console:
        """Read ``--json`` and ``--debug`` before parsing, so that even a parse error obeys them."""
        before = list(arguments)
        if "--" in before:
            before = before[: before.index("--")]
        return cls(as_json="--json" in before, debug="--debug" in before or bool(os.environ.get("PHPLAYER_DEBUG")))

    @classmethod
    def of(cls, context: Context) -> Console:
        """Return the console that the boundary handed to the command."""
        console = context.obj
        return console if isinstance(console, cls) else cls()

    # -- results ------------------------------------------------------------------------------------------------

    def result(self, document: dict[str, Any], *renderables: RenderableType) -> None:
        """Print the command's result: the document with ``--json``, else the renderables."""
        self.close()
        self._answered = True
        if self.as_json:
            sys.stdout.write(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2) + "\n")
            sys.stdout.flush()
            return
        for renderable in renderables:
            self.out.print(renderable, markup=False, soft_wrap=isinstance(renderable, str))

    def raw(self, text: str) -> None:
        """Print text on stdout as it is: markup and wrapping would change it."""
        self.close()
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    @property
    def draws(self) -> bool:
        """Tell whether stdout can take more than ASCII."""
        return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

    def table(self, *columns: str, rows: Sequence[Sequence[str]]) -> RenderableType:
        """Make a table: ruled on a terminal (a narrow one folds cells, never cuts), aligned columns elsewhere."""
        if not self.out.is_terminal:
            return _aligned((columns, *rows))
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def titled(self, severity: str, title: str) -> RenderableType:
        """Make the heading of findings: how bad they are, in its colour, and what they are called."""
        from rich.text import Text

        return Text.assemble((severity, _COLOURS.get(severity, "")), " ", (title, "bold"))

    def hanging(self, text: str, *, indent: int) -> RenderableType:
        """Make a paragraph whose every line is indented; off a terminal it is one line."""
        from rich.padding import Padding
        from rich.text import Text

        return Padding(Text(text, overflow="fold"), (0, 0, 0, indent), expand=False)

    # -- progress, notes, warnings --------------------------------------------------------------------------------

    def listen(self, event: Event) -> None:
        """Draw an event of the domain."""
        if isinstance(event, Noted):
            self.note(event.message)
        elif isinstance(event, Warned):
            self.warn(event.message)
        elif isinstance(event, SubjectFailed):
            self._fail(event)
        elif self.err.is_terminal:
            self._draw(event)
        else:
            self._tell(event)

    def note(self, message: str) -> None:
        """Say something on stderr."""
        self.err.print(message, markup=False, highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Say something on stderr that the user may have to act on."""
        from rich.text import Text

        self.err.print(Text.assemble(("warning: ", "bold yellow"), message), soft_wrap=True)

    def error(self, error: PhplayerError, *, of: str = "") -> None:
        """Print what went wrong, what to do next and where the log is; ``of`` names the one of several things."""
        from rich.text import Text

        self.close()
        if self.as_json:
            document = {"schema_version": SCHEMA_VERSION, "error": self.error_document(error)}
            try:
                sys.stdout.write(json.dumps(document, indent=2) + "\n")
                sys.stdout.flush()
            except OSError:  # stdout itself may be what is wrong
                self.as_json = False
        if not self.as_json:
            for line in error.details:
                self.err.print(Text(f"  {line}", "dim"), soft_wrap=True)
            self.err.print(
                Text.assemble(("error: ", "bold red"), f"{of}: " if of else "", error.message), soft_wrap=True
            )
            if error.remedy:
                self.err.print(Text.assemble(("  fix: ", "bold green"), error.remedy), soft_wrap=True)
            if error.log:
                self.err.print(Text.assemble(("  log: ", "bold"), str(error.log)), soft_wrap=True)
        if self.debug:
            traceback.print_exception(error, file=sys.stderr)

    @staticmethod
    def error_document(error: PhplayerError) -> dict[str, Any]:
        """Return an error as JSON documents show it; a result that failed in part has it as a member."""
        return {
            "message": error.message,
            "remedy": error.remedy,
            "exit_code": error.exit_code,
            "log": str(error.log) if error.log else None,
            "details": list(error.details),
        }

    def interrupted(self) -> None:
        """Say that Ctrl-C was heard and that nothing is lost."""
        self.close()
        if self.as_json and self._answered:
            return
        if self.as_json:
            document = {"message": "Interrupted.", "remedy": "", "exit_code": INTERRUPTED, "log": None, "details": []}
            sys.stdout.write(json.dumps({"schema_version": SCHEMA_VERSION, "error": document}, indent=2) + "\n")
        else:
            self.note("Interrupted. What was finished is kept; run the same command to go on.")

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; without one the answer is no."""
        if not (sys.stdin.isatty() and self.err.is_terminal):
            return False
        self.err.print(f"{question} [y/N] ", end="", markup=False)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def close(self) -> None:
        """End the progress display, leaving what it shows."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()

    # -- drawing --------------------------------------------------------------------------------------------------

    @property
    def out(self) -> rich.console.Console:
        """Return rich's console on stdout. Off a terminal nothing is wrapped: a log or a pipe has no width."""
        if self._out is None:
            self._out = _console(sys.stdout)
        return self._out

    @property
    def err(self) -> rich.console.Console:
        """Return rich's console on stderr."""
        if self._err is None:
            self._err = _console(sys.stderr)
        return self._err

    def _draw(self, event: PhaseStarted | PhaseAdvanced | PhaseFinished) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if isinstance(event, PhaseFinished):
            task = self._tasks.pop((event.subject, event.phase), None)
            if self._progress is not None and task is not None:
                self._progress.remove_task(task)
            self._finish_line(event)
            if not self._tasks:
                self.close()
            return
        if self._progress is None:
            bar = (BarColumn(bar_width=24),) if self.err.width >= _WIDE else ()
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", table_column=_one_line()),
                *bar,
                TextColumn("{task.fields[count]}", table_column=_one_line()),
                TimeElapsedColumn(),
                console=self.err,
                transient=True,
            )
            self._progress.start()
        key = (event.subject, event.phase)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(_title(event), total=None, count="")
        if isinstance(event, PhaseAdvanced):
            self._progress.update(self._tasks[key], completed=event.done, total=event.total, count=_count(event))

    def _fail(self, event: SubjectFailed) -> None:
        """Take what the subject was doing off the display."""
        from rich.text import Text

        for key in [key for key in self._tasks if key[0] == event.subject]:
            task = self._tasks.pop(key)
            if self._progress is not None:
                self._progress.remove_task(task)
        for key in [key for key in self._told if key[0] == event.subject]:
            del self._told[key]
        mark = ("✗ ", "red") if self.err.is_terminal else ""
        line = Text.assemble(mark, f"{event.subject} failed: {event.message}", _seconds(event.seconds))
        self.err.print(line, soft_wrap=True)

    def _finish_line(self, event: PhaseFinished) -> None:
        from rich.text import Text

        self.err.print(
            Text.assemble(("✓ ", "green"), _title(event), "  ", (event.outcome, "dim"), _seconds(event.seconds)),
            soft_wrap=True,
        )

    def _tell(self, event: PhaseStarted | PhaseAdvanced | PhaseFinished) -> None:
        """Plain lines: each end, and while something is long, where it is."""
        key = (event.subject, event.phase)
        if isinstance(event, PhaseFinished):
            self._told.pop(key, None)
            self.note(f"{_title(event)}: {event.outcome}{_seconds(event.seconds)}")
        elif isinstance(event, PhaseStarted):
            self._told[key] = time.monotonic()
        elif time.monotonic() - self._told.get(key, 0.0) >= _PLAIN_INTERVAL:
            self._told[key] = time.monotonic()
            self.note(f"{_title(event)}: {_count(event)}")


def _one_line() -> Column:
    """Return a column that a narrow terminal cuts instead of folding: a display of several lines each would jump."""
    from rich.table import Column

    return Column(no_wrap=True, overflow="ellipsis")


def _console(stream: Any) -> rich.console.Console:
    from rich.console import Console as RichConsole

    plain = bool(os.environ.get("CI")) or not stream.isatty()
    return RichConsole(
        file=stream,
        force_terminal=False if plain else None,
        no_color=True if plain or os.environ.get("NO_COLOR") else None,
        width=10_000 if plain else None,
        highlight=False,
        emoji=False,
    )


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _title(event: PhaseStarted | PhaseAdvanced | PhaseFinished) -> str:
    return f"{event.subject} {event.phase}".strip()


def _count(event: PhaseAdvanced) -> str:
    if event.unit == "bytes":
        return file_size(event.done) + (f" of {file_size(event.total)}" if event.total else "")
    return f"{event.done} of {event.total} {event.unit}" if event.total else f"{event.done} {event.unit}"


def _seconds(seconds: float) -> str:
    return f"  {seconds:.1f} s" if seconds >= _WORTH_TELLING else ""


def file_size(size: int) -> str:
    """``12.3 MB`` or ``12.6 kB`` for a count of bytes, by the thousand as AWS states most of its limits."""
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1000:.1f} kB"  # noqa: PLR2004  0.1 MB
