"""What each extension costs: bytes of its own code and of the libraries that it brings.

One compile with every extension is enough. An extension's code is what its object files add to the executable (text
and data, without relocations); a PECL extension's is its stripped shared object. Its libraries are those whose symbols
it uses, with all that those need; glibc and the compiler's runtimes are not counted. Libraries that phplayer compiles
itself (``needs/`` beside the tree) count by their objects.

    extension_costs.py [--root DIR] [--tree DIR] [--binary FILE] [--pecl DIR] [--write]

``--root`` is the system that it was compiled on (a chroot), ``--tree`` PHP's source tree there after make (made in a
temporary folder when not given), ``--binary`` the linked php where it is not in that tree, ``--pecl`` a folder with
NAME.so files; with ``--pecl`` and no ``--tree`` nothing is compiled and only those are measured. ``--write`` puts the
result into costs.toml; other extensions' figures stay.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import catalog, elf, recipe, sources
from phplayer.catalog import files
from phplayer.engines import host
from phplayer.events import unheard
from phplayer.runtime import Architecture, BootstrapMode, Runtime
from tests import conftest

LIBRARY_FOLDERS = ("lib", "usr/lib", "lib64", "usr/lib64")
KNOWN = catalog.load()
TARGET = KNOWN.target(KNOWN.default_target)
NEVER = TARGET.glibc_sonames | TARGET.never_grafted


def whole_runtime(base: catalog.Base) -> Runtime:
    """PHP with every extension that it bundles and that this base has the libraries for."""
    version = KNOWN.release(conftest.PHP).version
    names = [
        extension.name
        for extension in KNOWN.extensions.values()
        if not extension.shared and extension.offered_by(version)
        if all(base.packages[library] for library in extension.libraries)
    ]
    return KNOWN.runtime(
        php=str(version),
        extensions=names,
        target=TARGET.name,
        architecture=Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )


def compiled(runtime: Runtime, base: catalog.Base, folder: Path) -> Path:
    """Compile PHP in a folder and return its source tree."""
    tarball = sources.fetch(runtime.release, file=None, subject="", listener=unheard)
    tree = folder / "php"
    tree.mkdir()
    subprocess.run(["tar", "-xJf", tarball, "-C", tree, "--strip-components=1"], check=True)
    plan = recipe.plan(runtime, base)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "CFLAGS": "-O2", "CXXFLAGS": "-O2"}
    subprocess.run(["./configure", *plan.configure], cwd=tree, env=environment, check=True)
    subprocess.run(["make", "-j2"], cwd=tree, env=environment, check=True)
    return tree


def output(*arguments: str | Path) -> str:
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def code_size(objects: Iterable[Path]) -> int:
    """Text and data of object files, in bytes: what ``size`` calls so."""
    files_ = list(objects)
    if not files_:
        return 0
    rows = (line.split() for line in output("size", *files_).splitlines()[1:])
    return sum(int(text) + int(data) for text, data, *_ in rows)


def undefined(objects: Iterable[Path]) -> frozenset[str]:
    """The symbols that object files want from elsewhere."""
    files_ = list(objects)
    if not files_:
        return frozenset()
    lines = output("nm", "-u", *files_).splitlines()
    return frozenset(parts[1] for line in lines if len(parts := line.split()) == 2)


class Libraries:
    """The shared libraries of a system."""

    def __init__(self, root: Path) -> None:
        places = [root / place for place in LIBRARY_FOLDERS]
        folders = [*places, *(folder for place in places if place.is_dir() for folder in place.glob("*-linux-gnu*"))]
        self._folders = [folder for folder in folders if folder.is_dir()]

    @cache  # noqa: B019  one object in a short run
    def path(self, soname: str) -> Path:
        return next(path.resolve() for folder in self._folders if (path := folder / soname).exists())

    @cache  # noqa: B019  one object in a short run
    def symbols(self, soname: str) -> frozenset[str]:
        lines = output("nm", "-D", "--defined-only", self.path(soname)).splitlines()
        return frozenset(line.split()[-1].partition("@")[0] for line in lines)

    def closure(self, sonames: Iterable[str]) -> frozenset[str]:
        """These libraries and all that they need."""
        found: set[str] = set()
        waiting = [soname for soname in sonames if soname not in NEVER]
        while waiting:
            soname = waiting.pop()
            if soname not in found:
                found.add(soname)
                waiting.extend(name for name in elf.read(self.path(soname)).needed if name not in NEVER)
        return frozenset(found)

    def size(self, sonames: Iterable[str]) -> int:
        return sum(self.path(soname).stat().st_size for soname in sonames)


class StaticLibraries:
    """The archives that the build compiled itself and linked into the executable."""

    def __init__(self, folder: Path) -> None:
        self._archives = sorted(folder.glob("*/library/lib/*.a"))
        self._symbols = {archive: defined([archive]) for archive in self._archives}

    @property
    def stems(self) -> tuple[str, ...]:
        """``libcurl.``: how the shared libraries begin that they stand in for."""
        return tuple(f"{archive.stem}." for archive in self._archives)

    def used(self, wanted: frozenset[str]) -> frozenset[Path]:
        """The archives that these symbols are from, and those that they need."""
        found: set[Path] = set()
        waiting = [archive for archive in self._archives if wanted & self._symbols[archive]]
        while waiting:
            archive = waiting.pop()
            if archive not in found:
                found.add(archive)
                more = undefined([archive])
                waiting.extend(other for other in self._archives if other not in found and more & self._symbols[other])
        return frozenset(found)


def defined(objects: Iterable[Path]) -> frozenset[str]:
    """The symbols that object files and archives offer."""
    lines = output("nm", "--defined-only", "--extern-only", *objects).splitlines()
    return frozenset(parts[2] for line in lines if len(parts := line.split()) == len(("address", "kind", "name")))


def bundled_costs(tree: Path, binary: Path, libraries: Libraries) -> dict[str, tuple[int, int]]:
    """Return extension of php-src -> (code, libraries), both in bytes; those that the tree has objects of."""
    static = StaticLibraries(tree.parent / "needs")
    linked = [
        name for name in elf.read(binary).needed if name not in NEVER and not name.startswith(static.stems or ("\0",))
    ]

    def used(objects: Iterable[Path]) -> frozenset[str | Path]:
        """Return sonames and archives."""
        wanted = undefined(objects)
        archives = static.used(wanted)
        wanted |= undefined(archives)
        return archives | libraries.closure(name for name in linked if wanted & libraries.symbols(name))

    def size(brought: Iterable[str | Path]) -> int:
        return sum(code_size([item]) if isinstance(item, Path) else libraries.size([item]) for item in brought)

    objects = {name: [*linked_objects(tree / "ext" / name)] for name in KNOWN.extensions}
    return {
        name: (code_size(own), size(used(own)))
        for name, own in objects.items()
        if own and not KNOWN.extensions[name].always
    }


def linked_objects(folder: Path) -> list[Path]:
    """The objects of a folder that go into the executable: libtool keeps those of shared objects in .libs."""
    return [path for path in sorted(folder.rglob("*.o")) if ".libs" not in path.parts]


def pecl_costs(folder: Path, libraries: Libraries) -> dict[str, tuple[int, int]]:
    """Return extension of PECL -> (code, libraries), both in bytes."""
    modules = sorted(folder.glob("*.so"))
    return {module.stem: (stripped(module), libraries.size(needed(module, libraries))) for module in modules}


def needed(module: Path, libraries: Libraries) -> frozenset[str]:
    return libraries.closure(elf.read(module).needed)


def stripped(module: Path) -> int:
    """Size of a shared object as a layer has it."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["strip", "--strip-unneeded", "-o", file.name, module], check=True)
        return Path(file.name).stat().st_size


