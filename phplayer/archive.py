"""Packs a layer tree into a zip: the same tree gives the same bytes, whenever, wherever and by whomever."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

from phplayer.errors import BuildFailedError

if TYPE_CHECKING:
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can have
_UNIX = 3  # "version made by" of an entry whose external attributes carry a Unix mode
_LEVEL = 9


def pack(tree: Path, into: Path) -> None:
    """Write every file of ``tree`` to the zip ``into``, which is absent or whole at any moment.

    Entries are sorted; times are fixed; modes are 0755 for what its owner may execute and 0644 for the rest.

    Raises:
        BuildFailedError: the tree holds something that is neither a file nor a folder.

    """
    temporary = into.with_name(f".{into.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).parts):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise BuildFailedError(
                        f"{path.relative_to(tree)} is neither a file nor a folder.", remedy="A layer can hold no links."
                    )
                if path.is_file():
                    _add(archive, path, path.relative_to(tree).as_posix())
        temporary.replace(into)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    executable = path.stat().st_mode & stat.S_IXUSR
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = _UNIX
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, path.read_bytes(), compresslevel=_LEVEL)
