"""Every failure that a user can be told about.

One root; each class fixes an exit code (the table is in the README). A message says what is wrong and where,
the remedy says what to do next. Nothing but the command line's boundary prints these or exits.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class PhplayerError(Exception):
    """Root of all errors: one sentence, its remedy, the log that tells more."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, remedy: str = "", log: Path | None = None, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.log = log
        self.details = details  # lines that belong to the message: the tail of a log, a list of findings


class UsageError(PhplayerError):
    """The command line, ``phplayer.toml``, or an input file is wrong."""

    exit_code = 2


class NothingSelectedError(PhplayerError):
    """The request is valid and names nothing."""

    exit_code = 3


class EnvironmentMissingError(PhplayerError):
    """This machine lacks a tool, a package, an engine, a network or disk space."""

    exit_code = 4


class BuildFailedError(PhplayerError):
    """Sources could not be trusted, or a build step failed."""

    exit_code = 5


class PolicyRefusedError(PhplayerError):
    """The result would not run on live Lambda."""

    exit_code = 6


class AwsRefusedError(PhplayerError):
    """AWS, or the endpoint that stands for it, did not do what was asked."""

    exit_code = 7


class PublishedInPartError(PhplayerError):
    """Some regions have the layer, some do not."""

    exit_code = 8


class FunctionFailedError(PhplayerError):
    """The function answered with an error."""

    exit_code = 9


INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell reports SIGINT (128 + 2)."""


class StoppedError(PhplayerError):
    """Ctrl-C was heard, and what was under way has been finished."""

    exit_code = INTERRUPTED


def check_known(word: str, known: Iterable[str], what: str) -> None:
    """Refuse a word that is none of the known ones; ``what`` says of what kind it should be.

    Raises:
        UsageError: it is not known.

    """
    known = [str(each) for each in known]
    if word not in known:
        raise unknown(word, known, what)


def unknown(word: str, known: Iterable[str], what: str) -> UsageError:
    """Return the error that refuses such a word."""
    known = [str(each) for each in known]
    near = did_you_mean(word, known)
    return UsageError(f"Unknown {what} {word!r}.", remedy=f"{near}Known: {', '.join(known)}.")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? `` (with a trailing blank) for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, [str(each) for each in known], n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}? " if near else ""
