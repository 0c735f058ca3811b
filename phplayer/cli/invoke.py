"""Placeholder."""

from __future__ import annotations


def invoke() -> None:
    """Nothing yet."""
