"""Placeholder."""

from __future__ import annotations


def doctor() -> None:
    """Nothing yet."""
