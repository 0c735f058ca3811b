"""Rules about files as such: permissions, symbolic links, what the bootstrap and php.ini ask for."""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING

from phplayer.layer import RuntimeManifest
from phplayer.policy.content import OPT
from phplayer.policy.findings import Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.policy.content import LayerContent, LayerFile
    from phplayer.policy.findings import Finding
    from phplayer.policy.scene import Scene

NOT_EXECUTABLE = Rule(
    name="not-executable",
    severity=Severity.ERROR,
    summary="the bootstrap, a program of bin/ or an extension of Lambda's lacks the executable bit",
    remedy="chmod 755 it before it is zipped, and zip it on a system that keeps modes.",
)
UNREADABLE = Rule(
    name="unreadable",
    severity=Severity.ERROR,
    summary="Lambda's user, who owns no file of a layer, may not read the file or folder",
    remedy="chmod 644 it (755 if it is to be run, or a folder) before it is zipped.",
)
SETUID = Rule(
    name="setuid",
    severity=Severity.ERROR,
    summary="a file has the set-uid or set-gid bit",
    remedy="Remove it: chmod u-s,g-s. Nothing on Lambda may change its user.",
)
WORLD_WRITABLE = Rule(
    name="world-writable",
    severity=Severity.WARNING,
    summary="everybody may write to the file",
    remedy="chmod o-w it. /opt is read-only on Lambda.",
)
ABSOLUTE_SYMLINK = Rule(
    name="absolute-symlink",
    severity=Severity.WARNING,
    summary="a symbolic link names an absolute path",
    remedy="Make it relative: it holds at /opt alone, if at all.",
)
SYMLINK_LEAVES = Rule(
    name="symlink-leaves-layer",
    severity=Severity.ERROR,
    summary="a symbolic link leads out of the layer, or in a circle",
    remedy="Put the file itself into the layer.",
)
DANGLING_SYMLINK = Rule(
    name="dangling-symlink",
    severity=Severity.WARNING,
    summary="a symbolic link leads to what is not in the layer",
    remedy="Remove it, or put what it leads to into the layer.",
)
BOOTSTRAP_MISSING = Rule(
    name="bootstrap-missing",
    severity=Severity.ERROR,
    summary="a runtime layer has no bootstrap at its top",
    remedy="Zip the content of the folder, not the folder itself; the bootstrap is to lie at /opt/bootstrap.",
)
BOOTSTRAP_INTERPRETER = Rule(
    name="bootstrap-interpreter",
    severity=Severity.ERROR,
    summary="the bootstrap cannot be started: its interpreter is not there, or it names none",
    remedy="Start it with #!/opt/bin/php or #!/bin/sh, with Unix line ends, and carry what it names.",
)
SCRIPT_INTERPRETER = Rule(
    name="script-interpreter",
    severity=Severity.WARNING,
    summary="a script of bin/ or an extension of Lambda's cannot be started: its interpreter is not there",
    remedy="Name one that the layer or Lambda has, such as #!/bin/sh or #!/opt/bin/php, or leave the script out.",
)
INI_EXTENSION = Rule(
    name="ini-extension",
    severity=Severity.ERROR,
    summary="a php.ini loads an extension whose file is not in the layer",
    remedy="Remove the line, or build PHP with that extension.",
)

RULES = (
    NOT_EXECUTABLE, UNREADABLE, SETUID, WORLD_WRITABLE, ABSOLUTE_SYMLINK, SYMLINK_LEAVES, DANGLING_SYMLINK,
    BOOTSTRAP_MISSING, BOOTSTRAP_INTERPRETER, SCRIPT_INTERPRETER, INI_EXTENSION,
)  # fmt: skip

_BOOTSTRAP = "bootstrap"
_ENTERED = stat.S_IROTH | stat.S_IXOTH  # https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html
_RUN_BY_OTHERS = ("bin/", "sbin/", "extensions/")  # /opt/extensions: programs that Lambda itself starts


def check(scene: Scene) -> Iterator[Finding]:
    """Find files that Lambda cannot run, read or trust."""
    for file in scene.layer.files.values():
        yield from _link(scene, file) if file.link is not None else _permissions(file)
        yield from _ini(scene, file)
        if file.path.startswith(_RUN_BY_OTHERS) and file.shebang is not None and scene.is_seen(file.path):
            problem = _start_problem(scene, file)
            if problem:
                yield SCRIPT_INTERPRETER.finding(file.path, problem)
    for path, mode in scene.layer.folders.items():
        if mode & _ENTERED != _ENTERED:
            yield UNREADABLE.finding(path, f"has mode {mode:04o}, so Lambda cannot look into the folder")
    yield from _bootstrap(scene)


