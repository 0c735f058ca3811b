"""``phplayer layers``: the versions that exist.

Documents. Each has ``account``, ``principal``, ``endpoint``, ``ledger``; where something failed, ``failures`` (each
``where`` and an error's members) and ``error``. The list has ``drift`` (whether AWS and the ledger differ) and
``versions`` (each ``layer``, ``region``, ``version``, ``arn``, ``state``, ``current``, ``in_use``, ``size`` in bytes,
``description``). ``prune`` has ``dry_run`` and ``versions`` (each ``layer``, ``region``, ``version``, ``arn``,
``fate``, ``shared_with``); ``equalize`` has ``dry_run`` and ``layers`` (each ``layer``, ``region``, ``version``,
``goal``, ``happened``); ``unshare`` has ``dry_run`` and ``shares`` (each ``layer``, ``region``, ``version``,
``audience``); ``keep`` has ``versions`` (ARNs) and ``in_use``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size
from phplayer.cli.layers_rows import (
    advice_on,
    numbered,
    share_document,
    share_row,
    step_document,
    step_rows,
    table_of,
    verdict_document,
    verdict_row,
    version_document,
    with_done,
)
from phplayer.cli.layers_session import Session

app = typer.Typer(help="List the published versions; bring them in line, unshare and prune them.")

Arns = Annotated[list[str], typer.Argument(metavar="ARN...", help="Recorded LayerVersionArns.")]
Keep = Annotated[int, typer.Option("--keep", metavar="N", min=1, help="Newest versions to keep of each layer.")]
Shared = Annotated[bool, typer.Option("--shared", help="Delete versions that others may use, too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]


@app.callback(invoke_without_command=True)
def _layers(
    context: typer.Context,
    *,
    layer: options.LayerPatterns = None,
    region: options.RecordedRegion = None,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """List the published versions; bring them in line, unshare and prune them.

    Without a command it lists them, as `phplayer layers list` does.
    """
    from phplayer.errors import UsageError

    if context.invoked_subcommand is None:
        show(context, layer=layer, region=region, endpoint_url=endpoint_url, profile=profile, ledger=ledger)
    elif layer or region or endpoint_url or profile or ledger:
        name = context.invoked_subcommand
        raise UsageError("Options stand behind the command.", remedy=f"phplayer layers {name} --layer ... --region ...")


@app.command("list")
def show(
    context: typer.Context,
    *,
    layer: options.LayerPatterns = None,
    region: options.RecordedRegion = None,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """List recorded and remote versions and say where they differ."""
    from phplayer.inventory import listing, regionwise

    console = Console.of(context)
    session = Session.open(console, endpoint_url, profile, ledger, "Looking at")
    places = session.all_places(options.split(layer) or (), options.split(region) or ())
    found = listing.look(places, session.recorded, session.aws, listen=console.listen)
    document = {"drift": bool(found.drift), "versions": [version_document(each) for each in found.versions]}
    columns = ("layer", "region", "version", "state", "size")
    rows = [
        (each.place.layer, each.place.region, numbered(each), each.state, file_size(each.size) if each.size else "-")
        for each in found.versions
    ]
    error = regionwise.failure_of(found.failures, total=found.places, what="layers in a region")
    session.finish(document, error, found.failures, console.table(*columns, rows=rows) if rows else None)
    if found.drift:
        console.note(f"{len(found.drift)} of {len(found.versions)} versions differ. {advice_on(found.drift)}")
    elif rows:
        console.note(f"{len(rows)} version{'' if len(rows) == 1 else 's'}, all as recorded.")
    else:
        console.note("There is no version of these layers.")
    if session.strangers:
        console.note(f"Left out: {session.strangers} recorded at other endpoints or in other accounts.")
    session.end(error)


@app.command()
def prune(
    context: typer.Context,
    *,
    keep: Keep = 5,
    shared: Shared = False,
    layer: options.LayerPatterns = None,
    region: options.RecordedRegion = None,
    dry_run: DryRun = False,
    yes: options.Yes = False,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Delete old versions.

    Of each layer in each region the newest stay. So does the current version, one that a function of the account
    uses, one marked with `layers keep`, one that is shared, and what phplayer did not make.
    """
    from phplayer.inventory import pruning, regionwise

    console = Console.of(context)
    session = Session.open(console, endpoint_url, profile, ledger, "Pruning in")
    places = session.recorded_places(options.split(layer) or (), options.split(region) or ())
    result = pruning.plan(places, session.recorded, session.aws, keep=keep, shared=shared, listen=console.listen)
    what, regions, failures = result.verdicts, result.regions, result.failures
    gone = len(result.doomed)
    if any(verdict.shared_with for verdict in result.doomed):
        console.warn("Functions of other accounts may use the shared versions: AWS does not tell.")
    if gone and not dry_run:
        session.confirm(
            table_of(console, ("layer", "region", "version", "what happens"), [verdict_row(v) for v in what]),
            f"Delete {gone} layer version{'' if gone == 1 else 's'}? This cannot be undone.",
            yes=yes,
        )
        done = pruning.execute(result, session.aws, session.ledger_path, listen=console.listen)
        stayed = tuple(verdict for verdict in what if verdict not in result.doomed)
        order = {(each.place, each.version): number for number, each in enumerate(what)}
        what = tuple(sorted((*stayed, *done.verdicts), key=lambda each: order[each.place, each.version]))
        failures = (*failures, *done.failures)
    done_so_far = any(verdict.fate in {pruning.Fate.DELETED, pruning.Fate.FORGOTTEN} for verdict in what)
    error = regionwise.failure_of(failures, total=regions, what="regions", in_part=done_so_far)
    rows = [verdict_row(verdict) for verdict in what]
    table = table_of(console, ("layer", "region", "version", "what happens" if dry_run else "what happened"), rows)
    session.finish({"dry_run": dry_run, "versions": [verdict_document(each) for each in what]}, error, failures, table)
    if not gone and not failures:
        console.note("Nothing to delete.")
    if any(verdict.fate is pruning.Fate.SHARED for verdict in what):
        console.note("Shared versions stay: functions of other accounts may use them. To delete them, too: --shared")
    session.end(error)


