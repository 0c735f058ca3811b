"""Checks a layer against what live Lambda has: an auditwheel for layers.

    policies   what Lambda offers, per target and architecture (catalog/policies.toml)
    content    what a layer holds: read once, only values afterwards
    loading    which library the dynamic loader takes there
    linking, binaries, files, secrecy, sizes   the rules, a family each

Rules are pure: a scene (layer, other layers, policy) in, findings out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer.errors import UsageError, did_you_mean
from phplayer.policy import binaries, content, files, linking, policies, secrecy, sizes
from phplayer.policy.findings import Finding, Rule, Severity
from phplayer.policy.scene import Check, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from phplayer.runtime import Architecture, Target

__all__ = ["RULES", "Finding", "Rule", "Severity", "check", "check_names", "examine"]

_FAMILIES = (linking, binaries, files, secrecy, sizes)
_CHECKS: tuple[Check, ...] = tuple(family.check for family in _FAMILIES)

RULES: tuple[Rule, ...] = tuple(rule for family in _FAMILIES for rule in family.RULES)
"""Every rule there is."""


def examine(scene: Scene) -> tuple[Finding, ...]:
    """Return all findings, the worst first, each once."""
    found = dict.fromkeys(finding for check in _CHECKS for finding in check(scene))
    order = {rule.name: number for number, rule in enumerate(RULES)}
    return tuple(
        sorted(found, key=lambda finding: (finding.severity.rank, order[finding.name], finding.file, finding.message))
    )


def check(tree: Path, *, target: Target, architecture: Architecture) -> tuple[Finding, ...]:
    """Return all findings about a layer tree."""
    return examine(Scene(layer=content.read(tree), policy=policies.of(target, architecture)))


def check_names(names: Iterable[str]) -> frozenset[str]:
    """Return the names of findings that are to be overruled.

    Raises:
        UsageError: there is no rule of such a name.

    """
    known = [rule.name for rule in RULES]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise UsageError(f"There is no finding {name!r} to allow.", remedy=f"{near}Known: {', '.join(known)}.")
    return frozenset(names)
