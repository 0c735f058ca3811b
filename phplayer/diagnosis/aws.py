"""AWS: who we are, the regions that the account has, and those to publish to."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from phplayer.diagnosis.checks import Check
from phplayer.errors import PhplayerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.aws import Aws
    from phplayer.settings import Settings

_FALLBACK_REGION = "us-east-1"  # where to ask who we are when no region is configured
_AT_ONCE = 8


def account(settings: Settings) -> Iterator[Check]:
    """Ask who we are, which regions the account has opted into, and in each to publish to whether we are known."""
    from phplayer import aws
    from phplayer.aws.regions import is_pattern

    name, asked = "AWS credentials (for publish)", settings.texts("publish.regions")
    exact = tuple(region for region in asked if not is_pattern(region))
    try:
        client = aws.Aws.of(settings, hasty=True)
        own = os.environ.get("AWS_REGION") or client.default_region or _FALLBACK_REGION
        first = (*aws.check_regions(exact), own)[0]
        identity = client.identity(first)
    except PhplayerError as error:
        yield Check(name=name, ok=False, required=False, remedy=f"{error.message} {error.remedy}")
        return
    yield Check(name=name, ok=True, required=False, found=f"account {identity.account} as {identity.principal}")
    enabled, untold = client.enabled_regions(first)
    yield Check(
        name="regions of the account",
        ok=untold is None,
        required=False,
        found=f"{len(enabled)}: {', '.join(enabled)}",
        remedy=f"Nobody tells which they are: {untold.message} {untold.remedy}" if untold else "",
    )
    if asked:
        yield _publishing(client, asked, enabled)


def _publishing(client: Aws, asked: Sequence[str], enabled: Sequence[str]) -> Check:
    """Ask in each region who we are: an account that has not opted into one is not known there."""
    from phplayer.aws.regions import select

    name = "regions (for publish)"
    try:
        selected = select(asked, enabled)
    except PhplayerError as error:
        return Check(name=name, ok=False, required=False, remedy=f"{error.message} {error.remedy}")

    def refusal(region: str) -> PhplayerError | None:
        try:
            client.identity(region)
        except PhplayerError as error:
            return error
        return None

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        refused = {r: error for r, error in zip(selected, pool.map(refusal, selected), strict=True) if error}
    return Check(
        name=name,
        ok=not refused,
        required=False,
        found=f"the account is known in {', '.join(selected)}",
        remedy=" ".join(f"{region}: {error.message} {error.remedy}" for region, error in refused.items()),
    )
