"""The values of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer.errors import EnvironmentMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command that takes an administrator."""

    arguments: tuple[str, ...]
    unless: Path | None = None  # where this is there it need not be run


@dataclass(frozen=True, kw_only=True)
class Fix:
    """What would make a check right: packages of this machine's base, then steps. One of them may be empty."""

    what: str  # fixes of one name are made together
    packages: tuple[str, ...] = ()
    then: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    required: bool = True
    found: str = ""
    remedy: str = ""
    fix: Fix | None = None  # None where it is for the user to mend


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All checks, and the engine that a build would take."""

    engine: str
    checks: tuple[Check, ...]


def failure(checks: Sequence[Check]) -> EnvironmentMissingError | None:
    """Return the error that names what is required and missing."""
    missing = [check for check in checks if check.required and not check.ok]
    if not missing:
        return None
    return EnvironmentMissingError(
        f"A build here lacks: {', '.join(check.name for check in missing)}.",
        remedy=" ".join(dict.fromkeys(check.remedy for check in missing)),
    )


def gigabytes(size: int) -> str:
    """Return a size as checks show it."""
    return f"{size / 1e9:.1f} GB"
