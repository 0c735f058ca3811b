"""Brings a layer's version number in line across regions, so that one number means one content everywhere.

Lambda counts versions for each region by itself, so a region that joined later is behind. The same content is
published there again until the number is the highest that any region has. This is the one exception to the rule that
content is not published twice.

Each version is recorded the moment it exists, and the next run plans from what AWS has: a run that was killed goes on.
Where Lambda jumps beyond the goal (higher numbers were deleted there; they are never given again), the others follow
when it is run again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from phplayer import ledger
from phplayer.errors import AwsRefusedError, UsageError
from phplayer.events import unheard
from phplayer.inventory import regionwise
from phplayer.inventory.regionwise import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from phplayer.aws import Aws, LayerVersion
    from phplayer.events import Listener
    from phplayer.ledger import Entry, Ledger, LedgerKey


Publish: TypeAlias = "Callable[[Entry, int], LayerVersion]"


class Happened(StrEnum):
    """What a region needs, or got."""

    IN_LINE = "in line"
    WOULD_PUBLISH = "would publish again"
    WOULD_RECORD = "in line, would record"
    PUBLISHED = "published again"
    RECORDED = "in line, now recorded"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one layer in one region needs: from its newest number to the goal, with this content."""

    entry: Entry  # the current version there
    newest: int
    goal: int
    happened: Happened
    unrecorded: bool = False  # the newest has the content and no record: a run was killed before it wrote that

    @property
    def title(self) -> str:
        """``eu-central-1 php-84-x86_64``."""
        return f"{self.entry.region} {self.entry.layer}"


@dataclass(frozen=True, kw_only=True)
class Equalizing:
    """What is to be done, or was done, by layer and region."""

    steps: tuple[Step, ...]
    failures: tuple[Failure, ...]
    places: int

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.happened is not Happened.IN_LINE)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What AWS has of a layer in a region."""

    entry: Entry
    newest: int
    holds: bool  # the newest version has the content of the current one
    recorded: bool


def plan(places: Sequence[LedgerKey], recorded: Ledger, aws: Aws, *, listen: Listener = unheard) -> Equalizing:
    """Find the number that each layer is to have everywhere; only reads.

    A layer whose regions hold different content is a failure: publishing has to come first.
    """
    current = {entry.place: entry for entry in recorded.current()}
    known = {(entry.place, entry.version) for entry in recorded.entries}
    wanted = [current[place] for place in places]

    def see(entry: Entry) -> _Seen:
        newest = max(aws.layers.versions(entry.region, entry.layer), key=lambda each: each.arn.version, default=None)
        if newest is None:
            raise AwsRefusedError(
                f"{entry.arn} is recorded and gone from AWS.", remedy=f"Publish it: phplayer publish -r {entry.region}"
            )
        number = newest.arn.version
        digest = aws.layers.version(entry.region, entry.layer, number).code_sha256
        return _Seen(
            entry=entry,
            newest=number,
            holds=digest == entry.code_sha256,
            recorded=(entry.place, number) in known,
        )

    done = regionwise.each(wanted, see, title=lambda entry: f"{entry.region} {entry.layer}", listen=listen)
    steps: list[Step] = []
    failures = list(done.failures)
    for layer in dict.fromkeys(entry.layer for entry in wanted):
        seen = [each for each in done.results if each.entry.layer == layer]
        if len({each.entry.code_sha256 for each in seen}) > 1:
            failures.extend(_contradictions(layer, seen))
        else:
            steps.extend(_steps(seen))
    return Equalizing(steps=tuple(steps), failures=tuple(failures), places=len(wanted))


def _steps(seen: Sequence[_Seen]) -> list[Step]:
    goal = max((each.newest for each in seen), default=0)
    if any(each.newest == goal and not each.holds for each in seen):
        goal += 1  # that number means something else there
    steps = []
    for each in seen:
        if each.newest < goal:
            happened = Happened.WOULD_PUBLISH
        else:
            happened = Happened.IN_LINE if each.entry.version == goal else Happened.WOULD_RECORD
        unrecorded = each.holds and not each.recorded
        steps.append(Step(entry=each.entry, newest=each.newest, goal=goal, happened=happened, unrecorded=unrecorded))
    return steps


def _contradictions(layer: str, seen: Sequence[_Seen]) -> list[Failure]:
    error = UsageError(
        f"The current versions of {layer} hold different content, so no number can mean the same everywhere.",
        remedy=f"Publish the same archive to all first: phplayer publish "
        f"{' '.join(f'-r {each.entry.region}' for each in seen)}",
    )
    return [Failure(where=f"{each.entry.region} {layer}", error=error) for each in seen]


def execute(planned: Equalizing, publish: Publish, ledger_path: Path, *, listen: Listener = unheard) -> Equalizing:
    """Publish again what the plan says and record every version.

    ``publish`` makes a version beyond the given number with the content of an entry.
    """

    def carry_out(step: Step) -> Step:
        newest = step.newest
        if step.happened is Happened.WOULD_RECORD:
            _record(step.entry, newest, ledger_path)
            return replace(step, happened=Happened.RECORDED)
        if step.unrecorded:
            _record(step.entry, newest, ledger_path)
        while newest < step.goal:
            newest = publish(step.entry, newest).arn.version
            _record(step.entry, newest, ledger_path)
        if newest > step.goal:
            raise AwsRefusedError(
                f"{step.entry.layer} in {step.entry.region} is at version {newest} now, beyond {step.goal}: higher "
                "versions were deleted there.",
                remedy="Run it again: the other regions follow.",
            )
        return replace(step, newest=newest, happened=Happened.PUBLISHED)

    done = regionwise.each(planned.pending, carry_out, title=lambda step: step.title, listen=listen)
    return Equalizing(steps=done.results, failures=done.failures, places=len(planned.pending))


def _record(entry: Entry, number: int, ledger_path: Path) -> None:
    arn = f"{entry.arn.rpartition(':')[0]}:{number}"
    new = msgspec.structs.replace(entry, version=number, arn=arn, in_use=False)
    ledger.record(ledger_path, new)
