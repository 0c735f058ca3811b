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
        """Return whom a statement lets in, None where it says something that phplayer does not write.

        What is narrowed in a way that is not known here, or denies, is none of the three.
        """
        if statement.get("Effect") != "Allow" or "NotPrincipal" in statement:
            return None
        principal, condition = _principal(statement.get("Principal")), statement.get("Condition")
        if principal == "*":
            if not condition:
                return cls(kind=Kind.PUBLIC)
            organization = _organization(condition)
            return cls(kind=Kind.ORGANIZATION, name=organization) if organization else None
        match = _ACCOUNT_ARN.fullmatch(principal)
        number = match[1] if match else principal
        return cls(kind=Kind.ACCOUNT, name=number) if not condition and _ACCOUNT.fullmatch(number) else None


def read_audiences(texts: Sequence[str], *, public: bool = False) -> tuple[Audience, ...]:
    """Read several, each once.

    Raises:
        UsageError: one cannot be read.

    """
    read = [Audience.read(text) for text in texts] + ([Audience(kind=Kind.PUBLIC)] if public else [])
    return tuple(dict.fromkeys(read))


def _principal(principal: Any) -> str:
    """Return the one AWS principal that a statement names, or nothing."""
    if isinstance(principal, dict):
        principal = _one(principal.get("AWS")) if len(principal) == 1 else ""
    return principal if isinstance(principal, str) else ""


def _organization(condition: Any) -> str:
    """Return the one organization that a condition narrows to, or nothing if it says anything else."""
    operators = list(condition.items()) if isinstance(condition, dict) else []
    if len(operators) != 1 or str(operators[0][0]).lower() != "stringequals" or not isinstance(operators[0][1], dict):
        return ""
    keys = list(operators[0][1].items())
    if len(keys) != 1 or str(keys[0][0]).lower() != _ORGANIZATION_KEY:
        return ""
    name = _one(keys[0][1])
    return name if _ORGANIZATION.fullmatch(name) else ""


def _one(value: Any) -> str:
    """Return a string, or the only one of a list; else nothing."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else ""
