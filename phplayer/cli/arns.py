"""``phplayer arns``.

Its document: ``format``, ``text`` and ``layers`` (each ``layer``, ``kind``, ``php``, ``architecture``, ``account``,
``region``, ``version``, ``arn``). With ``--ssm`` it is ``dry_run`` and ``parameters`` (each ``region``, ``name``,
``value``, ``happened``) instead; where something failed, ``failures`` (each ``where`` and an error's members) and
``error``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.ledger import Entry
    from phplayer.settings import Settings

FORMS = ("env", "json", "sam", "cloudformation-mappings", "terraform", "cdk", "serverless", "ssm")
"""Those of ``phplayer.arns.Form``, which the help must not load; a test holds them together."""

Format = Annotated[
    str | None, typer.Option("--format", "-f", metavar="FORMAT", help=f"One of: {', '.join(FORMS)}. [env]")
]


def arns(
    context: typer.Context,
    *,
    form: Format = None,
    layer: options.LayerPatterns = None,
    region: options.RecordedRegion = None,
    php: options.RecordedPhp = None,
    arch: options.RecordedArch = None,
    account: options.Account = None,
    ssm: options.Ssm = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --ssm: say what would be written.")] = False,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Print the recorded ARNs for another tool.

    Of each layer in each region it is the version that the last publish settled on. Nothing is asked of AWS, but with
    --ssm the ARNs are written to Parameter Store, each in its region (--format ssm prints the commands instead).
    """
    from phplayer import arns as domain
    from phplayer import ledger as ledgers
    from phplayer.aws import Audience
    from phplayer.errors import UsageError, did_you_mean
    from phplayer.parameters import DEFAULT_PATTERN
    from phplayer.settings import Settings

    console = Console.of(context)
    if ssm and form not in {None, domain.Form.SSM}:
        raise UsageError(f"--ssm writes parameters, and --format {form} prints.", remedy="Pass one of them.")
    if dry_run and (not ssm or form is not None):
        raise UsageError("--dry-run is for --ssm without --format: all else only prints.", remedy="Leave it out.")
    wanted = form or domain.Form.ENV.value
    if wanted not in FORMS:
        raise UsageError(
            f"Unknown format {wanted!r}.", remedy=f"{did_you_mean(wanted, FORMS)}Known: {', '.join(FORMS)}."
        )
    settings = Settings.load(
        flags={
            "publish.endpoint_url": endpoint_url,
            "publish.profile": profile,
            "publish.ledger": ledger and ledger.absolute(),
        }
    )
    filters = domain.Filters(
        account=Audience.account(account).name if account else "",
        layers=options.split(layer) or (),
        regions=options.split(region) or (),
        architectures=_architectures(options.split(arch) or ()),
        php=options.split(php) or (),
    )
    recorded = ledgers.read(settings.path("publish.ledger"))
    chosen = domain.select(recorded, filters, endpoint=_endpoint(settings))
    if ssm and form is None:
        _write(console, settings, chosen, ssm, dry_run=dry_run)
        return
    text = domain.render(domain.Form(wanted), chosen, ssm_pattern=ssm or DEFAULT_PATTERN)
    if console.as_json:
        console.result({"format": wanted, "text": text, "layers": [_layer(entry) for entry in chosen]})
    else:
        console.raw(text)


def _write(console: Console, settings: Settings, entries: Sequence[Entry], pattern: str, *, dry_run: bool) -> None:
    """Write the ARNs to Parameter Store and report.

    Raises:
        PhplayerError: the pattern names no parameters, or a region refused.

    """
    from phplayer.aws import Aws
    from phplayer.inventory import parameter_store, regionwise
    from phplayer.parameters import parameters

    aws = Aws.of(settings)
    wanted = parameters(entries, pattern)
    identity = aws.identity(wanted[0].region)
    console.note(f"Writing parameters of account {identity.account} as {identity.principal}")
    others = sorted({entry.account for entry in entries} - {identity.account})
    if others:
        console.warn(f"The layers are of account {', '.join(others)}: they have to be shared with this one.")
    done = parameter_store.write(wanted, aws, dry_run=dry_run, listen=console.listen)
    in_part = any(written.happened is parameter_store.Happened.WRITTEN for written in done.parameters)
    error = regionwise.failure_of(done.failures, total=done.regions, what="regions", in_part=in_part)
    rows = [(w.parameter.region, w.parameter.name, w.parameter.value, w.happened) for w in done.parameters]
    document: dict[str, Any] = {
        "dry_run": dry_run,
        "parameters": [
            {"region": region, "name": name, "value": value, "happened": happened.name.lower()}
            for region, name, value, happened in rows
        ],
    }
    if error is not None:
        document["failures"] = [{"where": each.where, **console.error_document(each.error)} for each in done.failures]
        document["error"] = console.error_document(error)
    shown = [(region, name, value.rpartition(":")[2], happened) for region, name, value, happened in rows]
    table = console.table("region", "parameter", "version", "what happened", rows=shown)
    console.result(document, *([table] if rows else []))
    if error is not None and console.as_json:
        raise typer.Exit(error.exit_code)
    if error is not None:
        raise error


def _architectures(names: Sequence[str]) -> tuple[str, ...]:
    from phplayer import matrix

    return matrix.architectures(names) if names else ()


def _endpoint(settings: Settings) -> str:
    """Return what the ledger calls the place: boto3's own settings count where ours say nothing."""
    from phplayer.aws import Aws, regions

    aws = Aws.of(settings)
    return aws.endpoint(regions()[0])


def _layer(entry: Entry) -> dict[str, Any]:
    return {
        "layer": entry.layer,
        "kind": entry.kind,
        "php": entry.php,
        "architecture": entry.architecture,
        "account": entry.account,
        "region": entry.region,
        "version": entry.version,
        "arn": entry.arn,
    }
