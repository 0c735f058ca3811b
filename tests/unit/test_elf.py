"""Our reader of ELF files beside pyelftools on real files, and on files that were damaged or made to do harm."""

from __future__ import annotations

import functools
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phplayer import elf, elf_versions
from phplayer.elf_image import PT_GNU_STACK, Image, NotElfError
from phplayer.elf_versions import Need
from tests import binaries

MAIN = """
#include <math.h>
#include <stdio.h>
int main(int c, char **v) { fprintf(stdout, "%s", v[0]); return (int) fmod(c, 3); }
"""
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_DYNAMIC = 2
_WEAK = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program and libraries, each with something of its own."""
    folder = tmp_path_factory.mktemp("made")
    versioned = binaries.versioned_library(folder / "libv.so.1", "v", "V_2")
    binaries.library(folder / "libplain.so.1", "int p(void) { return 1; }", "-Wl,--hash-style=sysv", "-Wl,-z,x86-64-v3")
    binaries.library(
        folder / "libempty.so.1", "#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { abort(); }"
    )
    binaries.library(
        folder / "libdebug.so.1", "int d(void) { return 1; }", "-g", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/x"
    )
    binaries.compile_c(
        folder / "program", MAIN, "-fno-builtin", "-lm", "-no-pie", "-Wl,--disable-new-dtags,-rpath,$ORIGIN"
    )
    code = "int v(void); int main(void) { return v(); }"
    binaries.compile_c(folder / "user", code, versioned, "-Wl,-z,execstack")
    binaries.compile_c(folder / "static", "int main(void) { return 0; }", "-static")
    return folder


def of_pyelftools(path: Path) -> dict[str, object]:
    """What pyelftools makes of the sections of a file that has sound ones."""
    with path.open("rb") as file:
        opened = ELFFile(file)
        by_index = _needed_versions(opened)
        return {
            "machine": opened["e_machine"],
            "needed": tuple(_texts(opened, "needed")),
            **{name: "".join(_texts(opened, name)) for name in ("soname", "rpath", "runpath")},
            "defined": _defined_versions(opened),
            "versions": set(by_index.values()),
            "symbols": _symbols(opened, by_index),
        }


def _texts(opened: ELFFile, name: str) -> list[str]:
    dynamic = (segment for segment in opened.iter_segments() if isinstance(segment, DynamicSegment))
    return [getattr(tag, name) for segment in dynamic for tag in segment.iter_tags() if hasattr(tag, name)]


def _needed_versions(opened: ELFFile) -> dict[int, tuple[str, str]]:
    return {
        version["vna_other"]: (str(library.name), version.name)
        for section in opened.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for library, versions in section.iter_versions()
        for version in versions
        if not version["vna_flags"] & _WEAK
    }


def _defined_versions(opened: ELFFile) -> set[str]:
    sections = (section for section in opened.iter_sections() if isinstance(section, GNUVerDefSection))
    return {next(iter(names)).name for section in sections for _, names in section.iter_versions()}


def _symbols(opened: ELFFile, by_index: dict[int, tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    table: Any = opened.get_section_by_name(".dynsym")
    numbers: Any = opened.get_section_by_name(".gnu.version")
    found: dict[tuple[str, str], list[str]] = {}
    for number in range(table.num_symbols()) if table is not None and numbers is not None else ():
        index = numbers.get_symbol(number)["ndx"]
        if isinstance(index, int) and index & 0x7FFF in by_index:
            found.setdefault(by_index[index & 0x7FFF], []).append(table.get_symbol(number).name)
    return {need: tuple(sorted(names)) for need, names in found.items()}


def of_ours(path: Path) -> dict[str, object]:
    read = elf.read(path)
    named = ("machine", "needed", "soname", "rpath", "runpath", "defined")
    return {name: getattr(read, name) for name in named} | {
        "versions": set(read.versions),
        "symbols": dict(read.symbols),
    }


@pytest.mark.parametrize(
    "name", ["program", "user", "static", "libv.so.1", "libplain.so.1", "libempty.so.1", "libdebug.so.1"]
)
def test_what_the_compiler_made_is_read_as_by_pyelftools(made: Path, name: str) -> None:
    assert of_ours(made / name) == of_pyelftools(made / name)


@pytest.mark.parametrize("name", ["libc.so.6", "libm.so.6", "libgcc_s.so.1"])
def test_the_systems_own_libraries_are_read_as_by_pyelftools(name: str) -> None:
    said = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
    path = Path(said.strip()).resolve()
    assert of_ours(path) == of_pyelftools(path)


def test_what_is_demanded_of_the_machine_is_read(made: Path) -> None:
    assert elf.read(made / "libplain.so.1").isa_needed.bit_length() == 3
    assert elf.read(made / "libv.so.1").isa_needed == 0
    assert elf.read(made / "user").executable_stack
    assert not elf.read(made / "program").executable_stack
    assert elf.read(made / "program").interpreter.startswith("/lib")
    assert elf.read(made / "libdebug.so.1").debug > 0
    # A program has its own copy of stdout, which it defines at the version of glibc's.
    assert {"fprintf", "stdout"} <= {name for names in elf.read(made / "program").symbols.values() for name in names}


def test_a_library_that_says_nothing_of_the_stack_makes_it_executable(made: Path) -> None:
    for name, becomes in {"libv.so.1": True, "program": False, "static": False}.items():
        data = (made / name).read_bytes()
        silent = data.replace(PT_GNU_STACK.to_bytes(4, "little") + b"\6\0\0\0", bytes(4) + b"\6\0\0\0", 1)
        assert silent != data
        assert elf.parse(silent, made / name).executable_stack is becomes, name


def without_sections(data: bytes) -> bytes:
    """Return the file with its section headers gone, which no loader looks at."""
    fields = list(HEADER.unpack_from(data))
    fields[6] = fields[11] = fields[12] = fields[13] = 0
    return HEADER.pack(*fields) + data[HEADER.size :]


@pytest.mark.parametrize("name", ["program", "user", "libv.so.1", "libempty.so.1", "libplain.so.1"])
def test_a_file_without_sections_needs_what_it_needed_before(made: Path, name: str) -> None:
    data, path = (made / name).read_bytes(), made / name
    assert elf.parse(without_sections(data), path) == elf.parse(data, path)


def test_a_weak_version_is_not_needed(made: Path) -> None:
    data = bytearray((made / "user").read_bytes())
    assert ("libv.so.1", "V_2") in elf.parse(bytes(data), made / "user").versions
    (need,) = (need for need in needs_of(bytes(data)) if need.version == "V_2")
    data[need.offset + 4] |= 2
    assert ("libv.so.1", "V_2") not in elf.parse(bytes(data), made / "user").versions


def needs_of(data: bytes) -> list[Need]:
    return list(elf_versions.needs(Image(data)))


def segment_at(data: bytes, kind: int) -> int:
    """Return where the program header of a kind lies."""
    start, count = HEADER.unpack_from(data)[5], HEADER.unpack_from(data)[10]
    at = (start + number * _PROGRAM_HEADER.size for number in range(count))
    return int(next(offset for offset in at if struct.unpack_from("<I", data, offset)[0] == kind))


def put(data: bytes, offset: int, layout: str, *values: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)


def endless_needs(data: bytes) -> bytes:
    (need, *_) = needs_of(data)
    return put(data, need.offset + 12, "<I", 0xFFFF_FFFF)


def needs_in_a_row(data: bytes) -> bytes:
    """Needs whose next one is two bytes on, over and over: the tables of other things are read as needs."""
    changed = bytearray(data + b"\x02\0" * 400_000)
    (first, *_) = needs_of(data)
    struct.pack_into("<I", changed, first.offset + 12, len(data) - first.offset)
    return bytes(changed)


def many_segments(data: bytes) -> bytes:
    return put(data, 56, "<H", 0xFFFF)


def odd_segments(data: bytes) -> bytes:
    return put(data, 54, "<H", 1)


def segment_beyond(data: bytes) -> bytes:
    return put(data, segment_at(data, 1) + 32, "<QQ", 1 << 40, 1 << 40)


def dynamic_nowhere(data: bytes) -> bytes:
    return put(data, segment_at(data, _DYNAMIC) + 16, "<Q", 1 << 60)


def dynamic_without_end(data: bytes) -> bytes:
    start = struct.unpack_from("<Q", data, segment_at(data, _DYNAMIC) + 8)[0]
    changed = bytearray(data)
    for offset in range(start, len(changed) - 16, 16):
        struct.pack_into("<QQ", changed, offset, 1, 1)
    return bytes(changed)


@pytest.mark.parametrize(
    "harm",
    [endless_needs, needs_in_a_row, many_segments, odd_segments, segment_beyond, dynamic_nowhere, dynamic_without_end,
     lambda data: data[:100], lambda data: data[: len(data) // 3], lambda data: data[:4], lambda data: data[:17]],
)  # fmt: skip
def test_what_is_made_to_do_harm_is_damaged(made: Path, harm: Callable[[bytes], bytes]) -> None:
    path = made / "user"
    with pytest.raises(NotElfError, match=r"^user is damaged: "):
        elf.parse(harm(path.read_bytes()), path)


@functools.cache
def sample(path: Path) -> bytes:
    return path.read_bytes()


NAMES = ["program", "user", "libv.so.1", "libplain.so.1", "libempty.so.1"]
INTERESTING = [0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFE, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, (1 << 63) - 1, (1 << 64) - 1]


@given(
    name=st.sampled_from(NAMES), seed=st.integers(0, 1 << 32), spots=st.integers(1, 40), sizes=st.sampled_from("BHIQ")
)
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_mutated_file_is_read_or_damaged_and_nothing_else(
    made: Path, name: str, seed: int, spots: int, sizes: str
) -> None:
    path = made / name
    data = bytearray(sample(path))
    chance = random.Random(seed)  # noqa: S311  no secret
    tables = [0, segment_at(bytes(data), _DYNAMIC), *(need.offset for need in needs_of(bytes(data)))]
    dynamic = struct.unpack_from("<Q", data, segment_at(bytes(data), _DYNAMIC) + 8)[0]
    for _ in range(spots):
        base = chance.choice([*tables, dynamic, dynamic, 64, 64])
        at = min(base + chance.randrange(600), len(data) - 8)
        struct.pack_into(f"<{sizes}", data, at, chance.choice(INTERESTING) & ((1 << (8 * struct.calcsize(sizes))) - 1))
    try:
        elf.parse(bytes(data), path)
    except NotElfError:
        return


@given(data=st.binary(max_size=400))
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_bytes_after_the_magic_are_read_or_damaged(data: bytes) -> None:
    try:
        elf.parse(b"\x7fELF\x02\x01\x01" + data, Path("any"))
    except NotElfError:
        return
