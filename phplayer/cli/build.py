"""Placeholder."""

from __future__ import annotations


def build() -> None:
    """Nothing yet."""
