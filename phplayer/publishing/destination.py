"""Where to publish: which regions are meant, and as whom."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from phplayer import ledger
from phplayer.aws.refusals import CredentialsUnknownError
from phplayer.aws.regions import check_regions, is_pattern, main_region, partition_of, regions, select
from phplayer.errors import UsageError
from phplayer.events import Warned, unheard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.aws import Identity
    from phplayer.errors import PhplayerError
    from phplayer.events import Listener

_TRIES = 3  # regions in which the identity is asked for, when the first one does not know the credentials


class Client(Protocol):
    """What this needs of ``aws.Aws``."""

    def identity(self, region: str) -> Identity:
        """Ask who we are."""

    def endpoint(self, region: str) -> str:
        """Return what the ledger calls the endpoint."""

    def enabled_regions(self, region: str) -> tuple[tuple[str, ...], PhplayerError | None]:
        """Return the regions that the account can use."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Regions of one account at one endpoint."""

    regions: tuple[str, ...]
    home: str  # a region in which the credentials are known to be good
    endpoint: str
    identity: Identity


def destination(names: Sequence[str], client: Client, *, default: str, listen: Listener = unheard) -> Destination:
    """Ask who we are and which regions the names and patterns stand for; ``default`` is where to ask, if they do not.

    Raises:
        UsageError: a region that does not exist, a pattern without a region, or a region of another partition.
        PhplayerError: no credentials, or they are not accepted.

    """
    check_regions([name for name in names if not is_pattern(name)])
    home, identity = _identify(tuple(dict.fromkeys(_candidates(names, default)))[:_TRIES], client)
    endpoint = client.endpoint(home)
    chosen = tuple(dict.fromkeys(names))
    if any(map(is_pattern, names)):
        enabled, why = client.enabled_regions(home)
        if why is not None:
            listen(
                Warned(
                    message="Which regions the account has opted into could not be asked, so all of the partition "
                    f"{partition_of(home)} are meant. {why.message} {why.remedy}"
                )
            )
        chosen = select(names, enabled)
    if endpoint == ledger.AWS_ENDPOINT:
        _check_partition(chosen, home)
    return Destination(regions=chosen, home=home, endpoint=endpoint, identity=identity)


def _candidates(names: Sequence[str], default: str) -> Iterator[str]:
    """Yield where to ask who we are: a region that is named, AWS's own settings, the main one of the partition."""
    yield from (name for name in names if not is_pattern(name))
    if default in regions():
        yield default
    for name in names:
        meant = [name] if name in regions() else fnmatch.filter(regions(), name)
        yield from (main_region(partition_of(region)) for region in meant[:1])


def _identify(candidates: Sequence[str], client: Client) -> tuple[str, Identity]:
    first: PhplayerError | None = None
    for region in candidates:
        try:
            return region, client.identity(region)
        except CredentialsUnknownError as error:  # perhaps the account has not opted into this region
            first = first or error
    if first is None:
        raise UsageError("No region is called like that.", remedy=f"Such as: {', '.join(regions()[:4])}.")
    raise first


def _check_partition(chosen: Sequence[str], home: str) -> None:
    partition = partition_of(home)
    for region in chosen:
        if partition_of(region) != partition:
            raise UsageError(
                f"{region} is in the partition {partition_of(region)}, and these credentials are of {partition}.",
                remedy="Publish to each partition by a command of its own, with its own --profile.",
            )
