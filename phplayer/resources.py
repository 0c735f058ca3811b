"""Finds ``templates/`` and ``dockerfiles/``: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from phplayer.errors import EnvironmentMissingError

_PACKAGE = Path(__file__).resolve().parent


@cache
def directory(name: str) -> Path:
    """Return the folder of that name.

    Raises:
        EnvironmentMissingError: the installation is incomplete.

    """
    for parent in (_PACKAGE / "_resources", _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise EnvironmentMissingError(
        f"phplayer's own {name}/ folder is missing from {_PACKAGE}.", remedy="Reinstall phplayer."
    )


def template(*parts: str) -> Path:
    """Return a file or folder below ``templates/``."""
    return directory("templates").joinpath(*parts)


def dockerfile(name: str) -> Path:
    """Return a file below ``dockerfiles/``."""
    return directory("dockerfiles") / name