def _permissions(file: LayerFile) -> Iterator[Finding]:
    runs = file.path == _BOOTSTRAP or (file.path.startswith(_RUN_BY_OTHERS) and file.is_program)
    if runs and not file.mode & stat.S_IXOTH:
        yield NOT_EXECUTABLE.finding(file.path, f"has mode {file.mode:04o}, so Lambda cannot start it")
    if not file.mode & stat.S_IROTH:
        yield UNREADABLE.finding(file.path, f"has mode {file.mode:04o}, so Lambda cannot read it")
    if file.mode & (stat.S_ISUID | stat.S_ISGID):
        yield SETUID.finding(file.path, f"has mode {file.mode:04o}")
    if file.mode & stat.S_IWOTH:
        yield WORLD_WRITABLE.finding(file.path, f"has mode {file.mode:04o}")


def _link(scene: Scene, file: LayerFile) -> Iterator[Finding]:
    link = file.link or ""
    real = scene.mounted.real(file.path)
    if real is None:
        where = "in a circle" if scene.mounted.runs_in_a_circle(file.path) else "out of the layer"
        yield SYMLINK_LEAVES.finding(file.path, f"leads to {link}, {where}")
        return
    if link.startswith("/"):
        yield ABSOLUTE_SYMLINK.finding(file.path, f"names {link}")
    if real not in scene.mounted.files and real not in scene.mounted.folders:
        yield DANGLING_SYMLINK.finding(file.path, f"leads to {link}, which is not there")


def _bootstrap(scene: Scene) -> Iterator[Finding]:
    file = scene.mounted.find(_BOOTSTRAP)
    if file is None:
        inside = _zipped_with_its_folder(scene.layer)
        if inside or isinstance(scene.layer.manifest, RuntimeManifest):
            where = f": it lies at {inside}" if inside else ", and without it Lambda starts nothing"
            yield BOOTSTRAP_MISSING.finding(_BOOTSTRAP, f"is not there{where}")
        return
    if not scene.is_seen(file.path):
        return
    if file.path != _BOOTSTRAP and not file.mode & stat.S_IXOTH:
        yield NOT_EXECUTABLE.finding(_BOOTSTRAP, f"leads to {file.path}, which has mode {file.mode:04o}")
    if file.elf is not None:
        return
    problem = _start_problem(scene, file)
    if problem:
        yield BOOTSTRAP_INTERPRETER.finding(file.path, problem)


def _zipped_with_its_folder(layer: LayerContent) -> str:
    """Return where the bootstrap lies if all is in one folder, which was zipped instead of what it holds; "" if not."""
    tops = {path.partition("/")[0] for path in layer.files}
    inside = posixpath.join(*tops, _BOOTSTRAP) if len(tops) == 1 else ""
    return inside if inside in layer.files and layer.files[inside].is_program else ""


def _start_problem(scene: Scene, file: LayerFile) -> str:
    """Return why the kernel would not start a script, or nothing."""
    if file.shebang is None:
        return "begins neither with #! nor as an ELF file"
    if file.shebang.endswith("\r"):
        return "has Windows line ends, so its interpreter is sought under a name that ends in a carriage return"
    words = file.shebang.split()
    if not words:
        return "begins with #! and names no interpreter"
    program = words[0]
    if posixpath.basename(program) == "env" and program in scene.policy.programs and len(words) > 1:
        name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        candidates = tuple(f"{folder}/{name}" for folder in scene.policy.search_path)
    else:
        candidates = (program,)
    if any(candidate in scene.policy.programs for candidate in candidates):
        return ""
    for candidate in candidates:
        found = scene.mounted.find(candidate) if candidate.startswith(f"{OPT}/") else None
        if found is not None:
            return "" if found.mode & stat.S_IXOTH else f"starts with {candidate}, which is not executable"
    return f"starts with {file.shebang}, which is neither in the layer nor on live Lambda"


def _ini(scene: Scene, file: LayerFile) -> Iterator[Finding]:
    folders = [line.value for line in file.ini if line.key == "extension_dir"]
    if any(folder.startswith("/") and not folder.startswith(OPT) for folder in folders):
        return  # the function's own folder, of which a layer says nothing
    for line in file.ini:
        if line.key == "extension_dir" or not line.value:
            continue
        if line.value.startswith("/"):
            there = not line.value.startswith(f"{OPT}/") or scene.mounted.find(line.value) is not None
        else:
            name = line.value if line.value.endswith(".so") else f"{line.value}.so"
            there = posixpath.basename(name) in scene.mounted.by_name
        if not there:
            yield INI_EXTENSION.finding(file.path, f"has {line.key}={line.value}, which is not in the layer")
