"""Layer archives unpacked and merged, as Lambda does at /opt; kept in the cache by their content."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from phplayer import cache, unpacking
from phplayer.bounded_zip import BoundedZip
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 5
"""Layers of a function (Lambda quotas)."""
UNPACKED_LIMIT = 262_144_000
"""Bytes of a function and all its layers, unzipped (Lambda quotas)."""


class Archive(Protocol):
    """A layer zip on disk, whoever made it."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def unpacked(self) -> int:
        """Bytes of what is in it."""

    @property
    def sha256(self) -> str:
        """Its digest, hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class LayerZip:
    """A layer zip that need not be phplayer's."""

    path: Path
    unpacked: int
    sha256: str

    @classmethod
    def read(cls, path: Path) -> LayerZip:
        """Open a zip.

        Raises:
            UsageError: it is none, or cannot be read.

        """
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            with BoundedZip(path) as archive:
                unpacked = archive.unpacked
        except OSError as error:
            raise UsageError(
                f"The layer {path} cannot be read: {error.strerror}.", remedy="Name a layer's zip file."
            ) from error
        return cls(path=path, unpacked=unpacked, sha256=digest)


def check(archives: Sequence[Archive], function: Path) -> None:
    """Check that Lambda would take these layers with that function.

    Raises:
        UsageError: too many, or too large.

    """
    if len(archives) > MOST:
        raise UsageError(
            f"These are {len(archives)} layers; Lambda takes {MOST} at most.", remedy="Merge some of them into one."
        )
    own = sum(path.lstat().st_size for path in function.rglob("*") if path.is_file() and not path.is_symlink())
    total = own + sum(archive.unpacked for archive in archives)
    if total > UNPACKED_LIMIT:
        raise UsageError(
            f"The function and its layers have {total:,} bytes unpacked; Lambda takes {UNPACKED_LIMIT:,} at most.",
            remedy="Leave out extensions, packages or files that are not needed.",
        )


def unpack(archives: Sequence[Archive]) -> Path:
    """Return a folder with the archives merged in order, later ones on top; made only once per content.

    Raises:
        UsageError: an archive is damaged, or made to do harm.
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
            unpacking.unpack(archive.path, unfinished)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(tree)
        except OSError:
            if not tree.is_dir():  # else another phplayer was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return tree
