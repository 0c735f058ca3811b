"""Which library is loaded: what our model of the dynamic loader says beside what glibc's own does, a layer at /opt.

Everything is laid out of one library and one program that the compiler made, changed by patchelf. The program is
started as on Lambda, with its LD_LIBRARY_PATH and a /usr/lib64 that has libraries of Lambda's names, opens the plugins
that it is told, and tells what is loaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from phplayer import catalog, elf_versions, policy
from phplayer.elf_image import Image
from phplayer.policy import content, loading, policies
from phplayer.policy.content import Mounted
from phplayer.policy.loading import Provider
from phplayer.policy.scene import Scene
from phplayer.runtime import Architecture
from tests import binaries

POLICY = policies.of(catalog.load().target("al2023"), Architecture.of_this_machine())
SYSTEM = "/usr/lib64"
LAMBDAS = ("libz.so.1", "libxml2.so.2", "libyaml-0.so.2")  # names that Lambda has, too
_NOT_STARTED = 127  # how ld.so ends
MAIN = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
static int tell(struct dl_phdr_info *info, size_t size, void *none) { puts(info->dlpi_name); return 0; }
int main(int count, char **arguments) {
    for (int number = 1; number < count; number++)
        if (!dlopen(arguments[number], RTLD_NOW)) puts(dlerror());
    dl_iterate_phdr(tell, 0);
    return 0;
}
"""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """A file of the layer; its soname is its name unless told."""

    path: str
    needed: tuple[str, ...] = ()
    rpath: str = ""
    runpath: str = ""
    soname: str | None = None
    link: str = ""  # a symbolic link instead of a file


def of(path: str, *needed: str, **more: str) -> Binary:
    return Binary(path=path, needed=needed, **more)


