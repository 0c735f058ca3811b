"""The command line: parses, calls one use case, renders its result.

This module is the one boundary where errors become messages and exit codes. Command modules import the domain
inside their functions: ``phplayer --help`` must not pay for libraries that it does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from phplayer import termination
from phplayer.cli import (
    arns,
    build,
    catalog,
    ci,
    clean,
    diff,
    doctor,
    iam_policy,
    init,
    inspect,
    invoke,
    layers,
    ledger,
    new_function,
    options,
    publish,
    verify,
)
from phplayer.cli.console import Console
from phplayer.cli.failures import as_error
from phplayer.errors import INTERRUPTED, PhplayerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="phplayer",
    help="Build the PHP you ask for as AWS Lambda layers, publish them to your account, run functions on them.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would double the time until it is there
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(init.init)
app.command()(build.build)
app.command()(verify.verify)
app.command()(publish.publish)
app.command()(arns.arns)
app.command()(iam_policy.iam_policy)
app.command()(new_function.new_function)
app.command()(invoke.invoke)
app.command()(inspect.inspect)
app.command()(diff.diff)
app.command()(doctor.doctor)
app.command()(clean.clean)
app.add_typer(catalog.app, name="catalog")
app.add_typer(ci.app, name="ci")
app.add_typer(layers.app, name="layers")
app.add_typer(ledger.app, name="ledger")


@app.callback()
def _root(_version: options.Version = False) -> None:
    """Build the PHP you ask for as AWS Lambda layers, publish them to your account, run functions on them."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors are printed here and nowhere else."""
    console = Console.from_arguments(arguments)
    termination.heed()
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="phplayer", standalone_mode=False, obj=console)
    except PhplayerError as error:
        return _report(console, error)
    except typer.TyperException as error:
        return _report(console, _as_usage_error(error))
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  the boundary: whatever it is, the user gets a sentence and a code
        return _report(console, as_error(error))
    finally:
        console.close()
    if code == INTERRUPTED:
        console.interrupted()
    return int(code or 0)


def _report(console: Console, error: PhplayerError) -> int:
    console.error(error)
    return error.exit_code


def _as_usage_error(error: typer.TyperException) -> UsageError:
    """Typer's own complaint, in our form."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "phplayer"
    return UsageError(message, remedy=f"See: {command} --help")
