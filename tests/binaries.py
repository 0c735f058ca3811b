"""ELF files made by the C compiler on the spot."""

from __future__ import annotations

import subprocess
from pathlib import Path

from phplayer import libraries


def compile_c(into: Path, code: str, *arguments: str | Path) -> Path:
    """Compile C code into a file."""
    into.parent.mkdir(parents=True, exist_ok=True)
    source = into.with_name(f"{into.name}.c")
    source.write_text(code)
    subprocess.run(["gcc", source, "-o", into, *arguments], check=True)
    source.unlink()
    return into


def library(path: Path, code: str = "int a(void) { return 1; }", *arguments: str | Path) -> Path:
    """Compile a shared library whose soname is its file's name."""
    return compile_c(path, code, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", *arguments)


def versioned_library(path: Path, function: str, version: str) -> Path:
    """Compile a shared library that defines one function at one symbol version."""
    script = path.with_name(f"{path.name}.map")
    path.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"{version} {{ global: {function}; local: *; }};\n")
    made = library(path, f"int {function}(void) {{ return 1; }}", f"-Wl,--version-script,{script}")
    script.unlink()
    return made


def patchelf(path: Path, *arguments: str) -> None:
    """Change an ELF file."""
    subprocess.run([libraries._patchelf_program(), *arguments, path], check=True)
