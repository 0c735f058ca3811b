"""Rules about single ELF files: can this machine run it, does it carry what it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer.policy.content import OPT
from phplayer.policy.findings import Rule, Severity
from phplayer.policy.loading import origin, search_folders
from phplayer.policy.policies import ISA_LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.elf import ElfFile
    from phplayer.policy.content import LayerFile
    from phplayer.policy.findings import Finding
    from phplayer.policy.scene import Scene

WRONG_ARCHITECTURE = Rule(
    name="wrong-architecture",
    severity=Severity.ERROR,
    summary="a file is for another processor than the layer",
    remedy="Build it for the architecture of the function, or give the one that is meant with --arch.",
)
DAMAGED_ELF = Rule(
    name="damaged-elf",
    severity=Severity.ERROR,
    summary="a file begins as an ELF file and cannot be read as one",
    remedy="Build or copy it again.",
)
FOREIGN_LOADER = Rule(
    name="foreign-loader",
    severity=Severity.ERROR,
    summary="a program asks for a dynamic loader that live Lambda has not, such as musl's",
    remedy="Build it on glibc (Amazon Linux 2023, Debian), or link it statically.",
)
ISA_LEVEL = Rule(
    name="isa-level",
    severity=Severity.ERROR,
    summary="a file needs a newer level of the instruction set than every machine of Lambda has",
    remedy="Build it without -march=native and with a level that Lambda has, such as -march=x86-64-v2.",
)
GLIBC_CARRIED = Rule(
    name="glibc-carried",
    severity=Severity.ERROR,
    summary="the layer carries a part of glibc, which must fit Lambda's own loader to the letter",
    remedy="Leave glibc out of the layer and build against one that is not newer than the target's.",
)
COMPILER_RUNTIME_CARRIED = Rule(
    name="compiler-runtime-carried",
    severity=Severity.WARNING,
    summary="the layer carries libgcc_s or libstdc++, which Lambda has",
    remedy="Leave it out: two copies in one process break exceptions that cross them.",
)
TEXT_RELOCATIONS = Rule(
    name="text-relocations",
    severity=Severity.WARNING,
    summary="code is changed while it is loaded, so no page of it is shared and hardened kernels refuse it",
    remedy="Compile it with -fPIC.",
)
EXECUTABLE_STACK = Rule(
    name="executable-stack",
    severity=Severity.WARNING,
    summary="a file asks for an executable stack",
    remedy="Mark its assembly with .note.GNU-stack, or link with -Wl,-z,noexecstack.",
)
RPATH_OUTSIDE = Rule(
    name="rpath-outside",
    severity=Severity.WARNING,
    summary="a search path leads to a folder outside /opt, or depends on the current folder",
    remedy="Make it relative to the file: patchelf --force-rpath --set-rpath '$ORIGIN/../lib'.",
)
RPATH_NOWHERE = Rule(
    name="rpath-nowhere",
    severity=Severity.WARNING,
    summary="a search path leads to a folder that the layer has not",
    remedy="Remove it (patchelf --remove-rpath), or make it relative to the file: '$ORIGIN/../lib'.",
)
DEBUG_INFORMATION = Rule(
    name="debug-information",
    severity=Severity.NOTE,
    summary="a file holds debugging information, which makes the layer larger",
    remedy="Strip it: strip --strip-unneeded.",
)

RULES = (
    WRONG_ARCHITECTURE, DAMAGED_ELF, FOREIGN_LOADER, ISA_LEVEL, GLIBC_CARRIED, COMPILER_RUNTIME_CARRIED,
    TEXT_RELOCATIONS, EXECUTABLE_STACK, RPATH_OUTSIDE, RPATH_NOWHERE, DEBUG_INFORMATION,
)  # fmt: skip


def check(scene: Scene) -> Iterator[Finding]:
    """Find ELF files that cannot run on the target, or that ask for what they should not."""
    for file in scene.layer.files.values():
        if file.damage:
            yield DAMAGED_ELF.finding(file.path, f"cannot be read: {file.damage}")
        if file.elf is not None:
            yield from _of_binary(scene, file, file.elf)


def _of_binary(scene: Scene, file: LayerFile, binary: ElfFile) -> Iterator[Finding]:
    policy = scene.policy
    if binary.machine != policy.architecture.elf_machine:
        machine = binary.machine.removeprefix("EM_").lower()
        yield WRONG_ARCHITECTURE.finding(file.path, f"is for {machine}, and the layer for {policy.architecture}")
        return
    if file.is_program and binary.interpreter and binary.interpreter not in policy.loaders:
        inside = scene.mounted.find(binary.interpreter) if binary.interpreter.startswith(f"{OPT}/") else None
        if inside is None:
            yield FOREIGN_LOADER.finding(
                file.path, f"asks for the loader {binary.interpreter}, which live Lambda has not"
            )
    level = binary.isa_needed.bit_length() - 1
    if policy.isa and level > ISA_LEVELS.index(policy.isa):
        needs = ISA_LEVELS[level] if level < len(ISA_LEVELS) else f"level {level}"
        yield ISA_LEVEL.finding(file.path, f"needs {needs}; every machine of Lambda has {policy.isa}")
    yield from _carried_runtimes(scene, file, binary)
    if binary.text_relocations:
        yield TEXT_RELOCATIONS.finding(file.path, "has text relocations")
    if binary.executable_stack:
        yield EXECUTABLE_STACK.finding(file.path, "asks for an executable stack")
    yield from _search_paths(scene, file, binary)
    if binary.debug:
        yield DEBUG_INFORMATION.finding(file.path, f"holds {binary.debug:,} bytes of debugging information")


def _carried_runtimes(scene: Scene, file: LayerFile, binary: ElfFile) -> Iterator[Finding]:
    for name in {file.name, binary.soname}:
        if name in scene.policy.glibc_sonames:
            yield GLIBC_CARRIED.finding(file.path, "is a part of glibc")
            return
        if name in scene.policy.compiler_sonames:
            yield COMPILER_RUNTIME_CARRIED.finding(file.path, "is a runtime of the compiler, which Lambda has")
            return


def _search_paths(scene: Scene, file: LayerFile, binary: ElfFile) -> Iterator[Finding]:
    kind = "DT_RUNPATH" if binary.runpath else "DT_RPATH"
    for folder in search_folders(binary.runpath or binary.rpath, origin(file.path)):
        if folder in scene.policy.library_path or folder in scene.policy.system_folders:
            continue
        if folder != OPT and not folder.startswith(f"{OPT}/"):
            yield RPATH_OUTSIDE.finding(file.path, f"has {folder} in {kind}, which is not in a layer")
        elif not scene.mounted.has_folder(folder):
            yield RPATH_NOWHERE.finding(file.path, f"has {folder} in {kind}, a folder that is not there")
