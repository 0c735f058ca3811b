"""Takes back what was shared: removes the statements for an account, an organisation or everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer.aws.audience import Audience
from phplayer.events import unheard
from phplayer.inventory import regionwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws import Aws
    from phplayer.events import Listener
    from phplayer.inventory.regionwise import Failure
    from phplayer.ledger import LedgerKey


@dataclass(frozen=True, kw_only=True)
class Share:
    """A statement that lets somebody use a layer version."""

    place: LedgerKey
    version: int
    statement: str  # its Sid
    audience: Audience


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Statements, by region, layer and version, and what could not be looked at or removed."""

    shares: tuple[Share, ...]
    failures: tuple[Failure, ...]
    places: int


def find(
    places: Sequence[LedgerKey], audiences: frozenset[Audience], aws: Aws, *, listen: Listener = unheard
) -> Shares:
    """Return the statements for these audiences in any version of the layers that AWS has; only reads."""

    def look(place: LedgerKey) -> tuple[Share, ...]:
        numbers = sorted(version.arn.version for version in aws.layers.versions(place.region, place.layer))
        return tuple(
            Share(place=place, version=number, statement=statement["Sid"], audience=audience)
            for number in numbers
            for statement in aws.layer_policies.statements(place.region, place.layer, number)
            if (audience := Audience.of_statement(statement)) is not None and audience in audiences
        )

    done = regionwise.each(places, look, title=_title, listen=listen)
    shares = tuple(share for found in done.results for share in found)
    return Shares(shares=shares, failures=done.failures, places=len(places))


def remove(shares: Sequence[Share], aws: Aws, *, listen: Listener = unheard) -> Shares:
    """Remove the statements and return those that were."""

    def carry_out(place: LedgerKey) -> tuple[Share, ...]:
        mine = tuple(share for share in shares if share.place == place)
        for share in mine:
            aws.layer_policies.remove(place.region, place.layer, share.version, share.statement)
        return mine

    places = tuple(dict.fromkeys(share.place for share in shares))
    done = regionwise.each(places, carry_out, title=_title, listen=listen)
    removed = tuple(share for found in done.results for share in found)
    return Shares(shares=removed, failures=done.failures, places=len(places))


def _title(place: LedgerKey) -> str:
    return f"{place.region} {place.layer}"
