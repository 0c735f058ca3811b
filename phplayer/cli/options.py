"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phplayer import __version__


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"phplayer {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
]

# Both are read from the arguments before they are parsed (Console.from_arguments), so that a mistake in the
# arguments is reported in the form that was asked for. Here they only have to be known.
Json = Annotated[bool, typer.Option("--json", help="Print the result, or the error, as JSON on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print a traceback with an error.")]

Php = Annotated[
    list[str] | None,
    typer.Option("--php", metavar="VERSION", help="Branch or exact version; repeatable. [php.version]"),
]
Arch = Annotated[
    list[str] | None,
    typer.Option("--arch", metavar="ARCH", help="x86_64, arm64 or all; repeatable. [build.arch]"),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="IDENTIFIER",
        help="Of all versions and architectures, these alone; patterns such as 'php84-*'; repeatable.",
    ),
]

Region = Annotated[
    list[str] | None,
    typer.Option("--region", "-r", metavar="REGION", help="Region or pattern ('eu-*'); repeatable. [publish.regions]"),
]
AllRegions = Annotated[bool, typer.Option("--all-regions", help="Every region that the account has opted into.")]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="Another endpoint than AWS. [publish.endpoint_url]"),
]
Profile = Annotated[str | None, typer.Option("--profile", help="AWS profile. [publish.profile]")]
Ledger = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="Record of published layers. [publish.ledger]")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Account = Annotated[
    str | None, typer.Option("--account", metavar="ID", help="Account of the layers, where several are recorded.")
]
LayerPatterns = Annotated[
    list[str] | None,
    typer.Option("--layer", metavar="NAME", help="Only these layers; patterns such as 'php-84-*'; repeatable."),
]
RecordedRegion = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        "-r",
        metavar="REGION",
        help="Only these of the recorded regions; patterns such as 'eu-*'; repeatable.",
    ),
]
RecordedPhp = Annotated[
    list[str] | None,
    typer.Option("--php", metavar="VERSION", help="Only layers of this branch or exact version; repeatable."),
]
RecordedArch = Annotated[
    list[str] | None, typer.Option("--arch", metavar="ARCH", help="Only layers for x86_64 or arm64; repeatable.")
]
Ssm = Annotated[
    str | None,
    typer.Option(
        "--ssm", metavar="PATTERN", help="Names of parameters in Parameter Store: /php/{name}/{arch}, {php}, {kind}."
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the archives. [build.output]")
]

Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="FINDING", help="Do not refuse for it, by name; repeatable. [policy.allow]"),
]


def split(values: list[str] | None) -> tuple[str, ...] | None:
    """Return the values of a repeatable flag, each of which may itself be a list: ``-e a -e b,c`` -> a, b, c."""
    if not values:
        return None
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())
