"""Who may use a layer version, as people write it and as a statement of the version's policy says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """One account, all accounts of an organization, or everybody; then the name is empty."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else "everybody"

    @property
    def principal(self) -> str:
        """The account's number, or ``*``."""
        return self.name if self.kind is Kind.ACCOUNT else "*"

    @property
    def organization(self) -> str:
        """The organization's identifier, if it is one."""
        return self.name if self.kind is Kind.ORGANIZATION else ""

    @property
    def statement(self) -> str:
        """The statement's name in the version's policy: the same is never added twice."""
        return "-".join(filter(None, ("phplayer", self.kind, self.name)))

    @classmethod
    def account(cls, number: str) -> Audience:
        """Read an account's number.

        Raises:
            UsageError: it is none.

        """
        if _ACCOUNT.fullmatch(number) is None:
            raise UsageError(f"{number!r} is not an AWS account.", remedy="It has 12 digits, as in 123456789012.")
        return cls(kind=Kind.ACCOUNT, name=number)

    @classmethod
    def read(cls, text: str) -> Audience:
        """Read ``account:123456789012`` or ``org:o-abc123``.

        Raises:
            UsageError: it is neither.

        """
        kind, _, name = text.partition(":")
        if kind == Kind.ACCOUNT:
            return cls.account(name)
        if kind != Kind.ORGANIZATION:
            raise UsageError(
                f"{text!r} says nobody to share with.",
                remedy="Write account:123456789012 or org:o-abc1234567; --public is for everybody.",
            )
        if _ORGANIZATION.fullmatch(name) is None:
            raise UsageError(f"{name!r} is not an organization.", remedy="Its id looks like o-abc1234567.")
        return cls(kind=Kind.ORGANIZATION, name=name)

    @classmethod
    def of_statement(cls, statement: Mapping[str, Any]) -> Audience | None:
        """Return whom a statement speaks of, None where it says something that phplayer does not write."""
        principal = statement.get("Principal")
        if isinstance(principal, dict):
            principal = principal.get("AWS")
        condition = statement.get("Condition") or {}
        if principal == "*":
            organization = _organization(condition)
            if organization:
                return cls(kind=Kind.ORGANIZATION, name=organization)
            return cls(kind=Kind.PUBLIC) if not condition else None
        if isinstance(principal, str):
            match = _ACCOUNT_ARN.fullmatch(principal)
            number = match[1] if match else principal
            if _ACCOUNT.fullmatch(number):
                return cls(kind=Kind.ACCOUNT, name=number)
        return None


def read_audiences(texts: Sequence[str], *, public: bool = False) -> tuple[Audience, ...]:
    """Read several, each once.

    Raises:
        UsageError: one cannot be read.

    """
    read = [Audience.read(text) for text in texts] + ([Audience(kind=Kind.PUBLIC)] if public else [])
    return tuple(dict.fromkeys(read))


def _organization(condition: Mapping[str, Any]) -> str:
    for operator, values in condition.items():
        if operator == "StringEquals" and isinstance(values, dict):
            for key, value in values.items():
                if key.lower() == _ORGANIZATION_KEY and isinstance(value, str):
                    return value
    return ""
