"""Placeholder."""

from __future__ import annotations


def publish() -> None:
    """Nothing yet."""