def written(runtime: Runtime, base: str, found: Mapping[str, tuple[int, int]]) -> str:
    """Return costs.toml with these figures, its comment kept."""
    comment = files.FOLDER.joinpath("costs.toml").read_text().partition("\n\n")[0]
    head = f'php = "{runtime.php}"\nbase = "{base}"\narchitecture = "{runtime.architecture}"\n\n[extension]\n'
    lines = (
        f"{name} = {{ code = {code} }}\n" if not brought else f"{name} = {{ code = {code}, libraries = {brought} }}\n"
        for name, (code, brought) in sorted(found.items())
    )
    return f"{comment}\n\n{head}{''.join(lines)}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--pecl", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    base = host.base_of_this_machine()
    runtime = whole_runtime(base)
    with tempfile.TemporaryDirectory() as temporary:
        libraries = Libraries(arguments.root)
        found = {name: (cost.code, cost.libraries) for name, cost in KNOWN.costs.items()}
        if arguments.tree or not arguments.pecl:
            tree = arguments.tree or compiled(runtime, base, Path(temporary))
            found |= bundled_costs(tree, arguments.binary or tree / "sapi" / "cli" / "php", libraries)
        if arguments.pecl:
            found |= pecl_costs(arguments.pecl, libraries)
    for name, (code, brought) in sorted(found.items(), key=lambda item: -sum(item[1])):
        print(f"{name:14}{code / 1e6:8.2f} MB{brought / 1e6:9.2f} MB of libraries")
    if arguments.write:
        (files.FOLDER / "costs.toml").write_text(written(runtime, base.name, found))


if __name__ == "__main__":
    main()
