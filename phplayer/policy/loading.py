"""Which file the dynamic loader takes for each needed library, as glibc's ld.so does it on live Lambda.

A library that is loaded already is taken again; else the folders are DT_RPATH of the file and of those that loaded it
(unless the file has DT_RUNPATH), LD_LIBRARY_PATH, DT_RUNPATH, the system's (ld.so(8)). In each of them the folders for
the processor's level, glibc-hwcaps/x86-64-v3, come first. $ORIGIN is where a library was found, which may be a link. A
shared object that no program needs, such as a PHP extension, is taken for one that the program loads while it runs.
"""

from __future__ import annotations

import posixpath
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from phplayer.policy.content import OPT
from phplayer.policy.policies import ISA_LEVELS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from phplayer.elf import ElfFile
    from phplayer.policy.content import LayerFile, Mounted
    from phplayer.policy.policies import Policy

_INTERPRETER = "php"  # the program that is taken to load what no program needs


class Provider(Enum):
    """Where a needed library is."""

    LAYER = auto()
    LAMBDA = auto()
    NOWHERE = auto()


@dataclass(frozen=True, kw_only=True)
class Load:
    """A library that a file needs, and what the loader takes for it."""

    file: str  # path in the layer
    soname: str
    provider: Provider
    path: str = ""  # in the layer, of what was taken there


def search_folders(text: str, origin: str) -> tuple[str, ...]:
    """Return the absolute folders of a DT_RPATH or DT_RUNPATH of a file that lies in the folder ``origin``."""
    folders = []
    for each in text.split(":"):
        folder = each
        for name, value in (("ORIGIN", origin), ("LIB", "lib64"), ("PLATFORM", "")):
            folder = folder.replace(f"${{{name}}}", value).replace(f"${name}", value)
        folders.append(posixpath.normpath(folder) if folder else "")
    return tuple(folder for folder in folders if folder)


def loads(mounted: Mounted, policy: Policy) -> tuple[Load, ...]:
    """Return every library that a file of the layers needs, once for each answer that the loader has."""
    binaries = [file for file in mounted.files.values() if _fits(file, policy)]
    programs = [file for file in binaries if file.is_program]
    found: dict[Load, None] = {}
    reached: set[str] = set()
    hosts: list[_Process] = []
    for program in programs:
        process = _Process(mounted, policy)
        found.update(dict.fromkeys(process.load(program)))
        reached.update(process.files)
        hosts.append(process)
    php = (process for process in hosts if posixpath.basename(process.root) == _INTERPRETER)
    host = next(php, hosts[0] if hosts else None)
    # A library that is needed and was not taken is not loaded at all.
    needed = {soname for file in binaries if file.elf for soname in file.elf.needed}
    for plugin in binaries:
        names = {plugin.name, plugin.elf.soname if plugin.elf else ""}
        if plugin.path not in reached and not names & needed:
            process = _Process(mounted, policy, host)
            found.update(dict.fromkeys(process.load(plugin)))
    return tuple(found)


def _fits(file: LayerFile, policy: Policy) -> bool:
    return file.elf is not None and file.elf.machine == policy.architecture.elf_machine


class _Process:
    """What is loaded in one process."""

    def __init__(self, mounted: Mounted, policy: Policy, host: _Process | None = None) -> None:
        self.mounted = mounted
        self.policy = policy
        self.root = ""
        self.host = host
        self.loaded: dict[str, tuple[Provider, str]] = dict(host.loaded) if host else {}
        self.origins: dict[str, str] = dict(host.origins) if host else {}  # by file: what $ORIGIN is for it

    @property
    def files(self) -> Collection[str]:
        """The files that are loaded, the host's as well."""
        return self.origins.keys()

    def load(self, root: LayerFile) -> Iterator[Load]:
        """Load a file and all that it needs, breadth first as ld.so does."""
        self.root = root.path
        above = (self.host.root,) if self.host else ()
        waiting: deque[tuple[str, tuple[str, ...]]] = deque([(root.path, above)])
        self.origins[root.path] = origin(root.path)
        self._remember(self._elf(root.path).soname, root.path)
        while waiting:
            path, loaders = waiting.popleft()
            for soname in self._elf(path).needed:
                if soname not in self.loaded:
                    provider, taken, opened = self._search(soname, path, loaders)
                    self.loaded[soname] = (provider, taken)
                    if provider is Provider.LAYER and taken not in self.origins:
                        self.origins[taken] = posixpath.dirname(opened)
                        self._remember(self._elf(taken).soname, taken)
                        waiting.append((taken, (path, *loaders)))
                provider, taken = self.loaded[soname]
                yield Load(file=path, soname=soname, provider=provider, path=taken)

    def _remember(self, soname: str, path: str) -> None:
        if soname:
            self.loaded.setdefault(soname, (Provider.LAYER, path))

    def _elf(self, path: str) -> ElfFile:
        file = self.mounted.files[path].elf
        assert file is not None  # noqa: S101  only ELF files are loaded
        return file

    def _search(self, soname: str, path: str, loaders: tuple[str, ...]) -> tuple[Provider, str, str]:
        """Return who provides a library, its path in the layer, and the path by which it is found."""
        if "/" in soname:
            return self._at(soname)
        if soname in self.policy.glibc_sonames and soname.startswith("ld-linux"):
            return Provider.LAMBDA, "", ""  # the loader is loaded before anything is searched
        for folder in self._folders(path, loaders):
            found = self._at(f"{folder}/{soname}")
            if found[0] is not Provider.NOWHERE:
                return found
        return Provider.NOWHERE, "", ""

    def _at(self, path: str) -> tuple[Provider, str, str]:
        folder, _, soname = path.rpartition("/")
        if folder in self.policy.system_folders and soname in self.policy.sonames:
            return Provider.LAMBDA, "", path
        file = self.mounted.find(path) if path.startswith("/") else None
        if file is not None and _fits(file, self.policy):
            return Provider.LAYER, file.path, path
        return Provider.NOWHERE, "", ""

    def _folders(self, path: str, loaders: tuple[str, ...]) -> Iterator[str]:
        levels = ISA_LEVELS[1 : ISA_LEVELS.index(self.policy.isa) + 1] if self.policy.isa else ()
        for folder in self._plain_folders(path, loaders):
            yield from (f"{folder}/glibc-hwcaps/{level}" for level in reversed(levels))
            yield folder

    def _plain_folders(self, path: str, loaders: tuple[str, ...]) -> Iterator[str]:
        file = self._elf(path)
        if not file.runpath:
            for each in (path, *loaders):
                yield from search_folders(self._elf(each).rpath, self.origins[each])
        yield from self.policy.library_path
        yield from search_folders(file.runpath, self.origins[path])
        yield from sorted(self.policy.system_folders)


def origin(path: str) -> str:
    """Return the absolute folder of a file of a layer."""
    folder = posixpath.dirname(path)
    return f"{OPT}/{folder}" if folder else OPT