TO_LIB = "$ORIGIN/../lib"
SCENARIOS: dict[str, tuple[Binary, ...]] = {
    "the RPATH of the program holds for what its libraries need": (
        of("bin/php", "liba.so", rpath=TO_LIB), of("lib/liba.so", "libz.so.1"), of("lib/libz.so.1"),
    ),
    "the RUNPATH of the program does not": (
        of("bin/php", "liba.so", runpath=f"{TO_LIB}:$ORIGIN/../own"), of("own/liba.so", "libb.so"), of("own/libb.so"),
    ),
    "LD_LIBRARY_PATH comes before RUNPATH": (of("bin/php", "libz.so.1", runpath=TO_LIB), of("lib/libz.so.1")),
    "a library with a RUNPATH is not helped by the program's RPATH": (
        of("bin/php", "liba.so", rpath=TO_LIB), of("lib/liba.so", "libz.so.1", runpath="$ORIGIN"), of("lib/libz.so.1"),
    ),
    "but what it loads is": (
        of("bin/php", "liba.so", rpath=TO_LIB), of("lib/liba.so", "libb.so", runpath="$ORIGIN"),
        of("lib/libb.so", "libz.so.1"), of("lib/libz.so.1"),
    ),
    "a library's own RPATH comes before that of its loader": (
        of("bin/php", "liba.so", rpath=TO_LIB), of("lib/liba.so", "libb.so", rpath="$ORIGIN/own"),
        of("lib/own/libb.so"), of("lib/libb.so"),
    ),
    "$ORIGIN is where the link is": (
        of("bin/php", "liba.so", rpath=TO_LIB), of("lib/liba.so", link="../own/liba.so"),
        of("own/liba.so", "libb.so", rpath="$ORIGIN"), of("own/libb.so"), of("lib/libb.so"),
    ),
    "a folder that is a link": (
        of("bin/php", "liba.so", rpath="$ORIGIN/../lib64"), of("lib64", link="lib"),
        of("lib/liba.so", "libz.so.1"), of("lib/libz.so.1"),
    ),
    "a plugin finds what the program's RPATH leads to": (
        of("bin/php", "liba.so", rpath=f"{TO_LIB}:$ORIGIN/../own"), of("lib/liba.so"),
        of("lib/php/extensions/x.so", "libz.so.1", "libb.so"), of("own/libz.so.1"), of("own/libb.so"),
    ),
    "a plugin with a RUNPATH does not, and Lambda's comes first": (
        of("bin/php", rpath="$ORIGIN/../own"), of("own/libz.so.1"), of("lib/php/extensions/libxml2.so.2"),
        of("lib/php/extensions/x.so", "libz.so.1", "libxml2.so.2", runpath="$ORIGIN"),
    ),
    "what is loaded already is taken again": (
        of("bin/php", "libz.so.1", rpath=TO_LIB), of("lib/libz.so.1"), of("lib/php/extensions/libz.so.1"),
        of("lib/php/extensions/x.so", "libz.so.1", rpath="$ORIGIN"),
    ),
    "a library answers to its soname as well as to its file's name": (
        of("bin/php", "libq.so", "libz.so.1", rpath=TO_LIB), of("lib/libq.so", soname="libz.so.1"), of("lib/libz.so.1"),
    ),
    "folders for the processor's level come first": (
        of("bin/php", "liba.so", rpath=TO_LIB), of("lib/liba.so"), of("lib/glibc-hwcaps/x86-64-v2/liba.so"),
    ),
    "what is nowhere is not loaded": (of("bin/php"), of("lib/php/extensions/x.so", "libb.so"), of("own/libb.so")),
    "an empty RUNPATH": (of("bin/php", "liba.so", rpath=""), of("lib/liba.so", "libyaml-0.so.2")),
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program, a library, and what lies in Lambda's /usr/lib64."""
    folder = tmp_path_factory.mktemp("bare")
    binaries.compile_c(folder / "program", MAIN, "-ldl")
    library = binaries.library(folder / "library", "int a;")
    (folder / "lib64").mkdir()
    for path in Path(SYSTEM).glob("ld-linux*"):
        shutil.copy(path.resolve(), folder / "lib64" / path.name)
    for name in LAMBDAS:
        _change(Path(shutil.copy(library, folder / "lib64" / name)), "--set-soname", name)
    return folder


def _has_level() -> bool:
    """Tell whether this machine is of the level whose folder a scenario has."""
    loader = next(iter(Path(SYSTEM).glob("ld-linux*")))
    said = subprocess.run([loader, "--help"], capture_output=True, text=True, check=False).stdout
    return "x86-64-v2 (supported, searched)" in said


def _change(path: Path, *arguments: str) -> None:
    binaries.patchelf(path, *arguments)


def _lay_out(bare: Path, opt: Path, scenario: tuple[Binary, ...]) -> None:
    for binary in scenario:
        path = opt / binary.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if binary.link:
            path.symlink_to(binary.link)
            continue
        program = binary.path.startswith("bin/")
        shutil.copy(bare / ("program" if program else "library"), path)
        arguments = [] if program else ["--set-soname", path.name if binary.soname is None else binary.soname]
        arguments += [word for name in reversed(binary.needed) for word in ("--add-needed", name)]
        _change(path, *arguments)
        if binary.rpath or binary.runpath:
            kind = ["--force-rpath"] if binary.rpath else []
            _change(path, *kind, "--set-rpath", binary.rpath or binary.runpath)


def _started(bare: Path, opt: Path, plugins: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    script = f'mount --bind "$1" /opt && mount --bind "$2" {SYSTEM} && shift 2 && exec "$@"'
    library_path = ":".join(POLICY.library_path)
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", opt, bare / "lib64", "/usr/bin/env", "-i",
         f"LD_LIBRARY_PATH={library_path}", "/opt/bin/php", *plugins],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _by_glibc(bare: Path, opt: Path, plugins: Sequence[str]) -> set[str] | None:
    """Return the files below /opt and of /usr/lib64 that are loaded, links followed; None if it does not start."""
    done = _started(bare, opt, plugins)
    if done.returncode == _NOT_STARTED and "cannot open shared object file" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    found = set()
    for line in done.stdout.splitlines():
        path = line.replace("/lib64/", "/usr/lib64/") if line.startswith("/lib64/") else line
        if path.startswith("/opt/"):
            found.add("/opt/" + (opt / path.removeprefix("/opt/")).resolve().relative_to(opt).as_posix())
        elif os.path.basename(path) in LAMBDAS:  # noqa: PTH119  a path that is not on this machine
            found.add(path)
    return found


def _by_us(opt: Path) -> set[str] | None:
    layer = content.read(opt)
    loads = loading.loads(Mounted.of(layer), POLICY)
    lost = {load.file for load in loads if load.provider is Provider.NOWHERE}
    if lost and not any(path.endswith("/x.so") for path in lost):
        return None
    taken = {f"/opt/{load.path}" for load in loads if load.provider is Provider.LAYER}
    lambdas = {f"{SYSTEM}/{load.soname}" for load in loads if load.provider is Provider.LAMBDA}
    plugins = {f"/opt/{load.file}" for load in loads if load.file.endswith("/x.so") and load.file not in lost}
    return taken | plugins | {path for path in lambdas if path.endswith(LAMBDAS)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_takes_what_glibcs_loader_takes(bare: Path, tmp_path: Path, name: str) -> None:
    scenario = tuple(binary for binary in SCENARIOS[name] if "hwcaps" not in binary.path or _has_level())
    opt = tmp_path / "opt"
    _lay_out(bare, opt, scenario)
    plugins = [f"/opt/{binary.path}" for binary in scenario if binary.path.endswith("/x.so")]
    assert _by_us(opt) == _by_glibc(bare, opt, plugins)


def test_it_refuses_the_versions_that_glibcs_loader_refuses(bare: Path, tmp_path: Path) -> None:
    opt = tmp_path / "opt"
    library = binaries.versioned_library(opt / "lib" / "libv.so.1", "v", "V_2")
    code = "int v(void); int main(void) { return v() - 1; }"
    program = binaries.compile_c(opt / "bin" / "php", code, library, f"-Wl,--disable-new-dtags,-rpath,{TO_LIB}")
    assert _verdicts(bare, opt) == (True, True)
    binaries.versioned_library(library, "v", "V_1")
    assert _verdicts(bare, opt) == (False, False)
    binaries.library(library, "int v(void) { return 1; }")
    assert _verdicts(bare, opt) == (False, False)
    # One without versions, whose table of them says so, is taken whatever is needed.
    binaries.library(library, '#include <stdlib.h>\nint v(void) { return getenv("HOME") ? 0 : 1; }')
    assert _verdicts(bare, opt) == (True, True)
    binaries.versioned_library(library, "other", "V_1")  # and a version that is weak only warns
    data = bytearray(program.read_bytes())
    (need,) = (need for need in elf_versions.needs(Image(bytes(data))) if need.version == "V_2")
    data[need.offset + 4] |= 2
    program.write_bytes(data)
    assert "weak version `V_2' not found" in _started(bare, opt).stderr
    assert not _findings(opt)


def _verdicts(bare: Path, opt: Path) -> tuple[bool, bool]:
    """Return whether glibc's loader starts it, and whether we find it fit."""
    started, findings = _started(bare, opt), _findings(opt)
    refusals = ("version `V_2' not found", "check_match: Assertion")
    assert any(refusal in started.stderr for refusal in refusals) == (started.returncode != 0), started.stderr
    return started.returncode == 0, not findings


def _findings(opt: Path) -> list[str]:
    found = policy.examine(Scene(layer=content.read(opt), policy=POLICY))
    return [finding.message for finding in found if finding.name == "symbol-version"]
