"""Does the same in several places at once, and keeps what fails in one from stopping the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from phplayer.errors import AwsRefusedError, PhplayerError, PublishedInPartError
from phplayer.events import Warned, unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from phplayer.events import Listener

CONCURRENCY = 8
"""Places at once."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What went wrong where."""

    where: str
    error: PhplayerError


@dataclass(frozen=True, kw_only=True)
class Done(Generic[R]):
    """What came of all places, each in the order that they were given in."""

    results: tuple[R, ...]
    failures: tuple[Failure, ...]


def each(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    title: Callable[[T], str] = str,
    listen: Listener = unheard,
) -> Done[R]:
    """Do the work for every item, several at once.

    On Ctrl-C what is under way is finished and the rest is not begun.
    """
    stopping = threading.Event()

    def guarded(item: T) -> R | PhplayerError | None:
        if stopping.is_set():
            return None
        try:
            return work(item)
        except PhplayerError as error:
            return error

    with ThreadPoolExecutor(max_workers=CONCURRENCY, thread_name_prefix="region") as pool:
        futures = [pool.submit(guarded, item) for item in items]
        try:
            for _ in as_completed(futures):
                pass
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            listen(Warned(message="Stopping: what is under way is finished."))
            raise
    results, failures = [], []
    for item, future in zip(items, futures, strict=True):
        result = future.result()
        if isinstance(result, PhplayerError):
            failures.append(Failure(where=title(item), error=result))
        elif result is not None:
            results.append(result)
    return Done(results=tuple(results), failures=tuple(failures))


def one_by_one(items: Iterable[T], work: Callable[[T], R], *, where: str) -> tuple[list[R], Failure | None]:
    """Do the work for one item after the other; the first failure ends it, and what was done until then is kept."""
    done: list[R] = []
    try:
        for item in items:
            done.append(work(item))  # noqa: PERF401  a comprehension would lose them
    except PhplayerError as error:
        return done, Failure(where=where, error=error)
    return done, None


def failure_of(failures: Sequence[Failure], *, total: int, what: str, in_part: bool = False) -> PhplayerError | None:
    """Return the error that stands for all failures, or None; ``what`` names one of the ``total`` places.

    Exit code 7 when nothing could be done, 8 when a part was: in some of the places, or ``in_part`` of one.
    """
    if not failures:
        return None
    first = failures[0].error
    reasons = {failure.error.message for failure in failures}
    nothing_done = len(failures) >= total and not in_part
    if nothing_done and len(reasons) == 1:
        return first
    details = tuple(
        line
        for failure in failures
        for line in (f"{failure.where}: {failure.error.message}", *(f"  {each}" for each in failure.error.details))
    )
    kind = AwsRefusedError if nothing_done else PublishedInPartError
    return kind(f"{len(failures)} of {total} {what} failed.", remedy=first.remedy, details=details)
