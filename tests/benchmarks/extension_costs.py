"""What each extension costs: bytes of its own code and of the libraries that it brings.

An extension's code is what its object files add to the executable (text and data, without relocations); a PECL
extension's is its stripped shared object. Its libraries are those whose symbols it uses, with all that those need;
glibc and the compiler's runtimes are not counted. Libraries that phplayer compiles itself (``needs/`` beside the tree)
count by their objects.

    extension_costs.py [--extensions NAME,...] [--pecl DIR] [--root DIR --tree DIR [--binary FILE]] [--write]

Without more it compiles the object files of all extensions that php-src bundles and that this base has libraries for,
in a temporary folder; with ``--extensions`` those alone. ``--pecl`` is a folder with NAME.so files. ``--tree`` is
PHP's source tree after make, ``--root`` the system that this was made on (a chroot), ``--binary`` the linked php
where it is not in that tree. ``--write`` puts the result into costs.toml: other extensions' figures stay, and what is
measured now leaves ``[not_measured]``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import catalog, elf, recipe, resources, sources
from phplayer import compile as compiling
from phplayer.catalog import files
from phplayer.engines import host
from phplayer.events import unheard
from phplayer.runtime import Architecture, BootstrapMode, Runtime
from tests import conftest

LIBRARY_FOLDERS = ("lib", "usr/lib", "lib64", "usr/lib64")
KNOWN = catalog.load()
TARGET = KNOWN.target(KNOWN.default_target)
NEVER = TARGET.glibc_sonames | TARGET.never_grafted


def runtime_of(names: Iterable[str]) -> Runtime:
    return KNOWN.runtime(
        php=conftest.PHP,
        extensions=names,
        target=TARGET.name,
        architecture=Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )


def bundled_on(base: catalog.Base) -> list[str]:
    """Every extension that PHP bundles and that this base has the libraries for."""
    version = KNOWN.release(conftest.PHP).version
    return [
        extension.name
        for extension in KNOWN.extensions.values()
        if not extension.shared and not extension.always and extension.offered_by(version)
        if all(base.packages[library] for library in extension.libraries)
    ]


def compiled(names: Iterable[str], engine: host.HostEngine, folder: Path) -> tuple[Path, Path]:
    """Compile these extensions' object files. Return PHP's tree, and a file that is linked as php would be."""
    names = list(names)
    runtime = runtime_of(names)
    plan = recipe.plan(runtime, engine.base)
    engine.require(plan.packages)
    own_libraries(plan, engine, folder)
    tarball = sources.fetch(runtime.release, file=None, subject="", listener=unheard)
    tree = folder / "php"
    tree.mkdir()
    subprocess.run(["tar", "-xJf", tarball, "-C", tree, "--strip-components=1"], check=True)
    configure = resources.template("build", "configure.sh")
    subprocess.run(["sh", configure, *plan.configure], cwd=folder, check=True, stdout=sys.stderr)
    lines = (line.partition("=") for line in (tree / "Makefile").read_text().splitlines())
    variables = {name.strip(): value for name, equals, value in lines if equals}
    wanted = tuple(f"ext/{name}/" for name in names)
    objects = [each for each in variables["PHP_GLOBAL_OBJS"].split() if each.startswith(wanted)]
    subprocess.run(["make", "-j2", *objects], cwd=tree, check=True, stdout=sys.stderr)
    linked = folder / "linked.so"
    places = [f"-L{place}" for place in folder.glob("needs/*/library/lib")]
    flags = [flag for flag in variables["EXTRA_LIBS"].split() if flag.startswith("-l")]
    subprocess.run(["cc", "-shared", "-o", linked, "-Wl,--no-as-needed", *places, *flags], cwd=tree, check=True)
    return tree, linked


def own_libraries(plan: recipe.Plan, engine: host.HostEngine, folder: Path) -> None:
    """Put the libraries that phplayer compiles itself beside PHP's tree."""
    names = [part.name for part in plan.parts]
    parts = recipe.Plan(parts=plan.parts[: names.index(recipe.PHP)])
    keys = compiling.keys_on(parts, engine)
    with compiling.compile_all(parts, engine, keys, given={}, jobs=2, subject="", listener=unheard) as done:
        for part in done:
            shutil.copytree(part.folder / "library", folder / "needs" / part.recipe.name / "library")


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


def written(base: str, found: Mapping[str, tuple[int, int]]) -> str:
    """Return costs.toml with these figures, its comments kept."""
    comment = files.FOLDER.joinpath("costs.toml").read_text().partition("\n\n")[0]
    head = f'php = "{conftest.PHP}"\nbase = "{base}"\narchitecture = "{Architecture.of_this_machine()}"\n'
    lines = (
        f"{name} = {{ code = {code} }}\n" if not brought else f"{name} = {{ code = {code}, libraries = {brought} }}\n"
        for name, (code, brought) in sorted(found.items())
    )
    reasons = (f'{name} = "{reason}"\n' for name, reason in KNOWN.not_measured.items() if name not in found)
    return f"{comment}\n\n{head}\n[extension]\n{''.join(lines)}\n[not_measured]\n{''.join(reasons)}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--extensions", type=lambda text: text.split(","))
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--pecl", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    engine = host.HostEngine()
    libraries = Libraries(arguments.root)
    measured: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.tree:
            binary = arguments.binary or arguments.tree / "sapi" / "cli" / "php"
            measured |= bundled_costs(arguments.tree, binary, libraries)
        elif arguments.extensions or not arguments.pecl:
            names = arguments.extensions or bundled_on(engine.base)
            measured |= bundled_costs(*compiled(names, engine, Path(temporary)), libraries)
        if arguments.pecl:
            measured |= pecl_costs(arguments.pecl, libraries)
    for name, (code, brought) in sorted(measured.items(), key=lambda item: -sum(item[1])):
        print(f"{name:14}{code / 1e6:8.2f} MB{brought / 1e6:9.2f} MB of libraries")
    if arguments.write:
        found = {name: (cost.code, cost.libraries) for name, cost in KNOWN.costs.items()} | measured
        (files.FOLDER / "costs.toml").write_text(written(engine.base.name, found))


if __name__ == "__main__":
    main()
