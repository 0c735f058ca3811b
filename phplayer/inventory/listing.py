"""Sets what the ledger records against what AWS has."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from phplayer.events import unheard
from phplayer.inventory import regionwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws import Aws
    from phplayer.events import Listener
    from phplayer.inventory.regionwise import Failure
    from phplayer.ledger import Entry, Ledger, LedgerKey


class State(StrEnum):
    """How a version's record and AWS compare."""

    AS_RECORDED = "as recorded"
    GONE = "recorded, gone from AWS"
    UNRECORDED = "not recorded"
    CHANGED = "other content than recorded"


@dataclass(frozen=True, kw_only=True)
class ListedVersion:
    """One version, as the ledger or AWS or both have it."""

    place: LedgerKey
    version: int
    arn: str
    state: State
    current: bool
    in_use: bool  # as the ledger marks it
    size: int  # bytes, 0 where only AWS has it
    description: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What there is, by region, layer and version."""

    versions: tuple[ListedVersion, ...]
    failures: tuple[Failure, ...]
    places: int

    @property
    def drift(self) -> tuple[ListedVersion, ...]:
        """The versions in which ledger and AWS differ."""
        return tuple(version for version in self.versions if version.state is not State.AS_RECORDED)


def look(places: Sequence[LedgerKey], recorded: Ledger, aws: Aws, *, listen: Listener = unheard) -> Listing:
    """Ask AWS for the versions of each layer, and for the content of those that are recorded."""

    def compare(place: LedgerKey) -> tuple[ListedVersion, ...]:
        entries = {entry.version: entry for entry in recorded.entries if entry.place == place}
        there = {version.arn.version: version for version in aws.layers.versions(place.region, place.layer)}
        current = next((entry.version for entry in recorded.current() if entry.place == place), None)
        rows = []
        for number in sorted({*entries, *there}):
            entry, remote = entries.get(number), there.get(number)
            rows.append(
                ListedVersion(
                    place=place,
                    version=number,
                    arn=entry.arn if entry is not None else str(there[number].arn),
                    state=_state(place, number, entry, aws, exists=remote is not None),
                    current=number == current,
                    in_use=entry is not None and entry.in_use,
                    size=entry.size if entry is not None else 0,
                    description=remote.description if remote is not None else "",
                )
            )
        return tuple(rows)

    done = regionwise.each(places, compare, title=lambda place: f"{place.region} {place.layer}", listen=listen)
    return Listing(
        versions=tuple(version for rows in done.results for version in rows),
        failures=done.failures,
        places=len(places),
    )


def _state(place: LedgerKey, number: int, entry: Entry | None, aws: Aws, *, exists: bool) -> State:
    if entry is None:
        return State.UNRECORDED
    if not exists:
        return State.GONE
    digest = aws.layers.version(place.region, place.layer, number).code_sha256
    return State.AS_RECORDED if digest == entry.code_sha256 else State.CHANGED
