"""Symbols bound to older versions, in libraries made on the spot: of a glibc of our own, and of this machine's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from phplayer import catalog, elf, libraries, policy, rebinding
from phplayer.runtime import Architecture
from tests import binaries

HERE = Architecture.of_this_machine()
TARGET = catalog.load().target("al2023")
FOREIGN = catalog.load().bases["debian"]
OURS = "libm.so.6"  # a name of glibc's: the target has it, at versions of its own
SCRIPT = """
GLIBC_2.10 { global: old; ten; };
GLIBC_2.20 { global: both; twenty; } GLIBC_2.10;
GLIBC_2.99 { global: new; } GLIBC_2.20;
"""
DEFINITIONS = """
int old_1(void) { return 1; } __asm__(".symver old_1, old@GLIBC_2.10");
int old_9(void) { return 9; } __asm__(".symver old_9, old@@GLIBC_2.99");
int both_1(void) { return 1; } __asm__(".symver both_1, both@GLIBC_2.10");
int both_2(void) { return 2; } __asm__(".symver both_2, both@GLIBC_2.20");
int both_9(void) { return 9; } __asm__(".symver both_9, both@@GLIBC_2.99");
int ten(void) { return 10; }
int twenty(void) { return 20; }
int new(void) { return 9; }
"""


@pytest.fixture
def provider(tmp_path: Path) -> Path:
    """The folder of a library of glibc's with functions at several versions."""
    folder = tmp_path / "glibc"
    folder.mkdir()
    (folder / "map").write_text(SCRIPT)
    binaries.library(folder / OURS, DEFINITIONS, f"-Wl,--version-script,{folder / 'map'}")
    return folder


def user(provider: Path, *functions: str, **pinned: str) -> Path:
    """Compile a library that calls functions at their newest version, or at the one that is given."""
    calls = " + ".join(f"{each}()" for each in (*functions, *pinned))
    declared = "".join(f"int {each}(void);" for each in (*functions, *pinned))
    pins = "".join(f'__asm__(".symver {name}, {name}@{version}");' for name, version in pinned.items())
    code = f"{declared} {pins} int use(void) {{ return {calls}; }}"
    return binaries.library(provider.parent / "libuser.so", code, provider / OURS, f"-Wl,-rpath,{provider}")


def result(user: Path) -> int:
    """Return what the library's function returns, when glibc's loader has loaded it."""
    program = user.with_name("program")
    binaries.compile_c(program, "int use(void); int main(void) { return use(); }", user, f"-Wl,-rpath,{user.parent}")
    return subprocess.run([program], check=False).returncode


def needed(path: Path) -> dict[str, tuple[str, ...]]:
    return {version: symbols for (library, version), symbols in elf.read(path).symbols.items() if library == OURS}


def test_a_record_of_the_newer_version_becomes_one_of_the_older(provider: Path) -> None:
    path = user(provider, "old", both="GLIBC_2.10")
    assert (set(needed(path)), result(path)) == ({"GLIBC_2.10", "GLIBC_2.99"}, 9 + 1)
    assert rebinding.rebind([path], [provider], target=TARGET) == ("old@GLIBC_2.10",)
    assert (set(elf.read(path).versions), result(path)) == ({(OURS, "GLIBC_2.10")}, 1 + 1)
    assert rebinding.rebind([path], [provider], target=TARGET) == ()


def test_each_symbol_goes_to_the_newest_version_that_the_target_has_of_it(provider: Path) -> None:
    path = user(provider, "both", "old", "ten", "twenty")
    assert result(path) == 9 + 9 + 10 + 20
    assert rebinding.rebind([path], [provider], target=TARGET) == ("both@GLIBC_2.20", "old@GLIBC_2.10")
    assert set(needed(path)) == {"GLIBC_2.10", "GLIBC_2.20"}
    assert result(path) == 2 + 1 + 10 + 20


def test_what_is_named_nowhere_cannot_be_bound_to(provider: Path) -> None:
    path = user(provider, "both", "old")
    before = path.read_bytes()
    assert rebinding.rebind([path], [provider], target=TARGET) == ()
    assert path.read_bytes() == before


def test_what_has_no_older_version_is_left_to_the_policy(provider: Path) -> None:
    path = user(provider, "old", "new", both="GLIBC_2.10")
    before = path.read_bytes()
    assert rebinding.rebind([path], [provider], target=TARGET) == ()
    assert rebinding.rebind([path], [provider.parent], target=TARGET) == ()
    assert path.read_bytes() == before


def test_a_grafted_library_of_this_machine_becomes_fit_for_the_target(tmp_path: Path) -> None:
    """With hypot, which has a version of glibc 2.35 besides its first."""
    found, tree = tmp_path / "libraries", tmp_path / "tree"
    own = binaries.library(
        found / "libown.so.1",
        "#include <math.h>\n#include <stdio.h>\n"
        'int own(int a) { double b = hypot(a, 4); printf("%g", b); return (int) b; }',
        "-fno-builtin", "-lm",
    )  # fmt: skip
    binaries.compile_c(tree / "bin" / "php", "int own(int); int main(int c, char **v) { return own(c + 2); }", own)
    for name in ("libm.so.6", "libc.so.6"):
        said = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        shutil.copy(Path(said.strip()).resolve(), found / name)
    libraries.graft(tree, [found], target=TARGET, base=FOREIGN)
    grafted = tree / "lib" / "libown.so.1"
    of_hypot = next(version for (_, version), names in elf.read(grafted).symbols.items() if "hypot" in names)
    done = rebinding.rebind(elf.files(tree), [found], target=TARGET)
    assert any(each.startswith("hypot@") for each in done) == (of_hypot == "GLIBC_2.35")
    assert policy.check(tree, target=TARGET, architecture=HERE) == ()
    environment = {"LD_LIBRARY_PATH": ""}
    assert subprocess.run([tree / "bin" / "php"], env=environment, capture_output=True, check=False).returncode == 5
