"""Placeholder."""

from __future__ import annotations


def new_function() -> None:
    """Nothing yet."""
