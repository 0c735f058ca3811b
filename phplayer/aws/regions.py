"""Regions: which there are (botocore's data), which the account has opted into (the Account or EC2 API)."""

from __future__ import annotations

import fnmatch
from functools import cache
from typing import TYPE_CHECKING

from phplayer.errors import PhplayerError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws.connection import Connection

_OPTED_IN = ("ENABLED", "ENABLED_BY_DEFAULT")


@cache
def partitions() -> dict[str, tuple[str, ...]]:
    """Return the partitions, and of each the regions that have Lambda, as botocore's data lists them."""
    import botocore.session

    session = botocore.session.Session()
    names = session.get_available_partitions()
    return {name: tuple(session.get_available_regions("lambda", name)) for name in names}


def regions() -> tuple[str, ...]:
    """Return the regions that have Lambda, of every partition."""
    return tuple(region for names in partitions().values() for region in names)


def partition_of(region: str) -> str:
    """Return the partition of a known region."""
    return next(name for name, names in partitions().items() if region in names)


@cache
def main_region(partition: str) -> str:
    """Return the region that serves what a partition has once: ``us-east-1`` for ``aws``."""
    import botocore.session

    known = botocore.session.Session().get_data("partitions")["partitions"]
    found: str = next(each["outputs"]["implicitGlobalRegion"] for each in known if each["id"] == partition)
    return found


def is_pattern(name: str) -> bool:
    """Tell whether this stands for several regions: ``eu-*``."""
    return any(sign in name for sign in "*?[")


def check_regions(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names without repetitions.

    Raises:
        UsageError: Lambda is in no region of that name.

    """
    known = regions()
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            some = "" if near else f"Such as: {', '.join(known[:4])}. "
            raise UsageError(
                f"Unknown region {name!r}.", remedy=f"{near}{some}A region newer than this boto3 needs a newer boto3."
            )
    return tuple(dict.fromkeys(names))


def select(names: Sequence[str], enabled: Sequence[str]) -> tuple[str, ...]:
    """Return the regions that names and patterns stand for; patterns find enabled regions only, sorted.

    Raises:
        UsageError: a region that does not exist, or a pattern without a region.

    """
    chosen: list[str] = []
    for name in names:
        if not is_pattern(name):
            chosen += check_regions((name,))
            continue
        found = sorted(fnmatch.filter(enabled, name))
        if not found:
            elsewhere = sorted(fnmatch.filter(regions(), name))
            raise UsageError(
                f"The account has no region {name!r}.",
                remedy=f"{', '.join(elsewhere)}: opt in first, or use credentials of that partition."
                if elsewhere
                else f"It has: {', '.join(sorted(enabled))}.",
            )
        chosen += found
    return tuple(dict.fromkeys(chosen))


def enabled_regions(connection: Connection, region: str) -> tuple[tuple[str, ...], PhplayerError | None]:
    """Return the regions with Lambda that the account can use, of the partition of ``region``, sorted.

    The Account API knows; where it is missing or not allowed, EC2 does. When neither tells, all of the partition are
    returned, with the reason why nobody told.
    """
    partition = partition_of(region)
    known = partitions()[partition]
    try:
        try:
            told = _account_regions(connection, main_region(partition))
        except PhplayerError:
            told = _ec2_regions(connection, region)
    except PhplayerError as error:
        return tuple(sorted(known)), error
    return tuple(sorted(set(told) & set(known))), None


def _account_regions(connection: Connection, region: str) -> tuple[str, ...]:
    with connection.calling("account:ListRegions", region):
        answers = connection.pages("account", region, "list_regions", RegionOptStatusContains=list(_OPTED_IN))
        return tuple(item["RegionName"] for page in answers for item in page["Regions"])


def _ec2_regions(connection: Connection, region: str) -> tuple[str, ...]:
    with connection.calling("ec2:DescribeRegions", region):
        answer = connection.client("ec2", region).describe_regions(AllRegions=False)
        return tuple(item["RegionName"] for item in answer["Regions"])
