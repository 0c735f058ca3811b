"""Opens layer archives that may come from anywhere, and unpacks them as Lambda does.

An archive is refused before anything of it is written where its directory lies about it, and while it is written where
its data does: nothing leaves the folder, and no more is written than was allowed. Files are made first and symbolic
links last, so that nothing is ever written through a link.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import cache
from phplayer.bounded_zip import BoundedZip, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT = 1_048_576_000
"""Bytes that an archive may unpack to: four times what Lambda takes, so that what is merely too large is measured."""

_LONGEST_LINK = 4096  # bytes; PATH_MAX
_LONGEST_NAME = 4096  # bytes; PATH_MAX
_DEEPEST = 255  # folders
_HEADER = 30  # bytes that an entry has before its name at the least
_MODE_SHIFT = 16  # an entry made on Unix keeps its mode in the upper half of its external attributes
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """An archive that was unpacked."""

    folder: Path
    zipped: int  # bytes of the archive
    modes: Mapping[str, int]  # permission bits of files and folders as the archive has them, set-uid included


@contextmanager
def opened(path: Path, *, limit: int = LIMIT) -> Iterator[Unpacked]:
    """Unpack an archive into a folder that is there as long as the context.

    Raises:
        UsageError: it is not a zip, is damaged, or is made to do harm.

    """
    with tempfile.TemporaryDirectory(prefix=cache.temporary_prefix("tree"), dir=cache.folder("work")) as temporary:
        folder = Path(temporary) / "opt"
        folder.mkdir()
        yield unpack(path, folder, limit=limit)


def unpack(path: Path, into: Path, *, limit: int = LIMIT) -> Unpacked:
    """Unpack an archive into a folder, over what is there.

    Modes are those of the archive, but without set-uid, and readable by the owner. Entries that tell no mode, as those
    made on Windows, become 0644 as on Lambda.

    Raises:
        UsageError: it is not a zip, is damaged, or is made to do harm.
        OSError: it cannot be read, or the folder cannot be written.

    """
    with BoundedZip(path) as archive:
        entries = _checked(archive, limit)
        modes = _folder_modes(archive) | _write(archive, entries, into, limit)
    return Unpacked(folder=into, zipped=archive.size, modes=modes)


# -- before anything is written ---------------------------------------------------------------------------------------


def _checked(archive: BoundedZip, limit: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries that are files or links, by their path in the layer."""
    path, listed = archive.path, archive.entries
    if archive.unpacked > limit:
        raise refusal(path, f"unpacks to {archive.unpacked:,} bytes, and no more than {limit:,} are written")
    _check_overlaps(archive)
    entries: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in listed:
        name = _checked_name(path, entry)
        _check_kind(path, entry)
        if entry.is_dir():
            folders.add(name)
            continue
        if not name:
            raise refusal(path, f"has an entry without a name, {entry.filename!r}")
        if name in entries:
            raise refusal(path, f"has {name} twice")
        entries[name] = entry
    for name in (*entries, *folders):
        for folder in (*_parents(name), *(name for _ in folders & {name})):
            if folder in entries:
                raise refusal(path, f"has {folder} both as a folder and as {_kind(entries[folder])}")
    return entries


def _folder_modes(archive: BoundedZip) -> dict[str, int]:
    """Return the modes of all folders; those that the archive does not tell are made as 0755."""
    modes: dict[str, int] = {}
    for entry in archive.entries:
        name = _checked_name(archive.path, entry)
        for parent in _parents(name):
            modes.setdefault(parent, 0o755)
        if entry.is_dir() and name:
            modes[name] = stat.S_IMODE(entry.external_attr >> _MODE_SHIFT) or 0o755
    return modes


def _check_overlaps(archive: BoundedZip) -> None:
    """Refuse entries that share bytes with one another, or with the directory: so bombs are made."""
    end, before = 0, ""
    for entry in sorted(archive.entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise refusal(archive.path, f"has entries that overlap, {before!r} and {entry.filename!r}")
        end, before = entry.header_offset + _HEADER + entry.compress_size, entry.filename
    if end > archive.directory:
        raise refusal(archive.path, f"has an entry that overlaps the directory, {before!r}")


def _checked_name(path: Path, entry: zipfile.ZipInfo) -> str:
    """Return the entry's path in the layer, cleaned of ``./``."""
    name = entry.filename
    if entry.orig_filename.partition("\0")[0] != entry.orig_filename:
        raise refusal(path, f"has an entry with a NUL in its name, {entry.orig_filename!r}")
    if "\\" in name:
        raise refusal(path, f"has an entry with backslashes in its name, {name!r}")
    parts = name.split("/")
    if len(name) > _LONGEST_NAME or len(parts) > _DEEPEST:
        raise refusal(path, f"has an entry whose name has {len(name):,} characters and {len(parts):,} parts")
    if name.startswith("/") or ".." in parts:
        raise refusal(path, f"has an entry that would be written outside the layer, {name!r}")
    return "/".join(part for part in parts if part not in {"", "."})


def _check_kind(path: Path, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise refusal(path, f"is encrypted ({entry.filename!r})")
    if entry.compress_type not in _METHODS:
        raise refusal(path, f"is compressed by method {entry.compress_type} ({entry.filename!r}), and not deflated")
    kind = stat.S_IFMT(entry.external_attr >> _MODE_SHIFT)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        raise refusal(path, f"has a device, a pipe or a socket, {entry.filename!r}")
    if _is_link(entry) and entry.file_size > _LONGEST_LINK:
        raise refusal(path, f"has a symbolic link of {entry.file_size:,} bytes, {entry.filename!r}")


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> _MODE_SHIFT)


def _kind(entry: zipfile.ZipInfo) -> str:
    return "a symbolic link" if _is_link(entry) else "a file"


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(archive: BoundedZip, entries: Mapping[str, zipfile.ZipInfo], into: Path, limit: int) -> dict[str, int]:
    path = archive.path
    modes: dict[str, int] = {}
    left = limit
    links = []
    for name, entry in entries.items():
        target = into / name
        through = next((parent for parent in _parents(name) if (into / parent).is_symlink()), None)
        if through is not None:
            raise refusal(path, f"has {name} below {through}, which is a symbolic link of an earlier layer")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if _is_link(entry):
                links.append((target, archive.read(entry, limit=_LONGEST_LINK)))
                continue
            modes[name] = stat.S_IMODE(entry.external_attr >> _MODE_SHIFT) or 0o644
            left -= _write_file(archive, entry, target, left)
        except OSError as error:
            if error.filename is None:
                raise
            raise refusal(path, f"has an entry that cannot be written, {name!r}: {error.strerror}") from error
        if left < 0:
            raise refusal(path, f"unpacks to more than {limit:,} bytes, which is more than it says")
        target.chmod(modes[name] & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
    for target, text in links:
        if not text or b"\0" in text:
            raise refusal(path, f"has a symbolic link that leads nowhere, {target.relative_to(into).as_posix()!r}")
        target.unlink(missing_ok=True)
        os.symlink(text, target)  # noqa: PTH211  the link's text is bytes, not a path of ours
    return modes


def _write_file(archive: BoundedZip, entry: zipfile.ZipInfo, target: Path, limit: int) -> int:
    """Write one file and return its bytes; more than ``limit`` are not written."""
    written = 0
    target.unlink(missing_ok=True)  # a link of an earlier layer must not be followed
    with target.open("xb") as file:
        for chunk in archive.chunks(entry):
            written += len(chunk)
            file.write(chunk)
            if written > limit:
                break
    return written
