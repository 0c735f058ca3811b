"""What a layer holds: its files with their sizes, as a zip's central directory or a folder tells.

Nothing is unpacked and nothing in the zip is believed further than it must be: a layer may come from anybody. Names
stay text (no path is ever opened by one), sizes are what the directory claims, and what cannot be true is warned of.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from phplayer.bounded_zip import BoundedZip
from phplayer.compression import Compression
from phplayer.dist import RUNTIME_ZIP, VENDOR_ZIP
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.layer import LARGEST_MANIFEST, MANIFEST_PATHS, decode_manifest
from phplayer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from zipfile import ZipInfo

    from phplayer.layer import Manifest

_MODE_SHIFT = 16  # an entry made on Unix keeps its mode in the upper half of its external attributes
_SONAME = re.compile(r"\.so(\.[\d.]+)?$")


class Kind(StrEnum):
    """What a file is for."""

    PHP = "PHP"
    EXTENSION = "extension"
    LIBRARY = "library"
    ICU_DATA = "ICU data"
    BOOTSTRAP = "bootstrap"
    PACKAGE = "Composer package"
    SETTINGS = "settings"
    DOCUMENTS = "licences and manifests"
    OTHER = "other"

    @classmethod
    def of(cls, path: str) -> Kind:
        """Tell by where a file lies in a layer, and in layers that others made as far as that is alike."""
        folder, _, name = path.rpartition("/")
        if name.startswith("libicudata") or folder.endswith("share/icu"):
            return cls.ICU_DATA
        for kind, pattern in _PATTERNS.items():
            if pattern.search(path):
                return kind
        return cls.OTHER


_PATTERNS = {
    Kind.DOCUMENTS: re.compile(r"^share/doc/|^(vendor|phplayer)/(phplayer|sbom\.cdx)\.json$|^phplayer\.json$"),
    Kind.PACKAGE: re.compile(r"(^|/)vendor/"),
    Kind.PHP: re.compile(r"(^|/)php(-cgi|-cli|-fpm|dbg)?[\d.]*$"),
    Kind.EXTENSION: re.compile(r"(^|/)(extensions|modules|no-debug-[^/]*)/([^/]+/)?[^/]+\.so$"),
    Kind.LIBRARY: re.compile(r"\.so(\.[\d.]+)?$"),
    Kind.BOOTSTRAP: re.compile(r"^bootstrap$|^phplayer/"),
    Kind.SETTINGS: re.compile(r"(^|/)etc/|\.ini$"),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of a layer."""

    path: str  # as it is named there; not to be opened
    size: int  # bytes, unpacked
    zipped: int  # bytes
    crc: int
    executable: bool = False
    link: bool = False  # a symbolic link, whose content is where it leads to

    @property
    def kind(self) -> Kind:
        """What it is for."""
        return Kind.of(self.path)


@dataclass(frozen=True, kw_only=True)
class Content:
    """What one layer holds."""

    path: Path
    size: int  # bytes of the zip; of a folder, what its files would take at least
    entries: tuple[Entry, ...]
    manifest: Manifest | None  # layers that others made have none
    packed: bool  # a zip; the zipped sizes of a folder are those of a quick compression
    warnings: tuple[str, ...] = ()

    @property
    def unpacked(self) -> int:
        """Bytes, unpacked."""
        return sum(entry.size for entry in self.entries)

    def package_of(self, path: str) -> str:
        """Return the distribution package, and its version, that a library came from, as far as the manifest knows."""
        records = getattr(self.manifest, "libraries", ())
        name = path.rpartition("/")[2]
        known = (f"{each.package} {each.version}".strip() for each in records if each.soname == name)
        return printable(next(known, ""))


