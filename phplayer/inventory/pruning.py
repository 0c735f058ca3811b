"""Deletes old layer versions. What is kept, and why, is decided before anything is deleted.

A version stays when it is one of the newest, the current one, marked in use in the ledger, used by a function of the
account (any of its published versions), or not phplayer's. Functions are looked at once more right before deleting. A
version's record goes after the version: if the run is killed between the two, the next one drops the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from phplayer import ledger, version_metadata
from phplayer.events import unheard
from phplayer.inventory import regionwise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from phplayer.aws import Aws, LayerVersion
    from phplayer.events import Listener
    from phplayer.inventory.regionwise import Failure
    from phplayer.ledger import Ledger, LedgerKey


class Fate(StrEnum):
    """What becomes of a version, or became."""

    DELETE = "delete"
    FORGET = "gone from AWS, drop the record"
    NEWEST = "kept: among the newest"
    CURRENT = "kept: current"
    MARKED = "kept: marked in use"
    USED = "kept: used by a function"
    FOREIGN = "kept: not made by phplayer"
    DELETED = "deleted"
    FORGOTTEN = "record dropped"


Worker: TypeAlias = "Callable[[str], tuple[Verdict, ...]]"

DOOMED = (Fate.DELETE, Fate.FORGET)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A version and what becomes of it."""

    place: LedgerKey
    version: int
    arn: str
    fate: Fate


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What is to be done, or was done, by region, layer and version."""

    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    regions: int

    @property
    def doomed(self) -> tuple[Verdict, ...]:
        """What is to go."""
        return tuple(verdict for verdict in self.verdicts if verdict.fate in DOOMED)


def plan(places: Sequence[LedgerKey], recorded: Ledger, aws: Aws, *, keep: int, listen: Listener = unheard) -> Pruning:
    """Decide about every version of these layers; only reads. ``keep`` of each layer in each region stay."""

    def judge(region: str) -> tuple[Verdict, ...]:
        used = aws.functions.layers_used(region)
        return tuple(
            verdict
            for place in places
            if place.region == region
            for verdict in _judge(place, recorded, tuple(aws.layers.versions(region, place.layer)), used, keep)
        )

    return _gather(places, judge, listen)


def execute(planned: Pruning, aws: Aws, ledger_path: Path, *, listen: Listener = unheard) -> Pruning:
    """Delete what the plan says, unless it came into use since; records of what is deleted go with it."""

    def carry_out(region: str) -> tuple[Verdict, ...]:
        doomed = [verdict for verdict in planned.doomed if verdict.place.region == region]
        used = aws.functions.layers_used(region) if any(each.fate is Fate.DELETE for each in doomed) else frozenset()
        return tuple(_carry_out(verdict, used, aws, ledger_path) for verdict in doomed)

    return _gather([verdict.place for verdict in planned.doomed], carry_out, listen)


def _gather(places: Sequence[LedgerKey], work: Worker, listen: Listener) -> Pruning:
    regions = tuple(dict.fromkeys(place.region for place in places))
    done = regionwise.each(regions, work, listen=listen)
    verdicts = tuple(verdict for result in done.results for verdict in result)
    return Pruning(verdicts=verdicts, failures=done.failures, regions=len(regions))


def _judge(
    place: LedgerKey, recorded: Ledger, there: Sequence[LayerVersion], used: frozenset[str], keep: int
) -> list[Verdict]:
    entries = {entry.version: entry for entry in recorded.entries if entry.place == place}
    current = {entry.version for entry in recorded.current() if entry.place == place}
    remote = {version.arn.version: version for version in there}
    ours = sorted(
        (n for n, version in remote.items() if n in entries or version_metadata.is_ours(version.description)),
        reverse=True,
    )
    verdicts = []
    for number in sorted({*entries, *remote}):
        entry = entries.get(number)
        arn = entry.arn if entry is not None else str(remote[number].arn)
        if number not in remote:
            fate = Fate.FORGET
        elif number not in ours:
            fate = Fate.FOREIGN
        elif number in current:
            fate = Fate.CURRENT
        elif entry is not None and entry.in_use:
            fate = Fate.MARKED
        elif arn in used:
            fate = Fate.USED
        elif number in ours[:keep]:
            fate = Fate.NEWEST
        else:
            fate = Fate.DELETE
        verdicts.append(Verdict(place=place, version=number, arn=arn, fate=fate))
    return verdicts


def _carry_out(verdict: Verdict, used: frozenset[str], aws: Aws, ledger_path: Path) -> Verdict:
    place, number = verdict.place, verdict.version
    if verdict.fate is Fate.DELETE:
        kept = _newly_kept(verdict, used, ledger.read(ledger_path))
        if kept is not None:
            return Verdict(place=place, version=number, arn=verdict.arn, fate=kept)
        aws.layers.delete(place.region, place.layer, number)
    ledger.change(ledger_path, lambda recorded: recorded.without({(place, number)}))
    fate = Fate.DELETED if verdict.fate is Fate.DELETE else Fate.FORGOTTEN
    return Verdict(place=place, version=number, arn=verdict.arn, fate=fate)


def _newly_kept(verdict: Verdict, used: frozenset[str], recorded: Ledger) -> Fate | None:
    """Return why a version that was to go is kept after all: it came into use since the plan was made."""
    if verdict.arn in used:
        return Fate.USED
    for entry in recorded.entries:
        if (entry.place, entry.version) == (verdict.place, verdict.version):
            return Fate.MARKED if entry.in_use else Fate.CURRENT if entry.current else None
    return None
