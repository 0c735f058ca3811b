"""What a layer holds: its files with their sizes, as a zip's central directory or a folder tells.

Nothing is unpacked and nothing in the zip is believed further than it must be: a layer may come from anybody. Names
stay text (no path is ever opened by one), sizes are what the directory claims, and what cannot be true is warned of.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from phplayer.compression import Compression
from phplayer.dist import RUNTIME_ZIP, VENDOR_ZIP
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.layer import MANIFEST_PATHS, decode_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from phplayer.layer import Manifest

_MOST_ENTRIES = 200_000  # of a zip; the layers of PHP frameworks have some ten thousand
_LARGEST_MANIFEST = 4_000_000  # bytes, unpacked
_LARGEST_DIRECTORY = 64_000_000  # bytes of a zip's central directory
_END_OF_ZIP = 65_557  # bytes: the end record and the longest comment
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
    size = path.stat().st_size
    try:
        _check_directory(path, size)
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_ENTRIES:
                raise UsageError(
                    f"{path} has {len(infos)} entries: no layer has so many.", remedy="Name a layer's zip."
                )
            entries = tuple(
                Entry(path=info.filename, size=info.file_size, zipped=info.compress_size, crc=info.CRC)
                for info in infos
                if not info.filename.endswith("/")
            )
            manifest = _manifest_in(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise UsageError(
            f"{path} is not a zip that can be read: {error}.", remedy="Name a layer's zip; build or fetch it again."
        ) from error
    return Content(
        path=path,
        size=size,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        manifest=manifest,
        packed=True,
        warnings=tuple(_doubts(entries, size)),
    )


def _check_directory(path: Path, size: int) -> None:
    """Refuse a central directory that would fill the memory: it is read as a whole."""
    with path.open("rb") as file:
        file.seek(max(0, size - _END_OF_ZIP))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    claimed = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if claimed > _LARGEST_DIRECTORY:
        raise UsageError(
            f"{path} claims a directory of {claimed} bytes: no layer has one.", remedy="Name a layer's zip."
        )


def _manifest_in(archive: zipfile.ZipFile) -> Manifest | None:
    for name in MANIFEST_PATHS.values():
        try:
            if archive.getinfo(name).file_size > _LARGEST_MANIFEST:
                return None
            with archive.open(name) as file:  # what it claims and what comes out are two things
                return decode_manifest(file.read(_LARGEST_MANIFEST))
        except (
            KeyError,
            RuntimeError,
            zipfile.BadZipFile,
            NotImplementedError,
            msgspec.MsgspecError,
            zlib.error,
            EOFError,
        ):
            continue
    return None


def _doubts(entries: tuple[Entry, ...], size: int) -> Iterator[str]:
    """Yield what is wrong with a zip's directory. Unpacking is not done here, so none of it does harm."""
    if sum(entry.zipped for entry in entries) > size:
        yield "its entries overlap or claim more bytes than the file has: the sizes are not to be believed"
    names = [entry.path for entry in entries]
    if len(set(names)) < len(names):
        yield f"{len(names) - len(set(names))} entries have the name of another"
    outside = [name for name in names if name.startswith("/") or "\\" in name or ".." in name.split("/")]
    if outside:
        yield f"{len(outside)} entries would be unpacked outside of the layer, such as {printable(outside[0])}"


def read_tree(path: Path) -> Content:
    """Read a folder's files; links are not followed and count as nothing. Zipped sizes are what a quick pack gives."""
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
        if not stat.S_ISREG(file.lstat().st_mode):
            continue
        data = file.read_bytes()
        yield Entry(
            path=os.fsencode(file.relative_to(path)).decode("utf-8", "replace"),
            size=len(data),
            zipped=min(len(data), len(Compression.FAST.deflate(data))),
            crc=zlib.crc32(data),
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


def printable(name: str) -> str:
    """Return a name with all that would steer a terminal, or turn the text around, written as an escape."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)
