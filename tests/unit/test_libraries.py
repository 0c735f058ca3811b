"""Grafting and policy on real ELF files, made by the C compiler on the spot."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from phplayer import catalog, elf, libraries, policy
from phplayer.errors import BuildFailedError
from phplayer.runtime import Architecture

KNOWN = catalog.load()
TARGET = KNOWN.target("al2023")
FOREIGN = KNOWN.bases["debian"]
NATIVE = KNOWN.bases["al2023"]
HERE = Architecture.of_this_machine()


def compile_c(into: Path, code: str, *arguments: str | Path) -> Path:
    into.parent.mkdir(parents=True, exist_ok=True)
    source = into.with_suffix(".c")
    source.write_text(code)
    subprocess.run(["gcc", source, "-o", into, *arguments], check=True)
    source.unlink()
    return into


@pytest.fixture
def layer(tmp_path: Path) -> tuple[Path, Path]:
    """A program that needs liba, which needs libxml2 (a soname that Lambda has too): (tree, libraries)."""
    tree, found = tmp_path / "tree", tmp_path / "libraries"
    inner = compile_c(
        found / "libxml2.so.2", "int b(void) { return 42; }", "-shared", "-fPIC", "-Wl,-soname,libxml2.so.2"
    )
    outer = compile_c(
        found / "liba.so.1",
        "int b(void); int a(void) { return b(); }",
        "-shared",
        "-fPIC",
        "-Wl,-soname,liba.so.1",
        inner,
    )
    compile_c(tree / "bin" / "php", "int a(void); int main(void) { return a(); }", outer, f"-Wl,-rpath-link,{found}")
    return tree, found


def run(tree: Path) -> int:
    clean = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    return subprocess.run([tree / "bin" / "php"], env=clean, capture_output=True, check=False).returncode


def test_on_a_foreign_base_all_is_carried_and_found_from_anywhere(layer: tuple[Path, Path], tmp_path: Path) -> None:
    tree, found = layer
    assert run(tree) == 127
    assert libraries.graft(tree, [found], target=TARGET, base=FOREIGN) == ("liba.so.1", "libxml2.so.2")
    assert run(tree) == 42
    moved = shutil.move(tree, tmp_path / "elsewhere")
    assert run(Path(moved)) == 42


def test_the_search_path_is_rpath_so_that_lambdas_own_cannot_shadow_it(
    layer: tuple[Path, Path], tmp_path: Path
) -> None:
    tree, found = layer
    libraries.graft(tree, [found], target=TARGET, base=FOREIGN)
    for path in elf.files(tree):
        file = elf.read(path)
        assert file.rpath.startswith("$ORIGIN")
        assert not file.runpath
    shadow = compile_c(tmp_path / "lib64" / "libxml2.so.2", "int b(void) { return 1; }", "-shared", "-fPIC")
    environment = {"LD_LIBRARY_PATH": str(shadow.parent)}
    assert subprocess.run([tree / "bin" / "php"], env=environment, check=False).returncode == 42


def test_on_the_native_base_what_lambda_has_is_left_out(layer: tuple[Path, Path]) -> None:
    tree, found = layer
    assert libraries.graft(tree, [found], target=TARGET, base=NATIVE) == ("liba.so.1",)


def test_the_targets_own_glibc_and_compiler_runtimes_are_never_carried() -> None:
    for soname in ("libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2"):
        assert not libraries.carried(soname, target=TARGET, base=FOREIGN)


def test_a_library_that_was_not_collected_is_named(layer: tuple[Path, Path]) -> None:
    tree, found = layer
    (found / "libxml2.so.2").unlink()
    with pytest.raises(BuildFailedError, match="needs libxml2"):
        libraries.graft(tree, [found], target=TARGET, base=FOREIGN)


def test_a_grafted_tree_passes_the_policy(layer: tuple[Path, Path]) -> None:
    tree, found = layer
    libraries.graft(tree, [found], target=TARGET, base=FOREIGN)
    assert policy.check(tree, target=TARGET, architecture=HERE) == ()


def test_the_policy_names_what_lambda_would_trip_over(layer: tuple[Path, Path]) -> None:
    tree, found = layer
    other = next(architecture for architecture in Architecture if architecture is not HERE)
    by_rule = {finding.name for finding in policy.check(tree, target=TARGET, architecture=other)}
    assert by_rule == {"wrong-architecture"}
    libraries.graft(tree, [found], target=TARGET, base=FOREIGN)
    subprocess.run([libraries._patchelf_program(), "--set-rpath", "$ORIGIN", tree / "lib" / "liba.so.1"], check=True)
    assert [finding.name for finding in policy.check(tree, target=TARGET, architecture=HERE)] == ["runpath"]


def test_symbols_of_a_newer_glibc_are_found(tmp_path: Path) -> None:
    code = "#include <math.h>\nint main(int c, char **v) { return (int) fmod(c, 3) + (int) hypot(c, 4); }"
    compile_c(tmp_path / "tree" / "bin" / "php", code, "-fno-builtin", "-lm")
    old = dataclasses.replace(TARGET, glibc="2.2")
    findings = policy.check(tmp_path / "tree", target=old, architecture=HERE)
    assert {finding.name for finding in findings} == {"symbol-version"}
    assert all(finding.is_error for finding in findings)
    assert policy.check(tmp_path / "tree", target=dataclasses.replace(TARGET, glibc="9.9"), architecture=HERE) == ()


def test_this_machine_has_lambdas_name() -> None:
    assert HERE.elf_machine == {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}[platform.machine()]
