"""``phplayer publish``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import interruption, options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from phplayer.aws import Aws, Identity
    from phplayer.errors import PhplayerError
    from phplayer.publishing import Outcome, Result, Step
    from phplayer.publishing.destination import Destination
    from phplayer.settings import Settings

_GAP = 3  # columns between two cells of a table on a terminal

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be published, and change nothing.")]
Bucket = Annotated[
    str | None,
    typer.Option("--s3-bucket", metavar="NAME", help="For archives over 50 MB; {region}, {account}. [publish.bucket]"),
]
CreateBucket = Annotated[bool, typer.Option("--create-bucket", help="Make the bucket where it is missing.")]
KeepUpload = Annotated[bool, typer.Option("--keep-upload", help="Leave the archive in the bucket.")]
Share = Annotated[
    list[str] | None,
    typer.Option("--share", metavar="WHO", help="Let account:NUMBER or org:ID use the layers; repeatable."),
]
Public = Annotated[bool, typer.Option("--public", help="Let everybody use the layers; asks before.")]
Verify = Annotated[
    bool | None,
    typer.Option("--verify/--no-verify", help="Download and compare what AWS has. [default: with --public]"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def publish(
    context: typer.Context,
    region: options.Region = None,
    all_regions: options.AllRegions = False,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    output: options.Output = None,
    s3_bucket: Bucket = None,
    create_bucket: CreateBucket = False,
    keep_upload: KeepUpload = False,
    allow: options.Allow = None,
    share: Share = None,
    public: Public = False,
    verify: Verify = None,
    yes: Yes = False,
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
    from phplayer.aws import read_audiences
    from phplayer.publishing import soundness
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load(
        flags={
            "publish.regions": options.split(region),
            "publish.endpoint_url": endpoint_url,
            "publish.profile": profile,
            "publish.ledger": ledger and ledger.absolute(),
            "publish.bucket": s3_bucket,
            "policy.allow": options.split(allow),
            "build.output": output and output.absolute(),
        }
    )
    audiences = read_audiences(options.split(share) or (), public=public)
    archives = dist.archives(settings)
    for archive in archives:
        soundness.check(archive)
    ledger_path = settings.path("publish.ledger")
    recorded = ledgers.read(ledger_path)

    from phplayer.aws import Aws

    aws = Aws.of(settings)
    with aws.layers.getting_ready() as get_ready:
        where = _destination(console, settings, aws, get_ready, all_regions=all_regions)
        steps = publishing.plan(
            archives,
            where.regions,
            recorded,
            endpoint=where.endpoint,
            account=where.identity.account,
            bucket=settings.text("publish.bucket"),
            audiences=audiences,
        )
        missing = dict.fromkeys(step.place.region for step in steps if step.recorded is None)
        if missing and not dry_run:
            ledgers.check_writable(ledger_path)
            get_ready(missing, publish=True)
        _check_policy(settings, steps, also_recorded=public if verify is None else verify)
        if public and not dry_run and not yes:
            _confirm_public(console, where, steps)
        with interruption.stopping(console) as stopping:
            terms = publishing.Terms(
                home=where.home,
                create_bucket=create_bucket,
                keep_upload=keep_upload,
                verify=public if verify is None else verify,
                patience=settings.number("publish.patience"),
                stopping=stopping,
            )
            if dry_run:
                result = publishing.preview(steps, aws, terms=terms, listen=console.listen)
            else:
                result = publishing.execute(steps, aws, ledger_path, terms=terms, listen=console.listen)
    document = {"endpoint": where.endpoint, "ledger": str(ledger_path), "dry_run": dry_run}
    _report(console, result, where.identity, document, stopped=stopping.is_set())


def _destination(
    console: Console,
    settings: Settings,
    aws: Aws,
    get_ready: Callable[..., None],
    *,
    all_regions: bool,
) -> Destination:
    """Find out where to publish and say as whom: the settings, else where AWS's own configuration points."""
    from phplayer import ledger
    from phplayer.aws import regions
    from phplayer.errors import UsageError
    from phplayer.publishing.destination import destination

    default = os.environ.get("AWS_REGION") or aws.default_region
    names = ("*",) if all_regions else options.split(list(settings.texts("publish.regions"))) or (default,)
    if not names[0]:
        raise UsageError(
            "No region to publish to.",
            remedy="Pass --region eu-central-1 (repeatable, or a pattern such as 'eu-*') or --all-regions, or set "
            "publish.regions in phplayer.toml, or AWS_REGION.",
        )
    get_ready([name for name in names if name in regions()])  # while AWS says who we are
    where = destination(names, aws, default=default, listen=console.listen)
    get_ready(where.regions)
    at = "" if where.endpoint == ledger.AWS_ENDPOINT else f" at {where.endpoint}"
    several = f", {len(where.regions)} regions" if len(where.regions) > 1 else f", {where.regions[0]}"
    console.note(f"Publishing to account {where.identity.account} as {where.identity.principal}{at}{several}")
    return where


def _check_policy(settings: Settings, steps: Sequence[Step], *, also_recorded: bool) -> None:
    """Refuse what would not run on live Lambda, before anything is sent. What is recorded was checked before."""
    from phplayer import catalog, verifying
    from phplayer.runtime import Architecture

    archives = {step.archive.path: step.archive for step in steps if also_recorded or step.recorded is None}
    for path, archive in archives.items():
        findings = verifying.verify_archive(
            path,
            target=catalog.load().target(archive.manifest.target),
            architecture=Architecture(archive.manifest.architecture),
            allow=settings.texts("policy.allow"),
        )
        verifying.refuse(findings, what=str(path))


def _confirm_public(console: Console, where: Destination, steps: Sequence[Step]) -> None:
    """Have it confirmed that everybody may use the layers, and where."""
    from phplayer.errors import UsageError

    layers = ", ".join(dict.fromkeys(step.place.layer for step in steps))
    question = f"Let EVERY AWS account use {layers} in {', '.join(where.regions)}?"
    if not console.confirm(question):
        raise UsageError("Nothing was published: --public was not confirmed.", remedy="Answer y, or pass --yes.")


def _report(console: Console, result: Result, identity: Identity, document: dict[str, Any], *, stopped: bool) -> None:
    """Print what happened and end with the exit code that says whether all went well."""
    error = _stopped(result) if stopped else result.error
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


def _stopped(result: Result) -> PhplayerError:
    """Return what the command ends with after Ctrl-C."""
    from phplayer.errors import StoppedError

    undone = len(result.not_started) + len(result.failures)
    return StoppedError(
        f"Interrupted: {undone} of {len(result.outcomes)} layer versions are not published."
        if undone
        else "Interrupted, but every layer version had been under way and is published.",
        remedy="Run the same command to go on: what is published is recorded and not published again.",
        details=result.error.details if result.error is not None else (),
    )


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
        outcome.told,
        file_size(outcome.step.archive.size),
        str(arn) if arn is not None else "-",
    )


def _layer(outcome: Outcome) -> dict[str, Any]:
    arn, step, error = outcome.arn, outcome.step, outcome.error
    return {
        "layer": step.place.layer,
        "kind": step.archive.kind,
        "region": step.place.region,
        "version": arn.version if arn is not None else None,
        "arn": str(arn) if arn is not None else None,
        "size": step.archive.size,
        "code_sha256": step.archive.code_sha256,
        "happened": outcome.happened.name.lower(),
        "remarks": list(outcome.remarks),
        "upload": str(step.upload) if step.upload is not None and outcome.is_new else None,
        "error": Console.error_document(error) if error is not None else None,
    }
