"""What a policy finds: rules, how bad a finding is, and the finding itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from phplayer.printable import printable


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    ERROR = "error"  # it will not run on live Lambda, or must not be published
    WARNING = "warning"  # it may not do what it does elsewhere
    NOTE = "note"  # worth knowing

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that live Lambda, or who publishes the layer, would trip over."""

    name: str  # of the rule
    severity: Severity
    file: str  # path in the layer, or the layer's name where it is about all of it
    message: str  # a sentence whose subject is the file
    remedy: str
    symbols: tuple[str, ...] = ()  # where it is about symbols: which

    @property
    def is_error(self) -> bool:
        """Whether the layer is to be refused for it."""
        return self.severity is Severity.ERROR


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that is looked for."""

    name: str
    severity: Severity
    summary: str  # what it finds
    remedy: str  # what to do about it

    def finding(self, file: str, message: str, *, symbols: tuple[str, ...] = ()) -> Finding:
        """Return a finding of this rule; names are a stranger's, so they are made fit to be printed."""
        return Finding(
            name=self.name,
            severity=self.severity,
            file=printable(file),
            message=printable(message),
            remedy=self.remedy,
            symbols=tuple(map(printable, symbols)),
        )
