"""The compiler proper of an emulated Debian, replaced by one that runs on this machine's own processor.

Under emulation nearly all the time of a compile goes into ``cc1`` and ``as``. Debian has the same release of both as
programs of amd64 that produce code for arm64. The kernel runs them in an arm64 container as they are; what drives
them (make, gcc, configure, libtool, the linker) and what they make stays emulated.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

PACKAGES: Final = ("cpp-10-aarch64-linux-gnu", "binutils-aarch64-linux-gnu")  # of bullseye; cpp has cc1
_FOLDER = "usr/lib/gcc/aarch64-linux-gnu/10"
_CROSS_FOLDER = "usr/lib/gcc-cross/aarch64-linux-gnu/10"
_ASSEMBLER = "usr/bin/aarch64-linux-gnu-as"
_LOADER = "lib64/ld-linux-x86-64.so.2"
_LIBRARIES = "lib/x86_64-linux-gnu"  # where that loader looks by itself


def move(native: Path, emulated: Path) -> None:
    """Put the compiler of ``native``, a root folder with PACKAGES, into the root folder of an arm64 Debian."""
    programs = {f"{_CROSS_FOLDER}/cc1": f"{_FOLDER}/cc1", _ASSEMBLER: _ASSEMBLER}
    for source, place in programs.items():
        # The packages of the emulated compiler, installed later, put their own files aside.
        _in(emulated, "dpkg-divert", "--no-rename", "--divert", f"/{place}.emulated", "--add", f"/{place}")
        _copy(native, source, emulated / place)
        subprocess.run(["strip", emulated / place], check=True)
        listed = _in(native, "ldd", f"/{source}")
        for library in re.findall(r"=> /(\S+)", listed):
            _copy(native, library, emulated / _LIBRARIES / Path(library).name)
    _copy(native, _LOADER, emulated / _LOADER)
    cross = emulated / _CROSS_FOLDER  # it looks for its own headers there
    cross.parent.mkdir(parents=True)
    cross.symlink_to(f"/{_FOLDER}")


def _copy(root: Path, name: str, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(root / _in(root, "realpath", f"/{name}").strip().lstrip("/"), into)


def _in(root: Path, *command: str) -> str:
    return subprocess.run(["chroot", root, *command], capture_output=True, text=True, check=True).stdout
