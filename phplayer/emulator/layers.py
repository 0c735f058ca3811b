"""Layer archives unpacked and merged, as Lambda does at /opt; kept in the cache by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import cache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.layer import LayerArchive

_MODE_SHIFT = 16  # a zip entry keeps Unix modes in the upper half of its external attributes


def unpack(archives: Sequence[LayerArchive]) -> Path:
    """Return a folder with the archives merged in order, later ones on top; made only once per content.

    Raises:
        OSError: the disk is full or the cache cannot be written.

    """
    key = hashlib.sha256("".join(archive.sha256 for archive in archives).encode()).hexdigest()
    tree = cache.folder("layers") / key
    if tree.is_dir():
        cache.touch(tree)
        return tree
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=tree.parent))
    try:
        for archive in archives:
            _extract(archive.path, unfinished)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(tree)
        except OSError:
            if not tree.is_dir():  # else another phplayer was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return tree


def _extract(path: Path, into: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> _MODE_SHIFT
            target = into / entry.filename
            if stat.S_ISLNK(mode):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                os.symlink(archive.read(entry), target)  # noqa: PTH211  the link's text is bytes, not a path of ours
                continue
            written = Path(archive.extract(entry, into))
            if not entry.is_dir():
                written.chmod(stat.S_IMODE(mode) or 0o644)
