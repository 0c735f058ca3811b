"""Runs the recipes of a plan on an engine and keeps what each part gives, under the part's key.

A compiled part is a folder of the cache with its recipe's results: ``tree/`` (bare, becomes /opt), ``libraries/``
(what the loader found for it), ``libraries.tsv``, ``extensions.tsv``; ``library/`` of a static library, ``sdk/`` of
what extensions are compiled against. It is there wholly or not at all. Bootstrap, php.ini and manifest are added later,
so changing them compiles nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from phplayer import cache, debian_copyright, extension_sources, resources, sources
from phplayer.errors import BuildFailedError
from phplayer.events import Noted, PhaseAdvanced, PhaseFinished, PhaseStarted
from phplayer.layer import LibraryRecord
from phplayer.runtime import ExtensionSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from phplayer.engines import Engine, Workspace
    from phplayer.events import Listener
    from phplayer.recipe import Plan, Recipe, Step

_TAIL = 25  # lines of the log that an error shows
_COMPILED = "--mode=compile"  # stands in each command of make that compiles a file
_TO_COMPILE = "to compile: "


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What the compile of one part gave, in the cache. Not every part has all of it."""

    recipe: Recipe
    folder: Path

    @property
    def tree(self) -> Path:
        """The bare layer tree, or the part's share of it."""
        return self.folder / "tree"

    @property
    def libraries(self) -> Path:
        """The shared libraries that the loader found for it, each under its soname."""
        return self.folder / "libraries"

    @property
    def licenses(self) -> Path:
        """A folder of licences for the part and for each distribution package in ``libraries.tsv``."""
        return self.folder / "licenses"

    @property
    def os_release(self) -> Path:
        """``/etc/os-release`` of where it was compiled."""
        return self.folder / "os-release"

    @property
    def log(self) -> Path:
        """All that the steps printed."""
        return self.folder / "build.log"

    def library_records(self) -> tuple[LibraryRecord, ...]:
        """Return each shared library with the distribution package it came from."""
        return tuple(
            LibraryRecord(soname=soname, package=package, version=version, license=self._licenses_of(package))
            for soname, package, version in self._rows("libraries.tsv")
        )

    def _licenses_of(self, package: str) -> tuple[str, ...]:
        """Return what the package's copyright file calls its licences, where it is one that can be read."""
        file = self.licenses / package / "copyright"
        return debian_copyright.licenses(file.read_text("utf-8", "replace")) if file.is_file() else ()

    def extensions(self) -> dict[str, str]:
        """Return what PHP says it has with this part: extension name, as the catalogue writes it, to version."""
        return {name.lower().removeprefix("zend "): version for name, version in self._rows("extensions.tsv")}

    def pinned_symbols(self) -> tuple[str, ...]:
        """Return ``function@VERSION`` for what was linked at an older version than the base's newest."""
        return tuple(name for (name,) in self._rows("pinned.tsv"))

    def distribution(self) -> str:
        """Return what it was compiled on, by ID and VERSION_ID of os-release: ``debian-12``."""
        lines = (line.partition("=") for line in self.os_release.read_text().splitlines())
        fields = {name: value.strip("\"'") for name, _, value in lines}
        return "-".join(fields[name] for name in ("ID", "VERSION_ID") if name in fields)

    def _rows(self, name: str) -> Iterator[list[str]]:
        path = self.folder / name
        if path.is_file():
            yield from (line.split("\t") for line in path.read_text().splitlines())


def scripts(recipe: Recipe) -> dict[str, bytes]:
    """Return the text of the scripts that the recipe's steps run and call."""
    names = {*(step.name for step in recipe.steps), *recipe.scripts}
    return {name: resources.template("build", f"{name}.sh").read_bytes() for name in names}


def keys(plan: Plan, fingerprint: Callable[[Recipe], str]) -> Mapping[str, str]:
    """Return the key of each part, by name."""
    found: dict[str, str] = {}
    for part in plan.parts:
        found[part.name] = part.key(scripts=scripts(part), fingerprint=fingerprint(part), needs=found)
    return MappingProxyType(found)


def keys_on(plan: Plan, engine: Engine) -> Mapping[str, str]:
    """Return the key of each part on an engine, once it has the packages.

    Raises:
        EnvironmentMissingError: it has not.

    """
    engine.require(plan.packages)
    for packages in dict.fromkeys(part.packages for part in plan.parts):
        engine.require(packages)
    return keys(plan, lambda part: engine.fingerprint(part.packages))


def find(recipe: Recipe, key: str) -> Compiled | None:
    """Return the compile of that key if the cache has it."""
    folder = cache.folder("builds") / key
    if not folder.is_dir():
        return None
    cache.touch(folder)
    return Compiled(recipe=recipe, folder=folder)


@contextmanager
def compile_all(
    plan: Plan,
    engine: Engine,
    keys: Mapping[str, str],
    *,
    given: Mapping[str, Path],
    jobs: int,
    subject: str,
    listener: Listener,
) -> Iterator[tuple[Compiled, ...]]:
    """Give all parts, compiled unless somebody has before; while the block lasts they are not cleaned away.

    ``given`` holds the tarballs that the user has, by part.

    Raises:
        BuildFailedError: a source cannot be trusted, or a step failed: with the tail of its output and the log.
        EnvironmentMissingError: a source could not be fetched.

    """
    with ExitStack() as held:
        done: dict[str, Compiled] = {}
        for part in plan.parts:
            held.enter_context(cache.use(keys[part.name]))
            done[part.name] = compile_part(
                part,
                engine,
                key=keys[part.name],
                needs=tuple(done[name] for name in part.needs),
                given=given.get(part.name),
                jobs=jobs,
                subject=subject,
                listener=listener,
            )
        yield tuple(done.values())


