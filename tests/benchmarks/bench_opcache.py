"""What each way of using OPcache does to a start: until the first event is asked for, the function's classes loaded.

    python tests/benchmarks/bench_opcache.py --layer-tree DIR --cache DIR

``--layer-tree`` is an unpacked runtime layer; in ``--cache`` Guzzle and Symfony are kept, as their tests keep them.
Contestants take turns on one core; figures are medians. Then the primed file cache itself: its size, and how much of it
differs when it is primed anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer import archive
from tests.benchmarks.bench_bootstrap import processor_ms, until_first_request
from tests.integration import guzzle

COMPONENTS = ("Console", "EventDispatcher", "HttpFoundation", "Routing", "Serializer", "Yaml")
AUTOLOAD = """
spl_autoload_register(static function (string $class): void {
    $file = '%s/' . strtr(substr($class, strlen('Symfony\\\\')), '\\\\', '/') . '.php';
    if (str_starts_with($class, 'Symfony\\\\') && is_file($file)) {
        require $file;
    }
});
"""
LOAD = """
foreach (%s as $class) {
    try {
        class_exists($class);  // as good for interfaces and traits
    } catch (Error) {  // its parent is in a package that is not there
    }
}
function index() {}
"""
COMPILE = "<?php foreach (%s as $file) { opcache_compile_file($file) || throw new Exception($file); }"
ON = {"opcache.enable_cli": "1"}
FILLED = {"USE_ZEND_ALLOC": "0", "GLIBC_TUNABLES": "glibc.malloc.perturb=85"}


def guzzle_function(vendor: Path) -> str:
    code = "foreach (require '{0}/composer/autoload_classmap.php' as $class => $file) {{ $classes[] = $class; }}"
    return f"require '{vendor}/autoload.php';" + code.format(vendor) + LOAD % "$classes"


def symfony_function(source: Path) -> str:
    files = [path for name in COMPONENTS for path in (source / "Component" / name).rglob("*.php")]
    classes = sorted(
        "Symfony\\" + str(path.relative_to(source).with_suffix("")).replace("/", "\\")
        for path in files
        if not {"Tests", "Resources"} & set(path.parts)
    )
    return AUTOLOAD % source + LOAD % classes


def symfony(cache: Path) -> Path:
    """Return Symfony's source folder, from the tarball that Guzzle's tests fetch."""
    (tarball,) = (cache / "sources").glob("symfony_*")
    folder = cache / "symfony"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            subprocess.run(["tar", "-xf", tarball, "-C", temporary, "--strip-components=1"], check=True)
            Path(temporary, "src", "Symfony").rename(folder)
    return folder


class Starts:
    """Starts of one function, with the layer's bootstrap and configuration."""

    def __init__(self, tree: Path, task: Path, code: str) -> None:
        self._tree, self._task = tree, task
        self.cache = task / "cache"
        self._index = task / "src" / "index.php"
        self._index.parent.mkdir(parents=True)
        self._index.write_text(f"<?php\nerror_reporting(E_ALL & ~E_DEPRECATED);\n{code}")
        os.utime(self._index, (315532800,) * 2)  # OPcache does not cache a file of the last two seconds
        self._environment = {
            "LAMBDA_TASK_ROOT": str(task),
            "PATH": os.environ["PATH"],
            "PHP_INI_SCAN_DIR": str(tree / "etc" / "php" / "conf.d"),
            "_HANDLER": "index",
        }

    def command(self, directives: Mapping[str, str], *arguments: str | Path) -> list[str | Path]:
        extensions = self._tree / "lib" / "php" / "extensions"
        flags = [f"-d{name}={value}" for name, value in {"extension_dir": str(extensions), **directives}.items()]
        return [self._tree / "bin" / "php", "-c", self._tree / "etc" / "php" / "php.ini", *flags, *arguments]

    def start(self, directives: Mapping[str, str], *before: str, environment: Mapping[str, str] | None = None) -> None:
        command = [*before, *self.command(directives, self._tree / "bootstrap")]
        until_first_request(command, self._environment | dict(environment or {}))

    def file_cache(self) -> dict[str, str]:
        self.cache.mkdir(exist_ok=True)
        return ON | {"opcache.file_cache": str(self.cache), "opcache.file_cache_only": "1"}

    def primed_anew(self, *before: str, environment: Mapping[str, str] | None = None) -> dict[Path, bytes]:
        shutil.rmtree(self.cache, ignore_errors=True)
        self.start(self.file_cache(), *before, environment=environment)
        return {path.relative_to(self.cache): path.read_bytes() for path in self.cache.rglob("*.bin")}

    def compiled(self) -> dict[Path, bytes]:
        """Return what a start compiles of the function, without the bootstrap: the files, and what becomes of them."""
        found = {Path("/", *path.parts[1:]).with_suffix(""): code for path, code in self.primed_anew().items()}
        return {path: code for path, code in found.items() if not path.is_relative_to(self._tree)}

    def preload(self) -> dict[str, str]:
        script = self._task / "preload.php"
        script.write_text(COMPILE % [str(path) for path in self.compiled() if path != self._index])
        user = {"opcache.preload_user": "nobody"} if os.geteuid() == 0 else {}
        quiet = {"error_reporting": "0"}  # about classes whose parents are not there
        return ON | {"opcache.preload": str(script)} | user | quiet


