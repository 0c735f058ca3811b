"""Runs steps side by side and tells about them in one thread."""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from phplayer.aws.refusals import CredentialsUnknownError
from phplayer.errors import AwsRefusedError, PhplayerError
from phplayer.events import Event, PhaseFinished, PhaseStarted, SubjectFailed
from phplayer.publishing.outcome import Happened, Outcome, Result

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from phplayer.events import Listener
    from phplayer.ledger import LedgerKey
    from phplayer.publishing.planning import Step

CONCURRENCY = 32
"""Steps at once: a step waits for AWS most of its time."""

Work: TypeAlias = "Callable[[Step, Listener], Outcome]"


def run(steps: Sequence[Step], work: Work, *, home: str, stopping: threading.Event, listen: Listener) -> Result:
    """Run the steps concurrently. Only this thread tells the listener anything.

    ``home`` is a region in which the credentials are known to be good. Once ``stopping`` is set no step is begun.
    """
    told: queue.SimpleQueue[Event | Outcome | BaseException] = queue.SimpleQueue()
    with ThreadPoolExecutor(max_workers=CONCURRENCY, thread_name_prefix="publish") as pool:
        try:
            for step in steps:
                pool.submit(_guarded, step, work, home, stopping, told.put)
            done = _collect(told, len(steps), listen)
        except BaseException:  # what AWS has begun is finished and recorded
            stopping.set()
            raise
    return Result(outcomes=tuple(done[step.place] for step in steps))


def _guarded(
    step: Step,
    work: Work,
    home: str,
    stopping: threading.Event,
    tell: Callable[[Event | Outcome | BaseException], None],
) -> None:
    """Do the work on one step; whatever comes of it is told."""
    if stopping.is_set():
        tell(Outcome(step=step, happened=Happened.NOT_STARTED))
        return
    tell(PhaseStarted(subject=step.title, phase=""))
    begun = time.monotonic()
    try:
        tell(work(step, tell))
    except PhplayerError as error:
        reason = _opted_out(step, error) if step.place.region != home else error
        tell(Outcome(step=step, happened=Happened.FAILED, error=reason, seconds=time.monotonic() - begun))
    except BaseException as error:  # noqa: BLE001  a defect: raised again in the main thread
        tell(error)


def _collect(
    told: queue.SimpleQueue[Event | Outcome | BaseException], count: int, listen: Listener
) -> dict[LedgerKey, Outcome]:
    """Pass on what is told until every step has its outcome."""
    done: dict[LedgerKey, Outcome] = {}
    while len(done) < count:
        message = told.get()
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Outcome):
            done[message.step.place] = message
            listen(_event(message))
        else:
            listen(message)
    return done


def _event(outcome: Outcome) -> Event:
    title = outcome.step.title
    if outcome.error is not None:
        return SubjectFailed(subject=title, message=outcome.error.message, seconds=outcome.seconds)
    version = f", version {outcome.arn.version}" if outcome.arn is not None else ""
    return PhaseFinished(subject=title, phase="", seconds=outcome.seconds, outcome=f"{outcome.told}{version}")


def _opted_out(step: Step, error: PhplayerError) -> PhplayerError:
    """Say what it means that a region does not know credentials which another one has just accepted."""
    if not isinstance(error, CredentialsUnknownError):
        return error
    region = step.place.region
    return AwsRefusedError(
        f"The account has not opted into {region}: the credentials work elsewhere, but not there.",
        remedy=f"Opt in (aws account enable-region --region-name {region}; it takes minutes), or leave {region} out.",
        details=error.details,
    )
