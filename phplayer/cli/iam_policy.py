"""``phplayer iam-policy``.

Its document: ``purposes``, ``policy`` (the policy document), ``size`` (characters that count against AWS's limit).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from phplayer.ledger import Ledger
    from phplayer.settings import Settings

PURPOSES = (
    *("publish", "all-regions", "bucket", "create-bucket", "verify", "share"),
    *("unshare", "list", "equalize", "prune", "ssm", "deploy"),
)
"""Those of ``phplayer.iam_policy.Purpose``, which the help must not load; a test holds them together."""

For = Annotated[
    list[str] | None,
    typer.Option("--for", metavar="PURPOSE", help=f"Of {', '.join(PURPOSES)}; repeatable. [publish]"),
]
Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Account; that of the ledger, or any.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", metavar="NAME", help="Layer or pattern; those recorded, built or configured. Repeatable."),
]
Functions = Annotated[
    list[str] | None, typer.Option("--function", metavar="NAME", help="Function or pattern, to deploy; repeatable.")
]
Roles = Annotated[
    list[str] | None, typer.Option("--role", metavar="NAME", help="Role or pattern that functions get; repeatable.")
]
Bucket = Annotated[
    str | None, typer.Option("--s3-bucket", metavar="PATTERN", help="Bucket of large archives. [publish.bucket]")
]


def iam_policy(
    context: typer.Context,
    *,
    purpose: For = None,
    account: Account = None,
    region: options.Region = None,
    layer: Layers = None,
    function: Functions = None,
    role: Roles = None,
    s3_bucket: Bucket = None,
    ssm: options.Ssm = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Print the smallest IAM policy for a purpose.

    It is narrowed to layers, regions and account where AWS allows that. Nothing is asked of AWS.
    """
    from phplayer import iam_policy as domain
    from phplayer import ledger as ledgers
    from phplayer.aws import Audience
    from phplayer.parameters import DEFAULT_PATTERN
    from phplayer.settings import Settings

    console = Console.of(context)
    wanted = domain.purposes(options.split(purpose) or ("publish",))
    settings = Settings.load(
        flags={
            "publish.regions": options.split(region),
            "publish.bucket": s3_bucket,
            "publish.ledger": ledger and ledger.absolute(),
        }
    )
    recorded = ledgers.read(settings.path("publish.ledger"))
    partition, regions = _regions(settings, recorded)
    resources = domain.Resources(
        partition=partition,
        account=Audience.account(account).name if account else _account(recorded, partition),
        regions=regions,
        layers=options.split(layer) or _layers(settings, recorded),
        functions=options.split(function) or ("*",),
        roles=options.split(role) or ("*",),
        bucket=settings.text("publish.bucket") or "*",
        parameters=ssm or DEFAULT_PATTERN,
    )
    document = domain.policy(wanted, resources)
    size = domain.size(document)
    if console.as_json:
        console.result({"purposes": [str(each) for each in wanted], "policy": document, "size": size})
    else:
        console.raw(json.dumps(document, indent=2))
    if size > domain.LIMIT:
        console.warn(
            f"The policy has {size:,} characters, and a managed policy holds {domain.LIMIT:,}: name layers by pattern."
        )


def _regions(settings: Settings, recorded: Ledger) -> tuple[str, tuple[str, ...]]:
    """Return the partition and the regions, no region where none is named.

    A pattern stands for regions of one partition: that of the regions that are named, that of the ledger, or ``aws``.

    Raises:
        UsageError: a pattern fits no region (no region at all would mean every one), or the regions are of several
            partitions, whose accounts are different ones.

    """
    from phplayer.aws.regions import check_regions, is_pattern, partition_of, regions
    from phplayer.errors import UsageError
    from phplayer.inventory.places import fits
    from phplayer.layer import LayerArn

    names = settings.texts("publish.regions")
    named = check_regions([name for name in names if not is_pattern(name)])
    partitions = {partition_of(region) for region in named}
    if len(partitions) > 1:
        raise UsageError(
            f"These regions are of several partitions: {', '.join(sorted(partitions))}.",
            remedy="Make a policy for each: their accounts are different ones.",
        )
    for name in names:
        if not any(fits(region, (name,)) for region in regions()):
            raise UsageError(f"No region is like {name!r}.", remedy="Patterns look like 'eu-*'.")
    fitting = [region for region in regions() if names and fits(region, names)]
    candidates = (
        *partitions,
        *sorted({LayerArn.parse(entry.arn).partition for entry in recorded.entries}),
        "aws",
        *(partition_of(region) for region in fitting),
    )
    partition = next(each for each in candidates if not names or any(partition_of(one) == each for one in fitting))
    return partition, tuple(region for region in fitting if partition_of(region) == partition)


def _account(recorded: Ledger, partition: str) -> str:
    from phplayer.layer import LayerArn
    from phplayer.ledger import AWS_ENDPOINT

    arns = (LayerArn.parse(entry.arn) for entry in recorded.entries if entry.endpoint == AWS_ENDPOINT)
    accounts = {arn.account for arn in arns if arn.partition == partition}
    return accounts.pop() if len(accounts) == 1 else "*"


def _layers(settings: Settings, recorded: Ledger) -> tuple[str, ...]:
    """Return the names that are recorded or built, else those that the settings can give."""
    import contextlib
    import re

    from phplayer import dist
    from phplayer.errors import NothingSelectedError

    names = {entry.layer for entry in recorded.entries}
    with contextlib.suppress(NothingSelectedError):
        names |= {archive.manifest.layer for archive in dist.archives(settings)}
    if names:
        return tuple(sorted(names))
    patterns = (settings.text(f"layer.{kind}") for kind in ("runtime", "vendor"))
    named = (pattern.replace("{name}", settings.text("layer.name")) for pattern in patterns)
    return tuple(sorted(re.sub(r"\{\w+\}", "*", pattern) for pattern in named))
