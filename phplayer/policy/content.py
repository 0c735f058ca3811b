"""What a layer holds, as the rules see it: read once from a folder, and only values afterwards."""

from __future__ import annotations

import mmap
import posixpath
import re
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from phplayer import elf
from phplayer.elf_image import NotElfError
from phplayer.layer import MANIFEST_PATHS, Manifest, decode_manifest
from phplayer.policy import traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ModeOf: TypeAlias = Callable[[str, int], int]
"""Given a path in the layer and its permission bits in a folder, returns those that it has in the layer."""

OPT = "/opt"
"""Where Lambda mounts the layers of a function, all in one folder."""

_MOST_LINKS = 40  # symbolic links followed before a path counts as a circle, as in the kernel
_SHEBANG = 256  # bytes of a first line that the kernel reads
_INI_FOLDERS = {"conf.d", "php.d", "etc/php"}
_INI_LINE = re.compile(
    r"^[ \t]*(?P<key>zend_extension|extension|extension_dir)[ \t]*=[ \t]*[\"']?(?P<value>[^\"';\r\n]*)", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class IniLine:
    """A line of a php.ini that names an extension or their folder."""

    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class LayerFile:
    """One file or symbolic link of a layer."""

    path: str  # below /opt, with slashes
    mode: int  # permission bits, set-uid and set-gid included
    size: int  # bytes
    checksum: int = 0  # CRC-32 of the content
    link: str | None = None  # where a symbolic link points to
    elf: elf.ElfFile | None = None
    damage: str = ""  # why an ELF file could not be read
    shebang: str | None = None  # what follows #! of a script
    build_paths: tuple[str, ...] = ()
    secrets: tuple[traces.Secret, ...] = ()
    ini: tuple[IniLine, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def is_program(self) -> bool:
        """Whether it is meant to be run: a script with #!, or an ELF file that is no library."""
        if self.elf is not None:
            return not self.elf.soname and ".so" not in self.name and not self.name.endswith(".o")
        return self.shebang is not None


@dataclass(frozen=True, kw_only=True)
class LayerContent:
    """All files of one layer."""

    name: str  # what messages call it
    files: Mapping[str, LayerFile]  # by path, sorted
    folders: Mapping[str, int] = field(default_factory=dict)  # permission bits by path, sorted
    zipped: int | None = None  # bytes of its zip, where there is one
    manifest: Manifest | None = field(default=None, repr=False)  # of a layer that phplayer made

    @property
    def unpacked(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @cached_property
    def elf_files(self) -> tuple[LayerFile, ...]:
        """The files that are ELF and could be read."""
        return tuple(file for file in self.files.values() if file.elf is not None)


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """Layers as they lie at /opt, one over the other. A path here is absolute or below /opt."""

    files: Mapping[str, LayerFile]

    @classmethod
    def of(cls, *layers: LayerContent) -> Mounted:
        """Merge layers in Lambda's order: of two files with one path the later layer's is seen."""
        merged: dict[str, LayerFile] = {}
        for layer in layers:
            merged.update(layer.files)
        return cls(files=MappingProxyType(merged))

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds something, below /opt; ``""`` is /opt itself."""
        found = {""}
        for path in self.files:
            parent = posixpath.dirname(path)
            while parent and parent not in found:
                found.add(parent)
                parent = posixpath.dirname(parent)
        return frozenset(found)

    @cached_property
    def by_name(self) -> Mapping[str, tuple[str, ...]]:
        """Paths by their last part."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            found.setdefault(posixpath.basename(path), []).append(path)
        return MappingProxyType({name: tuple(paths) for name, paths in found.items()})

    def real(self, path: str) -> str | None:
        """Return where a path leads below /opt, links followed; None where it leaves /opt or runs in a circle."""
        left = self._followed(path)
        return None if left is None or self._first_link(left) is not None else left

    def runs_in_a_circle(self, path: str) -> bool:
        """Tell whether a path leads from link to link without end."""
        left = self._followed(path)
        return left is not None and self._first_link(left) is not None

    def _followed(self, path: str) -> str | None:
        """Return the path after as many links as the kernel follows; None where it leaves /opt."""
        left = _below_opt(path)
        for _ in range(_MOST_LINKS):
            if left is None:
                return None
            link = self._first_link(left)
            if link is None:
                return left
            target = self.files[link].link or ""
            rest = left[len(link) :]
            beside = posixpath.join(OPT, posixpath.dirname(link))
            left = _below_opt(posixpath.join(beside, target) + rest)
        return left

    def find(self, path: str) -> LayerFile | None:
        """Return the file at a path, links followed."""
        real = self.real(path)
        return None if real is None else self.files.get(real)

    def has_folder(self, path: str) -> bool:
        """Tell whether there is a folder at the path."""
        return self.real(path) in self.folders

    def _first_link(self, path: str) -> str | None:
        """Return the shortest leading part of the path that is a symbolic link."""
        end = -1
        while (end := path.find("/", end + 1)) >= 0:
            file = self.files.get(path[:end])
            if file is not None and file.link is not None:
                return path[:end]
        file = self.files.get(path)
        return path if file is not None and file.link is not None else None


def _below_opt(path: str) -> str | None:
    """Return the path as seen from /opt; None where it leaves it."""
    absolute = posixpath.normpath(path if path.startswith("/") else f"{OPT}/{path}").replace("//", "/")
    if absolute == OPT:
        return ""
    return absolute.removeprefix(f"{OPT}/") if absolute.startswith(f"{OPT}/") else None


def read(
    folder: Path,
    *,
    name: str = "",
    zipped: int | None = None,
    mode_of: ModeOf = lambda _path, mode: mode,
    build_folders: Sequence[str] = (),
) -> LayerContent:
    """Read a layer from the folder that becomes /opt. Each file is read once.

    ``build_folders`` are folders of this machine whose names have no place in a layer.

    Raises:
        OSError: something cannot be read.

    """
    files: dict[str, LayerFile] = {}
    folders: dict[str, int] = {}
    for path in _walk(folder):
        relative = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            folders[relative] = mode_of(relative, stat.S_IMODE(path.stat().st_mode))
            continue
        files[relative] = _file(path, relative, mode_of, build_folders)
    return LayerContent(
        name=name or folder.name,
        files=MappingProxyType(dict(sorted(files.items()))),
        folders=MappingProxyType(dict(sorted(folders.items()))),
        zipped=zipped,
        manifest=_manifest(folder, files),
    )


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield path
            yield from _walk(path)
        elif path.is_symlink() or path.is_file():
            yield path


def _file(path: Path, relative: str, mode_of: ModeOf, build_folders: Sequence[str]) -> LayerFile:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return LayerFile(path=relative, mode=0o777, size=0, link=str(path.readlink()))
    mode = mode_of(relative, stat.S_IMODE(status.st_mode))
    if status.st_size == 0:  # which cannot be mapped
        return LayerFile(path=relative, mode=mode, size=0)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _content(data, path, relative, mode, build_folders)


def _content(data: mmap.mmap, path: Path, relative: str, mode: int, build_folders: Sequence[str]) -> LayerFile:
    """Read a file of any size, of which no copy is made."""
    binary, damage = _elf(data, path)
    betrays = binary is not None or _is_ours(relative)
    return LayerFile(
        path=relative,
        mode=mode,
        size=len(data),
        checksum=zlib.crc32(data),
        elf=binary,
        damage=damage,
        shebang=_shebang(data),
        build_paths=traces.build_paths(data, also=build_folders) if betrays else (),
        secrets=traces.secrets(data, binary=binary is not None),
        ini=_ini(data[:]) if _is_php_ini(relative) else (),
    )


def _elf(data: mmap.mmap, path: Path) -> tuple[elf.ElfFile | None, str]:
    if not elf.begins_elf(data):
        return None, ""
    try:
        return elf.parse(data, path), ""
    except NotElfError as error:
        return None, str(error)


def _shebang(data: mmap.mmap) -> str | None:
    line = data[:_SHEBANG]
    if not line.startswith(b"#!"):
        return None
    return line[2:].partition(b"\n")[0].decode("utf-8", "replace").strip(" \t")


def _is_ours(path: str) -> bool:
    """Tell whether a text was made by the build. Packages of others speak of /home/user in their documentation."""
    return not path.startswith("vendor/") or path.startswith(("vendor/composer/", "vendor/autoload"))


def _is_php_ini(path: str) -> bool:
    if not path.endswith(".ini") or path.startswith("vendor/"):
        return False
    folder = posixpath.dirname(path)
    return posixpath.basename(path).startswith("php") or any(folder.endswith(each) for each in _INI_FOLDERS)


def _ini(data: bytes) -> tuple[IniLine, ...]:
    text = data.decode("utf-8", "replace")
    return tuple(IniLine(key=found["key"], value=found["value"].strip()) for found in _INI_LINE.finditer(text))


def _manifest(folder: Path, files: Mapping[str, LayerFile]) -> Manifest | None:
    for path in MANIFEST_PATHS.values():
        if path in files and files[path].link is None:
            try:
                return decode_manifest((folder / path).read_bytes())
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None
