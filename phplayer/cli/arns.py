"""``phplayer arns``.

Its document: ``layers`` (each ``layer``, ``kind``, ``php``, ``architecture``, ``account``, ``region``, ``version``,
``arn``).
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
    endpoint_url: options.EndpointUrl = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Print the recorded ARNs for another tool.

    Of each layer in each region it is the version that the last publish settled on. Nothing is asked of AWS.
    """
    from phplayer import arns as domain
    from phplayer import ledger as ledgers
    from phplayer.errors import UsageError, did_you_mean
    from phplayer.parameters import DEFAULT_PATTERN
    from phplayer.settings import Settings

    console = Console.of(context)
    wanted = form or domain.Form.ENV.value
    if wanted not in FORMS:
        raise UsageError(
            f"Unknown format {wanted!r}.", remedy=f"{did_you_mean(wanted, FORMS)}Known: {', '.join(FORMS)}."
        )
    settings = Settings.load(
        flags={"publish.endpoint_url": endpoint_url, "publish.ledger": ledger and ledger.absolute()}
    )
    filters = domain.Filters(
        account=account or "",
        layers=options.split(layer) or (),
        regions=options.split(region) or (),
        architectures=_architectures(options.split(arch) or ()),
        php=options.split(php) or (),
    )
    recorded = ledgers.read(settings.path("publish.ledger"))
    chosen = domain.select(recorded, filters, endpoint=_endpoint(settings))
    text = domain.render(domain.Form(wanted), chosen, ssm_pattern=ssm or DEFAULT_PATTERN)
    if console.as_json:
        console.result({"format": wanted, "text": text, "layers": [_layer(entry) for entry in chosen]})
    else:
        console.raw(text)


def _architectures(names: Sequence[str]) -> tuple[str, ...]:
    from phplayer import matrix

    return matrix.architectures(names) if names else ()


def _endpoint(settings: Settings) -> str:
    """Return what the ledger calls the place: boto3's own settings count where ours say nothing."""
    from phplayer.aws import Aws, regions

    aws = Aws(profile=settings.text("publish.profile"), endpoint_url=settings.text("publish.endpoint_url"))
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
