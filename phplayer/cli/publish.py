"""``phplayer publish``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.aws import Aws, Identity
    from phplayer.publishing import Outcome, Result
    from phplayer.settings import Settings

_GAP = 3  # columns between two cells of a table on a terminal

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be published, and change nothing.")]


def publish(
    context: typer.Context,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    output: options.Output = None,
    dry_run: DryRun = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Publish the built layers to your account.

    Every LayerVersionArn is recorded in the ledger. Content that is published already is not published again, so
    the same command also completes a publish that failed in some regions.
    """
    from phplayer import dist, publishing
    from phplayer import ledger as ledgers
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load(
        flags={
            "publish.regions": region or None,
            "publish.endpoint_url": endpoint_url,
            "publish.profile": profile,
            "publish.ledger": ledger and ledger.absolute(),
            "build.output": output and output.absolute(),
        }
    )
    archives = dist.archives(settings)
    ledger_path = settings.path("publish.ledger")
    recorded = ledgers.read(ledger_path)

    from phplayer.aws import Aws

    aws = Aws(profile=settings.text("publish.profile"), endpoint_url=settings.text("publish.endpoint_url"))
    regions = _regions(settings, aws)
    identity = aws.identity(regions[0])
    endpoint = aws.endpoint(regions[0])
    at = "" if endpoint == ledgers.AWS_ENDPOINT else f" at {endpoint}"
    console.note(f"Publishing to account {identity.account} as {identity.principal}{at}")

    steps = publishing.plan(archives, regions, recorded, endpoint=endpoint, account=identity.account)
    if dry_run:
        result = publishing.preview(steps, aws, listen=console.listen)
    else:
        result = publishing.execute(steps, aws, ledger_path, listen=console.listen)
    _report(console, result, identity, {"endpoint": endpoint, "ledger": str(ledger_path), "dry_run": dry_run})


def _regions(settings: Settings, aws: Aws) -> tuple[str, ...]:
    """Return where to publish: the settings, else where AWS's own configuration points."""
    from phplayer.aws import check_regions
    from phplayer.errors import UsageError

    names = settings.texts("publish.regions") or (os.environ.get("AWS_REGION") or aws.default_region,)
    if not names[0]:
        raise UsageError(
            "No region to publish to.",
            remedy="Pass --region eu-central-1 (repeatable), or set publish.regions in phplayer.toml, or AWS_REGION.",
        )
    return check_regions(names)


def _report(console: Console, result: Result, identity: Identity, document: dict[str, Any]) -> None:
    """Print what happened and end with the exit code that says whether all went well."""
    error = result.error
    document = {
        "account": identity.account,
        "principal": identity.principal,
        **document,
        "layers": [_layer(outcome) for outcome in result.outcomes],
    }
    if console.as_json and error is not None:
        console.result({**document, "error": console.error_document(error)})
        raise typer.Exit(error.exit_code)
    console.result(document, *_renderables(console, result))
    if error is not None:
        raise error


def _renderables(console: Console, result: Result) -> Iterator[Any]:
    """Yield the table; where the terminal is too narrow for them, the ARNs follow it, for a folded one is no use."""
    columns = ("layer", "region", "version", "what happened", "size", "ARN")
    rows = [_row(outcome) for outcome in result.outcomes]
    width = sum(max(len(cell) for cell in cells) + _GAP for cells in zip(columns, *rows, strict=True))
    if not console.out.is_terminal or width <= console.out.width:
        yield console.table(*columns, rows=rows)
        return
    yield console.table(*columns[:-1], rows=[row[:-1] for row in rows])
    yield "\n".join(str(outcome.arn) for outcome in result.outcomes if outcome.arn is not None)


def _row(outcome: Outcome) -> tuple[str, ...]:
    arn, place = outcome.arn, outcome.step.place
    version = str(arn.version) if arn is not None else "-"
    return (
        place.layer,
        place.region,
        version,
        outcome.happened,
        file_size(outcome.step.archive.size),
        str(arn) if arn is not None else "-",
    )


def _layer(outcome: Outcome) -> dict[str, Any]:
    arn, archive, error = outcome.arn, outcome.step.archive, outcome.error
    return {
        "layer": outcome.step.place.layer,
        "kind": archive.kind,
        "region": outcome.step.place.region,
        "version": arn.version if arn is not None else None,
        "arn": str(arn) if arn is not None else None,
        "size": archive.size,
        "code_sha256": archive.code_sha256,
        "happened": outcome.happened.name.lower(),
        "error": Console.error_document(error) if error is not None else None,
    }