def compile_part(
    recipe: Recipe,
    engine: Engine,
    *,
    key: str,
    needs: tuple[Compiled, ...],
    given: Path | None,
    jobs: int,
    subject: str,
    listener: Listener,
) -> Compiled:
    """Return the compile of that key, running the recipe's steps if nobody has before.

    Steps that an interrupted run finished are not run again. Of several processes that ask for the same key one
    compiles and the others wait for it. Sources are fetched only when they are needed.

    Raises:
        BuildFailedError: a source cannot be trusted, or a step failed: with the tail of its output and the log.
        EnvironmentMissingError: a source could not be fetched.

    """

    def on_wait() -> None:
        listener(Noted(message=f"{subject}: waiting for another build of {recipe.name}."))

    with cache.lock(f"build-{key[:16]}", on_wait=on_wait):
        found = find(recipe, key)
        if found is not None:
            return found
        log = cache.folder("logs") / f"{key[:16]}.log"
        with engine.workspace(key, recipe) as workspace, log.open("a", encoding="utf-8") as out:
            run = _Run(
                recipe=recipe,
                workspace=workspace,
                environment={"PHPLAYER_JOBS": str(jobs)},
                log_to=out,
                log=log,
                subject=subject,
                listener=listener,
            )
            run.provide(needs, given)
            run.steps()
            return _keep(workspace, recipe, key, log)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One compile of a part."""

    recipe: Recipe
    workspace: Workspace
    environment: Mapping[str, str]
    log_to: TextIO
    log: Path
    subject: str
    listener: Listener

    def provide(self, needs: tuple[Compiled, ...], given: Path | None) -> None:
        """Put the sources, the scripts and what other parts gave into the workspace."""
        if self.workspace.exists("provided.done"):
            return
        for number, each in enumerate(self.recipe.inputs):
            file = given if number == 0 else None
            source = sources.fetch(each.source, file=file, subject=self.subject, listener=self.listener)
            if isinstance(each.source, ExtensionSource):  # anybody's, where the user gives a URL
                extension_sources.config_folder(source, each.source)
            self.workspace.put(source, each.name)
        for need in needs:
            for name in need.recipe.given_on:
                self.workspace.put(need.folder / name, f"needs/{need.recipe.name}/{name}")
        self.workspace.mark("provided.done")

    def steps(self) -> None:
        """Run the steps that are not done."""
        for name in sorted(scripts(self.recipe)):
            self.workspace.put(resources.template("build", f"{name}.sh"), f"{name}.sh")
        for step in self.recipe.steps:
            if not self.workspace.exists(f"{step.name}.done"):
                self._step(step)
                self.workspace.mark(f"{step.name}.done")

    def _step(self, step: Step) -> None:
        began = time.monotonic()
        self.listener(PhaseStarted(subject=self.subject, phase=step.title))
        self.log_to.write(f"== {self.recipe.name}: {step.name} {' '.join(step.arguments)}\n")
        tail: deque[str] = deque(maxlen=_TAIL)
        compiled, total = 0, None

        def on_line(line: str) -> None:
            nonlocal compiled, total
            self.log_to.write(line + "\n")
            if line.startswith(_TO_COMPILE):
                total = int(line.removeprefix(_TO_COMPILE))
            elif _COMPILED in line:
                compiled += 1
            else:
                tail.append(line[:300])
                return
            done = min(compiled, total or compiled)
            self.listener(PhaseAdvanced(subject=self.subject, phase=step.title, done=done, total=total, unit="files"))

        status = self.workspace.run(
            ["sh", f"{step.name}.sh", *step.arguments], environment=self.environment, on_line=on_line
        )
        if status != 0:
            raise _failure(step, status, self.log, tuple(tail), self.workspace.full_disk_remedy)
        outcome = f"{compiled} files compiled" if compiled else "done"
        self.listener(
            PhaseFinished(subject=self.subject, phase=step.title, seconds=time.monotonic() - began, outcome=outcome)
        )


def _failure(step: Step, status: int, log: Path, tail: tuple[str, ...], full_disk_remedy: str) -> BuildFailedError:
    text = "\n".join(tail)
    remedy = "Read the log from its end; the first error in it is the cause."
    if "No space left on device" in text:
        remedy = full_disk_remedy
    elif "Killed signal terminated program" in text:
        remedy = "The compiler was killed, most likely for lack of memory: use a smaller --jobs, or give it more."
    elif step.name in {"configure", "extension"} and ("not found" in text or "were not met" in text):
        remedy = "A library or its headers are missing: the last lines name it. Install it and run again."
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return BuildFailedError(f"The step {step.title!r} ended with {ended}.", remedy=remedy, log=log, details=tail)


def _keep(workspace: Workspace, recipe: Recipe, key: str, log: Path) -> Compiled:
    """Move the results into the cache in one rename."""
    builds = cache.folder("builds")
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=builds))
    try:
        for name in recipe.results:
            workspace.get(name, partial)
        shutil.copyfile(log, partial / "build.log")
        partial.chmod(0o755)
        partial.rename(builds / key)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    log.unlink()
    return Compiled(recipe=recipe, folder=builds / key)
