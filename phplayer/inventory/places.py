"""Which layers in which regions a command works on: from the ledger, the flags and the settings. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from phplayer.aws.regions import is_pattern
from phplayer.errors import NothingSelectedError, did_you_mean
from phplayer.ledger import LedgerKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phplayer.ledger import Ledger


def recorded_places(
    recorded: Ledger,
    *,
    endpoint: str,
    account: str,
    layers: Sequence[str] = (),
    regions: Sequence[str] = (),
) -> tuple[LedgerKey, ...]:
    """Return where the ledger has layers of this account; layers and regions may be patterns, none means all.

    Raises:
        NothingSelectedError: nowhere.

    """
    places = {entry.place for entry in recorded.entries if (entry.endpoint, entry.account) == (endpoint, account)}
    if not places:
        raise NothingSelectedError(
            f"The ledger records no layer of account {account} at {endpoint}.",
            remedy="Publish first: phplayer publish. What is published already is found and recorded.",
        )
    names, there = {place.layer for place in places}, {place.region for place in places}
    _check(layers, names, "layer")
    _check(regions, there, "region")
    chosen = [place for place in places if fits(place.layer, layers) and fits(place.region, regions)]
    if not chosen:
        raise NothingSelectedError(
            "None of these layers is recorded in these regions.", remedy="See what is recorded with: phplayer layers"
        )
    return tuple(sorted(chosen, key=lambda place: (place.region, place.layer)))


def all_places(
    recorded: Ledger,
    *,
    endpoint: str,
    account: str,
    layers: Sequence[str] = (),
    regions: Sequence[str] = (),
) -> tuple[LedgerKey, ...]:
    """Return every recorded layer in every recorded region, and those that are named and not recorded.

    Raises:
        NothingSelectedError: no layer or no region is left.

    """
    mine = [entry for entry in recorded.entries if (entry.endpoint, entry.account) == (endpoint, account)]
    names = _chosen({entry.layer for entry in mine}, layers)
    there = _chosen({entry.region for entry in mine}, regions)
    if not names or not there:
        raise NothingSelectedError(
            f"The ledger records no such layer of account {account} at {endpoint}.",
            remedy="Publish first: phplayer publish. Or name what to look at: --layer NAME --region REGION",
        )
    return tuple(
        LedgerKey(endpoint=endpoint, account=account, region=region, layer=name)
        for region in sorted(there)
        for name in sorted(names)
    )


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether one of the patterns fits the name; none means all."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _chosen(known: Iterable[str], wanted: Sequence[str]) -> set[str]:
    return {name for name in known if fits(name, wanted)} | {name for name in wanted if not is_pattern(name)}


def _check(patterns: Sequence[str], known: Iterable[str], what: str) -> None:
    names = sorted(known)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise NothingSelectedError(
                f"No layer is recorded with the {what} {pattern!r}.",
                remedy=f"{did_you_mean(pattern, names)}Recorded: {', '.join(names)}.",
            )
