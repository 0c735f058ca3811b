"""Takes back what was shared: removes the statements for an account, an organisation or everybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from phplayer.errors import UsageError
from phplayer.events import unheard
from phplayer.inventory import regionwise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phplayer.aws import Aws
    from phplayer.events import Listener
    from phplayer.inventory.regionwise import Failure
    from phplayer.ledger import LedgerKey

_ACCOUNT = re.compile(r"\d{12}")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{1,32}")
_ACCOUNT_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):root")
_ORGANIZATION_KEY = "aws:principalorgid"


class Kind(StrEnum):
    """Whom a statement speaks of."""

    ACCOUNT = "account"
    ORGANIZATION = "org"
    PUBLIC = "public"


@dataclass(frozen=True, kw_only=True, order=True)
class Audience:
    """Who may use a layer version; the name is empty for everybody."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)

    @classmethod
    def account(cls, text: str) -> Audience:
        """Read an account's number.

        Raises:
            UsageError: it is none.

        """
        if _ACCOUNT.fullmatch(text) is None:
            raise UsageError(f"{text!r} is not an AWS account.", remedy="It has 12 digits, as in 123456789012.")
        return cls(kind=Kind.ACCOUNT, name=text)

    @classmethod
    def organization(cls, text: str) -> Audience:
        """Read an organisation's identifier.

        Raises:
            UsageError: it is none.

        """
        if _ORGANIZATION.fullmatch(text) is None:
            raise UsageError(f"{text!r} is not an organisation of AWS.", remedy="It looks like o-abc123defg.")
        return cls(kind=Kind.ORGANIZATION, name=text)


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
            if (audience := audience_of(statement)) is not None and audience in audiences
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


def audience_of(statement: Mapping[str, Any]) -> Audience | None:
    """Return whom a statement speaks of, None where it says something that phplayer does not write."""
    principal = statement.get("Principal")
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    organization = _organization(statement.get("Condition") or {})
    if principal == "*":
        if organization:
            return Audience(kind=Kind.ORGANIZATION, name=organization)
        return Audience(kind=Kind.PUBLIC) if not statement.get("Condition") else None
    if isinstance(principal, str):
        match = _ACCOUNT_ARN.fullmatch(principal)
        number = match[1] if match else principal
        if _ACCOUNT.fullmatch(number):
            return Audience(kind=Kind.ACCOUNT, name=number)
    return None


def _organization(condition: Mapping[str, Any]) -> str:
    for operator, values in condition.items():
        if operator == "StringEquals" and isinstance(values, dict):
            for key, value in values.items():
                if key.lower() == _ORGANIZATION_KEY and isinstance(value, str):
                    return value
    return ""


def _title(place: LedgerKey) -> str:
    return f"{place.region} {place.layer}"
