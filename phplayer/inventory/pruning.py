"""Deletes old layer versions. What is kept, and why, is decided before anything is deleted.

A version stays when it is one of the newest, the current one, marked in use in the ledger, used by a function of the
account (any of its published versions), or not phplayer's; and when it is shared, since AWS does not tell which
functions of other accounts use it, unless shared ones are asked for. Functions and shares are looked at once more right
before deleting. Where anything cannot be looked at, nothing is deleted in that region. A version's record goes after
the version: if the run is killed between the two, the next one drops the record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from phplayer import ledger, version_metadata
from phplayer.aws.audience import Audience
from phplayer.aws.refusals import NotFoundError
from phplayer.errors import AwsRefusedError
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
    SHARED = "kept: shared"
    DELETED = "deleted"
    FORGOTTEN = "record dropped"
    LEFT = "not done"


DOOMED = (Fate.DELETE, Fate.FORGET)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A version and what becomes of it."""

    place: LedgerKey
    version: int
    arn: str
    fate: Fate
    shared_with: tuple[str, ...] = ()  # of those that would go otherwise


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


def plan(
    places: Sequence[LedgerKey],
    recorded: Ledger,
    aws: Aws,
    *,
    keep: int,
    shared: bool = False,
    listen: Listener = unheard,
) -> Pruning:
    """Decide about every version of these layers; only reads.

    ``keep`` of each layer in each region stay, and those that are shared unless ``shared`` ones are to go, too.
    """

    def judge(region: str) -> tuple[Verdict, ...]:
        used = aws.functions.layers_used(region)
        verdicts = []
        for place in (place for place in places if place.region == region):
            there = tuple(aws.layers.versions(region, place.layer))
            _check_complete(place, recorded, there, aws)
            verdicts += _judge(place, recorded, there, used, keep)
        return tuple(_unless_shared(verdict, aws, shared=shared) for verdict in verdicts)

    regions = tuple(dict.fromkeys(place.region for place in places))
    done = regionwise.each(regions, judge, listen=listen)
    verdicts = tuple(verdict for result in done.results for verdict in result)
    return Pruning(verdicts=verdicts, failures=done.failures, regions=len(regions))


def execute(planned: Pruning, aws: Aws, ledger_path: Path, *, listen: Listener = unheard) -> Pruning:
    """Delete what the plan says, unless it came into use since; records of what is deleted go with it.

    A region's first failure ends the work there.
    """

    def carry_out(region: str) -> tuple[list[Verdict], Failure | None]:
        doomed = [verdict for verdict in planned.doomed if verdict.place.region == region]
        used = cache(lambda: aws.functions.layers_used(region))
        done, failure = regionwise.one_by_one(
            doomed, lambda verdict: _carry_out(verdict, used, aws, ledger_path), where=region
        )
        return [*done, *(replace(verdict, fate=Fate.LEFT) for verdict in doomed[len(done) :])], failure

    regions = tuple(dict.fromkeys(verdict.place.region for verdict in planned.doomed))
    results = regionwise.each(regions, carry_out, listen=listen).results
    return Pruning(
        verdicts=tuple(verdict for verdicts, _ in results for verdict in verdicts),
        failures=tuple(failure for _, failure in results if failure is not None),
        regions=len(regions),
    )


def _check_complete(place: LedgerKey, recorded: Ledger, there: Sequence[LayerVersion], aws: Aws) -> None:
    """Make sure that recorded versions which are not listed are gone.

    Raises:
        AwsRefusedError: one is not: what else is there is not known either.

    """
    listed = {version.arn.version for version in there}
    for entry in recorded.entries:
        if entry.place == place and entry.version not in listed:
            try:
                aws.layers.version(place.region, place.layer, entry.version)
            except NotFoundError:
                continue
            raise AwsRefusedError(
                f"AWS has {entry.arn} and does not list it.",
                remedy="Run it again in a minute; nothing was deleted there.",
            )


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
        arn = str(remote[number].arn) if number in remote else entries[number].arn
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


def _unless_shared(verdict: Verdict, aws: Aws, *, shared: bool) -> Verdict:
    """Keep a version that is to go when others may use it; ``shared`` only says with whom."""
    if verdict.fate is not Fate.DELETE:
        return verdict
    audiences = _audiences(verdict, aws)
    return replace(verdict, shared_with=audiences, fate=Fate.SHARED if audiences and not shared else Fate.DELETE)


def _audiences(verdict: Verdict, aws: Aws) -> tuple[str, ...]:
    statements = aws.layer_policies.statements(verdict.place.region, verdict.place.layer, verdict.version)
    allowing = [statement for statement in statements if statement.get("Effect") != "Deny"]
    return tuple(sorted({str(Audience.of_statement(statement) or "others") for statement in allowing}))


def _carry_out(verdict: Verdict, used: Callable[[], frozenset[str]], aws: Aws, ledger_path: Path) -> Verdict:
    place, number = verdict.place, verdict.version
    if verdict.fate is Fate.DELETE:
        kept = _newly_kept(verdict, used(), ledger.read(ledger_path))
        if kept is not None:
            return replace(verdict, fate=kept)
        audiences = _audiences(verdict, aws)
        if not set(audiences) <= set(verdict.shared_with):
            return replace(verdict, fate=Fate.SHARED, shared_with=audiences)
        aws.layers.delete(place.region, place.layer, number)
    ledger.change(ledger_path, lambda recorded: recorded.without({(place, number)}))
    return replace(verdict, fate=Fate.DELETED if verdict.fate is Fate.DELETE else Fate.FORGOTTEN)


def _newly_kept(verdict: Verdict, used: frozenset[str], recorded: Ledger) -> Fate | None:
    """Return why a version that was to go is kept after all: it came into use since the plan was made."""
    if verdict.arn in used:
        return Fate.USED
    for entry in recorded.entries:
        if (entry.place, entry.version) == (verdict.place, verdict.version):
            return Fate.MARKED if entry.in_use else Fate.CURRENT if entry.current else None
    return None
