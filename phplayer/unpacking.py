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
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import cache
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LIMIT = 1_048_576_000
"""Bytes that an archive may unpack to: four times what Lambda takes, so that what is merely too large is measured."""

_MOST_ENTRIES = 200_000
_MOST_ZIPPED = 1_073_741_824  # bytes of a zip that are read at all
_LONGEST_LINK = 4096  # bytes; PATH_MAX
_CHUNK = 1 << 20
_MODE_SHIFT = 16  # an entry made on Unix keeps its mode in the upper half of its external attributes
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_START = b"PK\x03\x04"
_AGAIN = "Make it again with: zip -r layer.zip . (or phplayer build)"


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """An archive that was unpacked."""

    folder: Path
    zipped: int  # bytes of the archive
    modes: Mapping[str, int]  # permission bits of each file as the archive has them, set-uid included


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
    size = path.stat().st_size
    if size > _MOST_ZIPPED:
        raise _refusal(path, f"has {size:,} bytes, and no more than {_MOST_ZIPPED:,} are read")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked(path, archive, limit)
            modes = _write(path, archive, entries, into, limit)
    except zipfile.BadZipFile as error:
        raise UsageError(f"{path} {_what_is_wrong(path, error)}.", remedy=_AGAIN) from error
    except (zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged: {error}.", remedy=_AGAIN) from error
    return Unpacked(folder=into, zipped=size, modes=modes)


# -- before anything is written ---------------------------------------------------------------------------------------


def _checked(path: Path, archive: zipfile.ZipFile, limit: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries that are files or links, by their path in the layer."""
    listed = archive.infolist()
    _check_amount(path, listed, limit)
    entries: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in listed:
        name = _checked_name(path, entry)
        _check_kind(path, entry)
        if entry.is_dir():
            folders.add(name)
            continue
        if not name:
            raise _refusal(path, f"has an entry without a name, {entry.filename!r}")
        if name in entries:
            raise _refusal(path, f"has {name} twice")
        entries[name] = entry
    for name in (*entries, *folders):
        for folder in (*_parents(name), *(name for _ in folders & {name})):
            if folder in entries:
                raise _refusal(path, f"has {folder} both as a folder and as {_kind(entries[folder])}")
    return entries


def _check_amount(path: Path, listed: Sequence[zipfile.ZipInfo], limit: int) -> None:
    if len(listed) > _MOST_ENTRIES:
        raise _refusal(path, f"has {len(listed):,} entries, and no more than {_MOST_ENTRIES:,} are read")
    declared = sum(entry.file_size for entry in listed)
    if declared > limit:
        raise _refusal(path, f"unpacks to {declared:,} bytes, and no more than {limit:,} are written")


def _checked_name(path: Path, entry: zipfile.ZipInfo) -> str:
    """Return the entry's path in the layer, cleaned of ``./``."""
    name = entry.filename
    if entry.orig_filename.partition("\0")[0] != entry.orig_filename:
        raise _refusal(path, f"has an entry with a NUL in its name, {entry.orig_filename!r}")
    if "\\" in name:
        raise _refusal(path, f"has an entry with backslashes in its name, {name!r}")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise _refusal(path, f"has an entry that would be written outside the layer, {name!r}")
    return "/".join(part for part in parts if part not in {"", "."})


def _check_kind(path: Path, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise _refusal(path, f"is encrypted ({entry.filename!r})")
    if entry.compress_type not in _METHODS:
        raise _refusal(path, f"is compressed by method {entry.compress_type} ({entry.filename!r}), and not deflated")
    kind = stat.S_IFMT(entry.external_attr >> _MODE_SHIFT)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        raise _refusal(path, f"has a device, a pipe or a socket, {entry.filename!r}")
    if _is_link(entry) and entry.file_size > _LONGEST_LINK:
        raise _refusal(path, f"has a symbolic link of {entry.file_size:,} bytes, {entry.filename!r}")


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> _MODE_SHIFT)


def _kind(entry: zipfile.ZipInfo) -> str:
    return "a symbolic link" if _is_link(entry) else "a file"


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(
    path: Path, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], into: Path, limit: int
) -> dict[str, int]:
    modes: dict[str, int] = {}
    left = limit
    links = []
    for name, entry in entries.items():
        target = into / name
        through = next((parent for parent in _parents(name) if (into / parent).is_symlink()), None)
        if through is not None:
            raise _refusal(path, f"has {name} below {through}, which is a symbolic link of an earlier layer")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if _is_link(entry):
                links.append((target, archive.read(entry)))
                continue
            modes[name] = stat.S_IMODE(entry.external_attr >> _MODE_SHIFT) or 0o644
            left -= _write_file(archive, entry, target, left)
        except OSError as error:
            if error.filename is None:
                raise
            raise _refusal(path, f"has an entry that cannot be written, {name!r}: {error.strerror}") from error
        if left < 0:
            raise _refusal(path, f"unpacks to more than {limit:,} bytes, which is more than it says")
        target.chmod(modes[name] & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
    for target, text in links:
        if not text or b"\0" in text:
            raise _refusal(path, f"has a symbolic link that leads nowhere, {target.relative_to(into).as_posix()!r}")
        target.unlink(missing_ok=True)
        os.symlink(text, target)  # noqa: PTH211  the link's text is bytes, not a path of ours
    return modes


def _write_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limit: int) -> int:
    """Write one file and return its bytes; more than ``limit`` are not written."""
    written = 0
    target.unlink(missing_ok=True)  # a link of an earlier layer must not be followed
    with archive.open(entry) as source, target.open("xb") as file:
        while written <= limit and (chunk := source.read(_CHUNK)):
            written += len(chunk)
            file.write(chunk)
    return written


# -- refusals ---------------------------------------------------------------------------------------------------------


def _refusal(path: Path, what: str) -> UsageError:
    return UsageError(f"{path} {what}.", remedy=_AGAIN)


def _what_is_wrong(path: Path, error: zipfile.BadZipFile) -> str:
    with path.open("rb") as file:
        start = file.read(len(_START))
    text = str(error)
    if not start:
        return "is empty"
    if start != _START:
        return "is not a zip"
    if "not a zip" in text or "Truncated" in text or "central directory" in text:
        return "is cut off: the directory at its end is missing"
    return f"is damaged: {text}"