@app.command()
def equalize(
    context: typer.Context,
    *,
    layer: options.LayerPatterns = None,
    region: options.RecordedRegion = None,
    dry_run: DryRun = False,
    yes: options.Yes = False,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    output: options.Output = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Bring version numbers in line across regions.

    The same content is published again where the number is behind: the one exception to the rule that unchanged
    content is not published twice. Permissions are those of a new version: share it again.
    """
    from phplayer.inventory import equalizing, regionwise
    from phplayer.inventory.content import Republisher

    console = Console.of(context)
    session = Session.open(console, endpoint_url, profile, ledger, "Bringing versions in line in", output=output)
    places = session.recorded_places(options.split(layer) or (), options.split(region) or ())
    result = equalizing.plan(places, session.recorded, session.aws, listen=console.listen)
    steps, failures = result.steps, result.failures
    if result.pending and not dry_run:
        count = sum(step.goal - step.newest for step in result.pending)
        if count:
            session.confirm(
                table_of(console, ("layer", "region", "version", "goal", "what happens"), step_rows(steps)),
                f"Publish unchanged content again, {count} time{'' if count == 1 else 's'}?",
                yes=yes,
            )
        with Republisher(session.settings, session.aws) as republisher:
            done = equalizing.execute(result, republisher.publish, session.ledger_path, listen=console.listen)
        steps, failures = with_done(result, done), (*failures, *done.failures)
    error = regionwise.failure_of(failures, total=result.places, what="layers in a region")
    document = {"dry_run": dry_run, "layers": [step_document(step) for step in steps]}
    table = table_of(console, ("layer", "region", "version", "goal", "what happened"), step_rows(steps))
    session.finish(document, error, failures, table)
    if not result.pending and not failures:
        console.note("All numbers are in line.")
    session.end(error)


@app.command()
def unshare(
    context: typer.Context,
    who: Annotated[
        list[str] | None, typer.Argument(metavar="[WHO]...", help="From account:NUMBER or org:ID.", show_default=False)
    ] = None,
    *,
    public: Annotated[bool, typer.Option("--public", help="From everybody.")] = False,
    layer: options.LayerPatterns = None,
    region: options.RecordedRegion = None,
    dry_run: DryRun = False,
    yes: options.Yes = False,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Take back what was shared.

    It works on all versions of the recorded layers. Functions that use a version already keep it.
    """
    from phplayer.aws import read_audiences
    from phplayer.errors import UsageError
    from phplayer.inventory import regionwise, unsharing

    console = Console.of(context)
    audiences = read_audiences(options.split(who) or (), public=public)
    if not audiences:
        raise UsageError("Nobody to take a share back from.", remedy="Name account:NUMBER or org:ID, or pass --public.")
    session = Session.open(console, endpoint_url, profile, ledger, "Unsharing in")
    places = session.recorded_places(options.split(layer) or (), options.split(region) or ())
    found = unsharing.find(places, frozenset(audiences), session.aws, listen=console.listen)
    shares, failures = found.shares, found.failures
    if found.others:
        console.warn(f"Left as they are, for they are more than a share with one: {'; '.join(found.others)}.")
    columns = ("layer", "region", "version", "shared with" if dry_run else "no longer shared with")
    if shares and not dry_run:
        plan = table_of(console, ("layer", "region", "version", "shared with"), [share_row(each) for each in shares])
        session.confirm(plan, f"Take back {len(shares)} share{'' if len(shares) == 1 else 's'}?", yes=yes)
        done = unsharing.remove(shares, session.aws, listen=console.listen)
        shares, failures = done.shares, (*failures, *done.failures)
    in_part = bool(shares) and not dry_run
    error = regionwise.failure_of(failures, total=found.places, what="layers in a region", in_part=in_part)
    document = {"dry_run": dry_run, "shares": [share_document(each) for each in shares]}
    session.finish(document, error, failures, table_of(console, columns, [share_row(each) for each in shares]))
    if not found.shares and not failures:
        console.note(f"Nothing is shared with {', '.join(str(each) for each in sorted(audiences))}.")
    session.end(error)


@app.command("keep")
def mark(
    context: typer.Context,
    arns: Arns,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take the mark away again.")] = False,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Mark versions in use, so that prune never deletes them.

    For versions that functions of other accounts use. Only the ledger is written.
    """
    from phplayer.inventory import marking
    from phplayer.settings import Settings

    console = Console.of(context)
    path = Settings.load(flags={"publish.ledger": ledger and ledger.absolute()}).path("publish.ledger")
    marked = marking.mark(path, arns, in_use=not undo)
    console.result({"ledger": str(path), "versions": list(marked), "in_use": not undo}, "\n".join(marked))