def compare(name: str, starts: Starts, count: int) -> None:
    def first_start() -> None:
        shutil.rmtree(starts.cache, ignore_errors=True)
        starts.start(starts.file_cache())

    preload = starts.preload()
    contestants: dict[str, Callable[[], None]] = {
        "OPcache off": lambda: starts.start({}),
        "enable_cli": lambda: starts.start(ON),
        "enable_cli, no optimiser": lambda: starts.start(ON | {"opcache.optimization_level": "0"}),
        "enable_cli, preloaded": lambda: starts.start(preload),
        "file cache, empty": first_start,
        "file cache, primed": lambda: starts.start(starts.file_cache()),  # by the one before
    }
    processor: dict[str, list[float]] = {each: [] for each in contestants}
    wall: dict[str, list[float]] = {each: [] for each in contestants}
    for _ in range(count):
        for each, contestant in contestants.items():
            began = time.perf_counter()
            processor[each].append(processor_ms(contestant))
            wall[each].append((time.perf_counter() - began) * 1e3)
    off = statistics.median(processor["OPcache off"])
    print(f"\n{name + f', {len(starts.compiled())} files':26} ms of processor time   ratio    wall")
    for each in contestants:
        own = statistics.median(processor[each])
        print(f"  {each:24} {own:21.1f}   {own / off:4.2f}x  {statistics.median(wall[each]):6.1f}")


def look_into(starts: Starts, folder: Path) -> None:
    """Print the size of what is primed, and what of it differs between two primings."""
    for each in ("sources", "primed"):
        (folder / each).mkdir()
    for number, (path, code) in enumerate(starts.compiled().items()):
        shutil.copyfile(path, folder / "sources" / str(number))
        (folder / "primed" / str(number)).write_bytes(code)
    for each in ("sources", "primed"):
        archive.pack(folder / each, folder / f"{each}.zip")
        size = sum(path.stat().st_size for path in (folder / each).iterdir())
        print(f"  {each:24} {size / 1e6:8.2f} MB, zipped {(folder / f'{each}.zip').stat().st_size / 1e6:.2f} MB")
    fixed = ("setarch", "-R")
    if subprocess.run([*fixed, "true"], check=False, capture_output=True).returncode != 0:
        print("  addresses cannot be fixed here, as in a container by Docker's default")
        return
    for how, before, environment in (
        ("primed twice", (), {}),
        ("at fixed addresses", fixed, {}),
        ("and in filled memory", fixed, FILLED),
    ):
        one, other = (starts.primed_anew(*before, environment=environment) for _ in range(2))
        print(f"  {how:24} {sum(one[path] != other.get(path) for path in one)} of {len(one)} files differ")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer-tree", type=Path, required=True, help="unpacked runtime layer")
    parser.add_argument("--cache", type=Path, required=True, help="where Guzzle and Symfony are kept")
    parser.add_argument("--starts", type=int, default=30)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cache = options.cache.resolve()
    vendor = guzzle.guzzle_vendor(cache)
    functions = {
        "nothing": "function index() {}",
        "Guzzle": guzzle_function(vendor),
        "Symfony": symfony_function(symfony(cache)),
    }
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)  # preloading is done by an ordinary user
        for name, code in functions.items():
            starts = Starts(options.layer_tree.resolve(), Path(temporary, name), code)
            compare(name, starts, options.starts)
            look_into(starts, Path(temporary, name))


if __name__ == "__main__":
    main()
