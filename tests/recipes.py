"""Recipes of parts that stand in for real ones."""

from __future__ import annotations

from collections.abc import Sequence

from phplayer.recipe import Recipe, Step
from phplayer.runtime import Architecture


def recipe(
    name: str = "stand-in",
    *,
    steps: Sequence[str] = (),
    needs: Sequence[str] = (),
    packages: Sequence[str] = ("tar",),
    base: str = "debian",
    results: Sequence[str] = ("tree",),
) -> Recipe:
    """Return a recipe without sources."""
    return Recipe(
        name=name,
        inputs=(),
        needs=tuple(needs),
        target="al2023",
        architecture=Architecture.of_this_machine(),
        base=base,
        packages=tuple(packages),
        steps=tuple(Step(name=step, title=step) for step in steps),
        results=tuple(results),
    )
