"""The host engine: recipes run on this machine, with the packages that its package manager has."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from phplayer import cache, catalog
from phplayer.engines import capacity, compilers
from phplayer.engines.lines import lines
from phplayer.errors import EnvironmentMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from phplayer.catalog import Base
    from phplayer.recipe import Recipe


def base_of_this_machine() -> Base:
    """Return the base that this machine is.

    Raises:
        EnvironmentMissingError: it is none that the catalogue knows; names the packages that would be needed.

    """
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {"ID": platform.system().lower(), "PRETTY_NAME": platform.system()}
    identifiers = [system["ID"], *system.get("ID_LIKE", "").split()]
    bases = catalog.load().bases
    for base in bases.values():
        if set(identifiers) & set(base.os_release):
            return base
    debian = next(base for base in bases.values() if base.manager == "apt")
    raise EnvironmentMissingError(
        f"The host engine cannot compile on {system.get('PRETTY_NAME', system['ID'])}: it knows the packages of "
        f"{', '.join(name for base in bases.values() for name in base.os_release)} only.",
        remedy="Compile on one of them. By Debian's names it takes "
        f"{' '.join(debian.toolchain)} and the -dev packages of the libraries.",
    )


class HostEngine:
    """Compiles on this machine."""

    name = "host"

    def __init__(self, *, ccache: bool = True) -> None:
        """``ccache``: use it where it is installed. What is compiled is the same, byte for byte."""
        self.base = base_of_this_machine()
        self._ccache = ccache

    def compilers(self) -> int:
        """Return how many compilers this machine carries at once."""
        return compilers(processors=capacity.processors(), memory=capacity.memory())

    def missing(self, packages: Sequence[str]) -> tuple[str, ...]:
        """Return those of the packages that are not installed."""
        if self.base.manager == "apt":
            installed = self._debs
            return tuple(package for package in packages if not installed.named(package))
        return tuple(package for package in packages if not _output("rpm", "-q", "--whatprovides", package))

    @cached_property
    def _debs(self) -> _InstalledDebs:
        """What is installed, asked once: a build asks for each of its parts."""
        return _InstalledDebs.read()

    def install_command(self, packages: Sequence[str]) -> tuple[str, ...]:
        """Return the command that installs packages here, with sudo where the user is not root."""
        command = (*self.base.install_command, *packages)
        return command if os.geteuid() == 0 else ("sudo", *command)

    def require(self, packages: Sequence[str]) -> None:
        """Raise EnvironmentMissingError naming the packages that are missing and how to install them."""
        missing = self.missing(packages)
        if missing:
            raise EnvironmentMissingError(
                f"To compile here, {_count(len(missing), 'package')} must be installed: {', '.join(missing)}.",
                remedy=shlex.join(self.install_command(missing)),
            )

    def fingerprint(self, packages: Sequence[str]) -> str:
        """Return a digest of the installed versions of the packages and of all that they depend on."""
        if self.base.manager == "apt":
            versions = self._debs.closure(packages)
        else:
            versions = sorted(_output("rpm", "-qa").splitlines())
        if not versions:
            raise EnvironmentMissingError(
                "The package manager of this machine does not answer.", remedy="Check that dpkg-query or rpm works."
            )
        return hashlib.sha256("\n".join(versions).encode()).hexdigest()

    @contextmanager
    def workspace(self, key: str, recipe: Recipe) -> Iterator[HostWorkspace]:
        """Open the folder of that part below the cache."""
        del recipe  # the packages are this machine's
        folder = cache.folder("work") / key[:16]
        folder.mkdir(exist_ok=True)
        yield HostWorkspace(folder, environment=ccache_environment() if self._ccache else _ENVIRONMENT)
        shutil.rmtree(folder, ignore_errors=True)


_PIECE = 65_536  # bytes that are read of a program's output at once


class HostWorkspace:
    """A folder of this machine."""

    full_disk_remedy = "The disk is full: free some space, or move the cache with PHPLAYER_CACHE, and run again."

    def __init__(self, folder: Path, *, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def put(self, source: Path, name: str) -> None:
        """Copy a file or a folder in."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, path, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, path)

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str], on_line: Callable[[str], None]) -> int:
        """Run a program in a process group of its own, which ends with this call whatever happens."""
        process = subprocess.Popen(
            arguments,
            cwd=self._folder,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101  it was asked for
        try:
            with process.stdout:
                for line in lines(iter(partial(os.read, process.stdout.fileno(), _PIECE), b"")):
                    on_line(line)
            return process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self._folder / name).exists()

    def mark(self, name: str) -> None:
        """Make an empty file."""
        (self._folder / name).touch()

    def get(self, name: str, into: Path) -> None:
        """Copy a file or a folder out."""
        source = self._folder / name
        if source.is_dir():
            shutil.copytree(source, into / name, symlinks=True)
        else:
            shutil.copyfile(source, into / name)


