"""What became of the steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from phplayer.errors import AwsRefusedError, PhplayerError, PublishedInPartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.layer import LayerArn
    from phplayer.publishing.planning import Step


class Happened(StrEnum):
    """What became of a step."""

    PUBLISHED = "published"
    FOUND = "found on AWS, now recorded"
    UNCHANGED = "unchanged"
    WOULD_PUBLISH = "would publish"
    WOULD_RECORD = "found on AWS, would record"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one step."""

    step: Step
    happened: Happened
    arn: LayerArn | None = None  # a failed step can have one: published, but not shared
    error: PhplayerError | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)
    remarks: tuple[str, ...] = ()  # what else was done, or would be

    @property
    def is_new(self) -> bool:
        """Whether the content was, or is to be, sent."""
        return self.happened not in {Happened.UNCHANGED, Happened.FOUND, Happened.WOULD_RECORD}

    @property
    def told(self) -> str:
        """What happened in a few words."""
        return ", ".join((str(self.happened), *self.remarks))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of all steps, in the order of the plan."""

    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The steps that did not come to their end."""
        return tuple(outcome for outcome in self.outcomes if outcome.happened is Happened.FAILED)

    @property
    def not_started(self) -> tuple[Outcome, ...]:
        """The steps that Ctrl-C left undone."""
        return tuple(outcome for outcome in self.outcomes if outcome.happened is Happened.NOT_STARTED)

    @property
    def error(self) -> PhplayerError | None:
        """The error that stands for all failures, or None.

        ``PublishedInPartError`` when some layers are where they should be and some are not. When none is, and all
        failed for one reason, that reason.
        """
        failures = self.failures
        if not failures:
            return None
        reasons = {outcome.error.message: outcome.error for outcome in failures if outcome.error}
        first = next(iter(reasons.values()))
        if len(failures) == len(self.outcomes):
            if len(reasons) == 1 and isinstance(first, AwsRefusedError):
                return first
            return AwsRefusedError("Nothing was published.", remedy=first.remedy, details=tuple(_details(failures)))
        return PublishedInPartError(
            f"{len(failures)} of {len(self.outcomes)} layer versions could not be published.",
            remedy=f"{first.remedy} The same command again publishes only what is missing.",
            details=tuple(_details(failures)),
        )


def _details(failures: Sequence[Outcome]) -> Iterator[str]:
    """Yield a line for each failure, and once for each reason what AWS said and what to do."""
    told = set()
    for outcome in failures:
        error = outcome.error
        if error is None:
            continue
        yield f"{outcome.step.title}: {error.message}"
        more = (*error.details, f"fix: {error.remedy}")
        if more not in told:
            told.add(more)
            yield from (f"  {line}" for line in more)
