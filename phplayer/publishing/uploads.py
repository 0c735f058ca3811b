"""The way through S3, for archives that a request cannot hold."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from phplayer.aws.refusals import ConflictError, NotFoundError
from phplayer.errors import PhplayerError
from phplayer.events import PhaseAdvanced, Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phplayer.aws import StoredObject
    from phplayer.events import Listener
    from phplayer.publishing.lookup import Client
    from phplayer.publishing.planning import Step

_STEP = 256 * 1024  # bytes between two events


def counter(step: Step, tell: Listener, *, scale: float = 1.0) -> Callable[[int], None]:
    """Return a function that adds up bytes and tells how much of the archive has been sent.

    ``scale`` is how many bytes of the archive one byte on the wire is.
    """
    sent = told = 0.0

    def count(size: int) -> None:
        nonlocal sent, told
        sent += size * scale
        if sent - told >= _STEP or sent >= step.archive.size:
            told = sent
            done = min(int(sent), step.archive.size)
            tell(PhaseAdvanced(subject=step.title, phase="", done=done, total=step.archive.size, unit="bytes"))

    return count


def bucket_exists(step: Step, stored: StoredObject, client: Client, *, create: bool) -> bool:
    """Tell whether the bucket is there and usable; a missing one is an error unless it may be made.

    Raises:
        PhplayerError: it is missing, in another region or somebody else's.

    """
    try:
        client.buckets.check(step.place.region, stored.bucket, step.place.account)
    except NotFoundError:
        if not create:
            raise
        return False
    return True


@contextmanager
def uploaded(
    step: Step, stored: StoredObject, client: Client, *, create: bool, keep: bool, tell: Listener
) -> Iterator[StoredObject]:
    """Put the archive into the bucket, and take it out again afterwards.

    Raises:
        PhplayerError: the bucket cannot be used, or the upload was refused.

    """
    region, account = step.place.region, step.place.account
    if not bucket_exists(step, stored, client, create=create):
        try:
            client.buckets.create(region, stored.bucket)
        except ConflictError:  # another step of this run made it in the meantime
            client.buckets.check(region, stored.bucket, account)
    client.buckets.upload(region, step.archive.path, stored, account=account, progress=counter(step, tell))
    try:
        yield stored
    finally:
        if not keep:
            try:
                client.buckets.remove(region, stored, account=account)
            except PhplayerError as error:
                tell(Warned(message=f"{stored} was not removed: {error.message}"))
