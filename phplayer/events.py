"""What the domain tells while it works. It knows no terminal: the command line draws these, tests collect them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class PhaseStarted:
    """A step of a flow begins: ``subject`` is what it works on (a build identifier, a region)."""

    subject: str
    phase: str


@dataclass(frozen=True, kw_only=True)
class PhaseAdvanced:
    """Progress of the running phase, in ``unit`` (``files``, ``bytes``); ``total`` is None when unknown."""

    subject: str
    phase: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class PhaseFinished:
    """The phase ended well after ``seconds``; ``outcome`` says what came of it in a few words."""

    subject: str
    phase: str
    seconds: float
    outcome: str


@dataclass(frozen=True, kw_only=True)
class SubjectFailed:
    """Work on the subject ended with an error after ``seconds``, in whichever phase it was; others may go on."""

    subject: str
    message: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Something worth a line."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something that the user may have to act on."""

    message: str


Event: TypeAlias = PhaseStarted | PhaseAdvanced | PhaseFinished | SubjectFailed | Noted | Warned
Listener: TypeAlias = Callable[[Event], None]


def unheard(_event: Event) -> None:
    """Listen to nothing."""
