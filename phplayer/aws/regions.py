"""Regions by name, from botocore's data."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from phplayer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def regions() -> tuple[str, ...]:
    """Return the regions that have Lambda, of every partition, as botocore's data lists them."""
    import botocore.session

    session = botocore.session.Session()
    partitions = session.get_available_partitions()
    return tuple(region for name in partitions for region in session.get_available_regions("lambda", name))


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