# Nothing of the user's environment takes part: CFLAGS or a locale of theirs would change what is compiled.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_CCACHE_COMPILERS = ("/usr/lib/ccache", "/usr/lib64/ccache")  # compilers by their names that go through ccache
_CCACHE_SIZE = "1G"  # some twenty PHPs


def ccache_environment() -> Mapping[str, str]:
    """Return the environment of the steps, with ccache before the compilers where it is installed."""
    compilers = next((folder for folder in _CCACHE_COMPILERS if os.access(f"{folder}/gcc", os.X_OK)), None)
    if compilers is None:
        return _ENVIRONMENT
    return {
        **_ENVIRONMENT,
        "PATH": f"{compilers}:{_ENVIRONMENT['PATH']}",
        "CCACHE_DIR": str(cache.folder("ccache")),
        "CCACHE_BASEDIR": str(cache.folder("work")),  # below it paths are taken relative: each build has a folder
        "CCACHE_MAXSIZE": _CCACHE_SIZE,
    }


def _output(*command: str) -> str:
    """Return what a query prints; one that fails because it knows no such package has answered too."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_ENVIRONMENT)
    except FileNotFoundError:
        return ""
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class _InstalledDebs:
    """What dpkg has installed."""

    versions: Mapping[str, str]
    depends: Mapping[str, str]  # name -> its dependency fields as dpkg writes them
    providers: Mapping[str, Sequence[str]]  # virtual package -> packages that stand for it

    @classmethod
    def read(cls) -> _InstalledDebs:
        fields = "${Package}\t${Version}\t${db:Status-Status}\t${Provides}\t${Pre-Depends},${Depends}\n"
        versions: dict[str, str] = {}
        depends: dict[str, str] = {}
        providers: dict[str, list[str]] = {}
        for line in _output("dpkg-query", "-W", "-f", fields).splitlines():
            name, version, status, provides, needs = line.split("\t")
            if status == "installed":
                versions[name], depends[name] = version, needs
                for provided in _names(provides):
                    providers.setdefault(provided, []).append(name)
        return cls(versions=versions, depends=depends, providers=providers)

    def named(self, package: str) -> Sequence[str]:
        """Return the installed packages that answer to a name."""
        return [package] if package in self.versions else self.providers.get(package, ())

    def closure(self, packages: Sequence[str]) -> list[str]:
        """Return ``name=version`` of the packages and of everything installed that they depend on, sorted."""
        found: set[str] = set()
        waiting = list(packages)
        while waiting:
            for package in self.named(waiting.pop()):
                if package not in found:
                    found.add(package)
                    waiting.extend(_names(self.depends[package]))
        return sorted(f"{name}={self.versions[name]}" for name in found)


def _names(relation: str) -> list[str]:
    """Return the package names in a dependency field: ``a (>= 1) | b:any, c`` -> a, b, c."""
    names = (re.split(r"[\s(:]", part.strip(), maxsplit=1)[0] for part in re.split(r"[,|]", relation))
    return [name for name in names if name]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
