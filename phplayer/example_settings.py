"""Writes the ``phplayer.toml`` to begin with: every setting, explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phplayer.errors import UsageError
from phplayer.setting_keys import KEYS
from phplayer.settings import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path


def write(directory: Path, *, php: str) -> Path:
    """Write a ``phplayer.toml`` in which every key stands, explained and commented out but for the first two.

    Raises:
        UsageError: there is one already, or no such folder.

    """
    path = directory / FILE_NAME
    if not directory.is_dir():
        raise UsageError(f"There is no folder {directory}.", remedy=f"Make it first: mkdir -p {directory}")
    lines = ["# Settings of phplayer. Each can also be given by a flag, or as PHPLAYER_<TABLE>_<KEY>."]
    table = ""
    for key in KEYS:
        key_table, _, name = key.name.partition(".")
        if key_table != table:
            table = key_table
            lines.append(f"\n[{table}]")
        shown = key.example or _toml(php if key.name == "php.version" else key.default)
        prefix = "" if table == "php" and key.default not in ({}, "") else "# "
        lines.append(f"{prefix}{name} = {shown}  # {key.help}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{path} exists already.", remedy="Edit it, or remove it first.") from error
    return path


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
