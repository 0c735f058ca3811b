"""Runs a recipe on an engine and keeps what comes out, under the recipe's key.

A compiled PHP is a folder of the cache with ``tree/`` (bare, becomes /opt), ``libraries/`` (what the loader found for
it), ``libraries.tsv`` and ``extensions.tsv``. It is there wholly or not at all. Bootstrap, php.ini and manifest are
added later, so changing them compiles nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from phplayer import cache, resources
from phplayer.errors import BuildFailedError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted
from phplayer.layer import LibraryRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phplayer.engines import Engine, Workspace
    from phplayer.events import Listener
    from phplayer.recipe import Recipe, Step

_TAIL = 25  # lines of the log that an error shows
_COMPILED = "--mode=compile"  # stands in each command of make that compiles a file
_TO_COMPILE = "to compile: "


@dataclass(frozen=True, kw_only=True)
class CompiledPhp:
    """A compile's result in the cache."""

    folder: Path

    @property
    def tree(self) -> Path:
        """The bare layer tree."""
        return self.folder / "tree"

    @property
    def libraries(self) -> Path:
        """The shared libraries that the loader found for it, each under its soname."""
        return self.folder / "libraries"

    @property
    def log(self) -> Path:
        """All that the steps printed."""
        return self.folder / "build.log"

    def library_records(self) -> tuple[LibraryRecord, ...]:
        """Return each library with the distribution package it came from."""
        rows = (line.split("\t") for line in (self.folder / "libraries.tsv").read_text().splitlines())
        return tuple(
            LibraryRecord(soname=soname, package=package, version=version) for soname, package, version in rows
        )

    def extensions(self) -> dict[str, str]:
        """Return what the new PHP says it has: extension name, as the catalogue writes it, to version."""
        rows = (line.split("\t") for line in (self.folder / "extensions.tsv").read_text().splitlines())
        return {
            name.lower().removeprefix("zend "): version
            for name, version in sorted(rows, key=lambda row: row[0].lower())
        }


def scripts(recipe: Recipe) -> dict[str, bytes]:
    """Return the text of the scripts that the recipe's steps run."""
    return {step.name: resources.template("build", f"{step.name}.sh").read_bytes() for step in recipe.steps}


def find(key: str) -> CompiledPhp | None:
    """Return the compile of that key if the cache has it."""
    folder = cache.folder("builds") / key
    if not folder.is_dir():
        return None
    cache.touch(folder)
    return CompiledPhp(folder=folder)


def compile_php(
    recipe: Recipe, engine: Engine, *, key: str, source: Callable[[], Path], jobs: int, subject: str, listener: Listener
) -> CompiledPhp:
    """Return the compile of that key, running the recipe's steps if nobody has before.

    Steps that an interrupted run finished are not run again. Of several processes that ask for the same key one
    compiles and the others wait for it. ``source`` is asked for the tarball only when it is needed.

    Raises:
        BuildFailedError: a step failed; carries the tail of its output and the log's path.

    """
    with cache.lock(f"build-{key[:16]}"):
        found = find(key)
        if found is not None:
            return found
        log = cache.folder("logs") / f"{key[:16]}.log"
        with engine.workspace(key) as workspace, log.open("a", encoding="utf-8") as out:
            run = _Run(
                workspace=workspace,
                environment={"PHPLAYER_JOBS": str(jobs)},
                log_to=out,
                log=log,
                subject=subject,
                listener=listener,
            )
            _steps(recipe, run, source)
            return _keep(workspace, key, log)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the steps of one compile share."""

    workspace: Workspace
    environment: Mapping[str, str]
    log_to: TextIO
    log: Path
    subject: str
    listener: Listener


def _steps(recipe: Recipe, run: _Run, source: Callable[[], Path]) -> None:
    if not run.workspace.exists("unpack.done"):
        run.workspace.put(source(), "source.tar.xz")
    for step in recipe.steps:
        if not run.workspace.exists(f"{step.name}.done"):
            _step(step, run)
            run.workspace.mark(f"{step.name}.done")


def _step(step: Step, run: _Run) -> None:
    began = time.monotonic()
    run.listener(PhaseStarted(subject=run.subject, phase=step.title))
    run.workspace.put(resources.template("build", f"{step.name}.sh"), f"{step.name}.sh")
    run.log_to.write(f"== {step.name} {' '.join(step.arguments)}\n")
    tail: deque[str] = deque(maxlen=_TAIL)
    compiled, total = 0, None

    def on_line(line: str) -> None:
        nonlocal compiled, total
        run.log_to.write(line + "\n")
        if line.startswith(_TO_COMPILE):
            total = int(line.removeprefix(_TO_COMPILE))
        elif _COMPILED in line:
            compiled += 1
        else:
            tail.append(line[:300])
            return
        run.listener(
            PhaseAdvanced(
                subject=run.subject, phase=step.title, done=min(compiled, total or compiled), total=total, unit="files"
            )
        )

    status = run.workspace.run(["sh", f"{step.name}.sh", *step.arguments], environment=run.environment, on_line=on_line)
    if status != 0:
        raise _failure(step, status, run.log, tuple(tail), run.workspace.full_disk_remedy)
    outcome = f"{compiled} files compiled" if compiled else "done"
    run.listener(
        PhaseFinished(subject=run.subject, phase=step.title, seconds=time.monotonic() - began, outcome=outcome)
    )


def _failure(step: Step, status: int, log: Path, tail: tuple[str, ...], full_disk_remedy: str) -> BuildFailedError:
    text = "\n".join(tail)
    remedy = "Read the log from its end; the first error in it is the cause."
    if "No space left on device" in text:
        remedy = full_disk_remedy
    elif "Killed signal terminated program" in text:
        remedy = "The compiler was killed, most likely for lack of memory: use a smaller --jobs, or give it more."
    elif step.name == "configure" and ("not found" in text or "were not met" in text):
        remedy = "A library or its headers are missing: the last lines name it. Install it and run again."
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return BuildFailedError(f"The step {step.title!r} ended with {ended}.", remedy=remedy, log=log, details=tail)


def _keep(workspace: Workspace, key: str, log: Path) -> CompiledPhp:
    """Move the result into the cache in one rename."""
    builds = cache.folder("builds")
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=builds))
    try:
        for name in ("tree", "libraries", "libraries.tsv", "extensions.tsv"):
            workspace.get(name, partial)
        shutil.copyfile(log, partial / "build.log")
        partial.chmod(0o755)
        partial.rename(builds / key)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    log.unlink()
    return CompiledPhp(folder=builds / key)
