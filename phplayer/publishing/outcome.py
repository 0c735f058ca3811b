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
    arn: LayerArn | None = None
    error: PhplayerError | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of all steps, in the order of the plan."""

    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The steps that did not come to an ARN."""
        return tuple(outcome for outcome in self.outcomes if outcome.happened is Happened.FAILED)

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
    for outcome in failures:
        if outcome.error is not None:
            yield f"{outcome.step.title}: {outcome.error.message}"
            yield from (f"  {line}" for line in outcome.error.details)
