"""The licences of all that a layer carries, in one file of the layer: ``/opt/share/doc/phplayer/LICENSES.txt``.

Each part that was compiled kept the licence files of its source and of the distribution packages it took libraries
from. Texts that several have in common stand once, and so do those that Debian's files only point at (they are in
``templates/licenses/``); one file of them all compresses far better than many small ones. Composer packages bring their
licences in their own folders.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phplayer import resources

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

PATH = "share/doc/phplayer/LICENSES.txt"
"""Where it lies in the layer tree."""

_POINTER = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9])")  # of Debian's copyright files
_NEWEST = {"GPL": "GPL-3", "LGPL": "LGPL-3"}  # what a pointer without a version means
_RULE = "=" * 100


def write(folders: Iterable[Path], tree: Path, *, components: Collection[str]) -> None:
    """Write the licences of these components, as far as the folders have any; of others nothing is told.

    A folder has a folder for each component, and in it the licence files.
    """
    text = collect(folders, components=components)
    path = tree / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def collect(folders: Iterable[Path], *, components: Collection[str]) -> str:
    """Return the licences of these components and the common texts that they point at, each text once."""
    folders = tuple(folders)
    own = _own()
    owners = {own: ["phplayer"]} if own else {}
    for name in sorted(components):
        for file, text in _texts(folders, name):
            owners.setdefault(text, []).append(f"{name} ({file})")
    pointers = {match for text in owners for match in _POINTER.findall(text)}
    for name in sorted({_NEWEST.get(name, name) for name in pointers}):
        path = resources.template("licenses", name)
        if path.is_file():
            owners.setdefault(_clean(path.read_text(encoding="utf-8")), []).append(name)
    return "".join(f"{_RULE}\n{', '.join(names)}\n{_RULE}\n\n{text}\n\n" for text, names in owners.items())


def _texts(folders: Iterable[Path], name: str) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each licence file of a component; of one that several parts have, the first."""
    found: dict[str, str] = {}
    for folder in folders:
        if (folder / name).is_dir():
            for path in sorted((folder / name).iterdir()):
                if path.is_file():
                    found.setdefault(path.name, _clean(path.read_text(encoding="utf-8", errors="replace")))
    yield from found.items()


def _clean(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip("\n")


def _own() -> str:
    """Return the licence of what phplayer itself puts into a layer: the bootstrap."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return _clean(distribution("phplayer").read_text("licenses/LICENSE") or "")
    except PackageNotFoundError:
        return ""