def read(path: Path) -> tuple[Content, ...]:
    """Return the content of a zip, of a layer tree, or of every archive in a folder of ``phplayer build``.

    Raises:
        UsageError: there is no such thing, or it is no zip.
        NothingSelectedError: the folder is empty.

    """
    if path.is_file():
        return (read_zip(path),)
    if not path.is_dir():
        raise UsageError(f"There is no {path}.", remedy="Name a zip, a folder, or dist after: phplayer build")
    archives = [
        archive
        for folder in sorted({each.parent for each in (*path.glob(f"*/{RUNTIME_ZIP}"), *path.glob(RUNTIME_ZIP))})
        for archive in (folder / RUNTIME_ZIP, folder / VENDOR_ZIP)
        if archive.is_file()
    ]
    found = tuple(map(read_zip, archives)) if archives else (read_tree(path),)
    if not any(content.entries for content in found):
        raise NothingSelectedError(f"{path} holds no file.", remedy="Run phplayer build first, or name a zip.")
    return found


def read_zip(path: Path) -> Content:
    """Read a zip's central directory, and its manifest if it has one.

    Raises:
        UsageError: it is no zip, is cut off, or claims more entries than any layer has.

    """
    with BoundedZip(path) as archive:
        entries = tuple(_entry(info) for info in archive.entries if not info.filename.endswith("/"))
        manifest = _manifest_in(archive)
    return Content(
        path=path,
        size=archive.size,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        manifest=manifest,
        packed=True,
        warnings=tuple(_doubts(entries, archive.size)),
    )


def _entry(info: ZipInfo) -> Entry:
    mode = info.external_attr >> _MODE_SHIFT
    return Entry(
        path=info.filename,
        size=info.file_size,
        zipped=info.compress_size,
        crc=info.CRC,
        executable=bool(mode & stat.S_IXUSR) and not stat.S_ISLNK(mode),
        link=stat.S_ISLNK(mode),
    )


def _manifest_in(archive: BoundedZip) -> Manifest | None:
    for name in MANIFEST_PATHS.values():
        entry = archive.find(name)
        if entry is None:
            continue
        try:
            return decode_manifest(archive.read(entry, limit=LARGEST_MANIFEST))
        except (UsageError, msgspec.MsgspecError):
            continue
    return None


def _doubts(entries: tuple[Entry, ...], size: int) -> Iterator[str]:
    """Yield what is wrong with a zip's directory. Unpacking is not done here, so none of it does harm."""
    if sum(entry.zipped for entry in entries) > size:
        yield "its entries overlap or claim more bytes than the file has: the sizes are not to be believed"
    names = [entry.path for entry in entries]
    doubled = len(names) - len(set(names))
    if doubled:
        yield f"{doubled} {'entry has' if doubled == 1 else 'entries have'} the name of another"
    outside = [name for name in names if name.startswith("/") or "\\" in name or ".." in name.split("/")]
    if outside:
        number = "1 entry" if len(outside) == 1 else f"{len(outside)} entries"
        yield f"{number} would be unpacked outside of the layer, such as {printable(outside[0])}"


def read_tree(path: Path) -> Content:
    """Read a folder's files and links, which are not followed. Zipped sizes are what a quick pack gives."""
    entries = tuple(_entries_below(path))
    return Content(
        path=path,
        size=sum(entry.zipped for entry in entries),
        entries=entries,
        manifest=_manifest_below(path),
        packed=False,
    )


def _entries_below(path: Path) -> Iterable[Entry]:
    for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).as_posix()):
        mode = file.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            continue
        data = os.fsencode(file.readlink()) if stat.S_ISLNK(mode) else file.read_bytes()
        yield Entry(
            path=os.fsencode(file.relative_to(path)).decode("utf-8", "replace"),
            size=len(data),
            zipped=min(len(data), len(Compression.FAST.deflate(data))),
            crc=zlib.crc32(data),
            executable=bool(mode & stat.S_IXUSR) and not stat.S_ISLNK(mode),
            link=stat.S_ISLNK(mode),
        )


def _manifest_below(path: Path) -> Manifest | None:
    for name in MANIFEST_PATHS.values():
        file = path / name
        if file.is_file() and not file.is_symlink():
            try:
                return decode_manifest(file.read_bytes())
            except msgspec.MsgspecError:
                continue
    return None


def is_library(path: str) -> bool:
    """Tell whether a file is a shared library, extensions aside."""
    return _SONAME.search(path) is not None and Kind.of(path) in {Kind.LIBRARY, Kind.ICU_DATA}
