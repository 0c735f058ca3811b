"""Rules about shared libraries: is each there, is it the one that was meant, does it define what is needed of it."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from phplayer.policy.findings import Rule, Severity
from phplayer.policy.loading import Provider, origin, search_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.elf import ElfFile
    from phplayer.policy.findings import Finding
    from phplayer.policy.loading import Load
    from phplayer.policy.scene import Scene

MISSING_LIBRARY = Rule(
    name="missing-library",
    severity=Severity.ERROR,
    summary="a needed library is neither in the layer nor on live Lambda",
    remedy="Put the library into lib/ of the layer, or drop what needs it.",
)
IMAGE_ONLY_LIBRARY = Rule(
    name="image-only-library",
    severity=Severity.ERROR,
    summary="a needed library is in Lambda's container image, but not on live Lambda",
    remedy="Put the library into lib/ of the layer: a run in the container image proves nothing here.",
)
UNREACHABLE_LIBRARY = Rule(
    name="unreachable-library",
    severity=Severity.ERROR,
    summary="a needed library is in the layer, but in a folder where nothing looks for it",
    remedy="Move it to lib/ (/opt/lib is searched), or set DT_RPATH: patchelf --force-rpath --set-rpath.",
)
RUNPATH = Rule(
    name="runpath",
    severity=Severity.WARNING,
    summary="DT_RUNPATH points to a carried library, and Lambda's own copy is loaded all the same",
    remedy="Make it DT_RPATH, which is searched before LD_LIBRARY_PATH: patchelf --force-rpath --set-rpath.",
)
SHADOWED_LIBRARY = Rule(
    name="shadowed-library",
    severity=Severity.WARNING,
    summary="a carried library is never loaded, because Lambda's search path finds its own copy first",
    remedy="Point to the carried one with DT_RPATH (patchelf --force-rpath), or leave it out of the layer.",
)
SYMBOL_VERSION = Rule(
    name="symbol-version",
    severity=Severity.ERROR,
    summary="the library that will be loaded lacks a symbol version that is needed of it",
    remedy="Build on the target's own base or an older one, link an older version of the symbol, or carry the library "
    "and point to it with DT_RPATH (never glibc).",
)
UNKNOWN_VERSION = Rule(
    name="unknown-symbol-version",
    severity=Severity.NOTE,
    summary="versions of symbols are needed of a library of Lambda's whose versions are not known",
    remedy="Try it on live Lambda, or carry the library and point to it with DT_RPATH.",
)

RULES = (
    MISSING_LIBRARY, IMAGE_ONLY_LIBRARY, UNREACHABLE_LIBRARY, SYMBOL_VERSION, RUNPATH, SHADOWED_LIBRARY,
    UNKNOWN_VERSION,
)  # fmt: skip

_NAMED = 4  # symbols in a message; all are in the finding


def check(scene: Scene) -> Iterator[Finding]:
    """Find libraries that are not there or not the right ones, and symbol versions that they lack."""
    shadowed: dict[str, list[str]] = {}
    for load in scene.loads:
        if load.provider is Provider.NOWHERE:
            yield _not_found(scene, load)
            continue
        if load.provider is Provider.LAMBDA and _has_own(scene, load):
            if _found_by_runpath(scene, load):
                yield RUNPATH.finding(
                    load.file,
                    f"finds {load.soname} by DT_RUNPATH, which LD_LIBRARY_PATH overrides: Lambda's own is loaded",
                )
            else:
                shadowed.setdefault(load.soname, []).append(load.file)
        yield from _lacking_versions(scene, load)
    for soname, users in shadowed.items():
        more = f" and {len(users) - 1} more" if len(users) > 1 else ""
        yield SHADOWED_LIBRARY.finding(
            _carried(scene, soname)[0], f"is not what {users[0]}{more} will load: Lambda's own {soname} is found first"
        )


def _not_found(scene: Scene, load: Load) -> Finding:
    elsewhere = _carried(scene, load.soname)
    if elsewhere:
        return UNREACHABLE_LIBRARY.finding(
            load.file, f"needs {load.soname}, which lies at {elsewhere[0]}, where nothing looks for it"
        )
    if load.soname in scene.policy.image_only:
        return IMAGE_ONLY_LIBRARY.finding(
            load.file, f"needs {load.soname}, which is in the container image but not on live Lambda"
        )
    return MISSING_LIBRARY.finding(load.file, f"needs {load.soname}, which is neither in the layer nor on live Lambda")


def _has_own(scene: Scene, load: Load) -> bool:
    """Tell whether the layer carries the library that is taken from Lambda.

    That it carries one of glibc's or of the compiler's is another rule's matter.
    """
    always_lambdas = scene.policy.glibc_sonames | scene.policy.compiler_sonames
    return load.soname not in always_lambdas and bool(_carried(scene, load.soname))


def _found_by_runpath(scene: Scene, load: Load) -> bool:
    folders = search_folders(_elf(scene, load.file).runpath, origin(load.file))
    return any(scene.mounted.find(f"{folder}/{load.soname}") is not None for folder in folders)


def _lacking_versions(scene: Scene, load: Load) -> Iterator[Finding]:
    binary = _elf(scene, load.file)
    unknown = []
    for library, version in binary.versions:
        if library != load.soname:
            continue
        symbols = binary.symbols.get((library, version), ())
        if load.provider is Provider.LAYER:
            # A carried glibc is wrong whatever it defines, which another rule tells.
            if library not in scene.policy.glibc_sonames and not _elf(scene, load.path).satisfies(version):
                yield SYMBOL_VERSION.finding(
                    load.file,
                    f"needs {_named(symbols)}{version} of {library}, which {load.path} does not define",
                    symbols=symbols,
                )
            continue
        offered = scene.policy.offers(library, version)
        if offered is None:
            unknown.append(version)
        elif not offered:
            has = ", ".join(scene.policy.newest(library))
            yield SYMBOL_VERSION.finding(
                load.file,
                f"needs {_named(symbols)}{version} of {library}; {scene.policy.target} has {has}",
                symbols=symbols,
            )
    if unknown:
        known = load.soname in scene.policy.versions
        why = "Lambda's own defines no versions" if known else "of Lambda's own none are known"
        yield UNKNOWN_VERSION.finding(load.file, f"needs {', '.join(unknown)} of {load.soname}; {why}")


def _carried(scene: Scene, soname: str) -> tuple[str, ...]:
    """Return where the layers have a library of that name, for this architecture."""
    machine = scene.policy.architecture.elf_machine
    found = []
    for path in scene.mounted.by_name.get(posixpath.basename(soname), ()):
        file = scene.mounted.find(path)
        if file is not None and file.elf is not None and file.elf.machine == machine:
            found.append(path)
    return tuple(found)


def _elf(scene: Scene, path: str) -> ElfFile:
    file = scene.mounted.files[path].elf
    assert file is not None  # noqa: S101  only ELF files load
    return file


def _named(symbols: tuple[str, ...]) -> str:
    """Return ``a, b and 3 more at `` before the version, or nothing where no symbol is known."""
    if not symbols:
        return ""
    more = f" and {len(symbols) - _NAMED} more" if len(symbols) > _NAMED else ""
    return f"{', '.join(symbols[:_NAMED])}{more} at "
