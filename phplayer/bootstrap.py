"""Writes the bootstrap, the program that Lambda starts, into a layer tree.

A mode is a folder of ``templates/bootstrap/``; what all modes share lies in ``shared`` beside them. The files of both
go to the same places below ``/opt``. They are plain PHP, without placeholders, so that ``php -l`` and an editor read
them as they are.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from phplayer import resources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from phplayer.runtime import BootstrapMode

ENTRY_POINT = "bootstrap"
"""The file that Lambda executes; the only one that has to be executable."""

_SHARED = "shared"


def write(mode: BootstrapMode, layer_tree: Path) -> None:
    """Write the bootstrap of that mode: ``bootstrap`` itself (mode 0755) and the classes that it loads.

    Raises:
        EnvironmentMissingError: the installation of phplayer is incomplete.

    """
    for name, content in _files(mode):
        path = layer_tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name == ENTRY_POINT else 0o644)


def digest(mode: BootstrapMode) -> str:
    """Return the SHA-256, in hexadecimal, of the names and contents that ``write`` would write.

    Raises:
        EnvironmentMissingError: the installation of phplayer is incomplete.

    """
    total = hashlib.sha256()
    for name, content in _files(mode):
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _files(mode: BootstrapMode) -> Iterator[tuple[str, bytes]]:
    """Yield paths below /opt with their contents, sorted. Editors' leftovers are passed over."""
    found: dict[str, Path] = {}
    for folder in (resources.template("bootstrap", _SHARED), resources.template("bootstrap", mode.value)):
        for path in folder.rglob("*"):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and (name == ENTRY_POINT or path.suffix == ".php"):
                found[name] = path
    for name in sorted(found):
        yield name, found[name].read_bytes()
