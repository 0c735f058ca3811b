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
    others: tuple[str, ...] = ()  # statements that let in somebody whom phplayer has no word for


def find(
    places: Sequence[LedgerKey], audiences: frozenset[Audience], aws: Aws, *, listen: Listener = unheard
) -> Shares:
    """Return the statements for these audiences in any version of the layers that AWS has; only reads."""

    def look(place: LedgerKey) -> tuple[list[Share], list[str]]:
        numbers = sorted(version.arn.version for version in aws.layers.versions(place.region, place.layer))
        shares, others = [], []
        for number in numbers:
            for statement in aws.layer_policies.statements(place.region, place.layer, number):
                sid, audience = str(statement.get("Sid", "")), Audience.of_statement(statement)
                if audience in audiences and audience is not None:
                    shares.append(Share(place=place, version=number, statement=sid, audience=audience))
                elif audience is None and statement.get("Effect") != "Deny":
                    others.append(f"{sid} of {place.layer}:{number} in {place.region}")
        return shares, others

    done = regionwise.each(places, look, title=_title, listen=listen)
    return Shares(
        shares=tuple(share for shares, _ in done.results for share in shares),
        failures=done.failures,
        places=len(places),
        others=tuple(other for _, others in done.results for other in others),
    )


def remove(shares: Sequence[Share], aws: Aws, *, listen: Listener = unheard) -> Shares:
    """Remove the statements and return those that were; a layer's first failure in a region ends the work on it."""

    def take_back(share: Share) -> Share:
        aws.layer_policies.remove(share.place.region, share.place.layer, share.version, share.statement)
        return share

    def carry_out(place: LedgerKey) -> tuple[list[Share], Failure | None]:
        mine = (share for share in shares if share.place == place)
        return regionwise.one_by_one(mine, take_back, where=_title(place))

    places = tuple(dict.fromkeys(share.place for share in shares))
    results = regionwise.each(places, carry_out, title=_title, listen=listen).results
    return Shares(
        shares=tuple(share for removed, _ in results for share in removed),
        failures=tuple(failure for _, failure in results if failure is not None),
        places=len(places),
    )


def _title(place: LedgerKey) -> str:
    return f"{place.region} {place.layer}"
