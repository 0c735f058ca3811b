"""A recipe of seconds that stands in for PHP's, and a program that runs it as a client of its own.

    python -m tests.integration.standin FOLDER IMAGE

runs the scripts of FOLDER in a container of IMAGE and prints each event's phase.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from phplayer import catalog, resources
from phplayer import compile as compiling
from phplayer.engines import Engine, EngineOptions, choose
from phplayer.errors import PhplayerError
from phplayer.events import Event, Listener, PhaseFinished, PhaseStarted, unheard
from phplayer.runtime import Architecture, BootstrapMode, Runtime
from tests.recipes import recipe

RESULT = """
mkdir -p tree libraries
echo made >tree/made
: >libraries.tsv
printf 'Core\\t1.0\\n' >extensions.tsv
"""


def runtime(architecture: Architecture | None = None) -> Runtime:
    known = catalog.load()
    return known.runtime(
        php=known.default_php,
        extensions=(),
        target=known.default_target,
        architecture=architecture or Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )


def write(folder: Path, scripts: Mapping[str, str]) -> Path:
    """Write the steps' scripts; they run in the order of their names."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / f"{name}.sh").write_text(text)
    return folder


def engine(
    image: str, listener: Listener = unheard, architecture: Architecture | None = None, **options: object
) -> Engine:
    chosen = EngineOptions(engine="docker", base_image=image, **options)  # type: ignore[arg-type]
    return choose(chosen, runtime(architecture), listener)


def run(
    folder: Path, on: Engine, listener: Listener = unheard, *, key: str = "", packages: tuple[str, ...] = ()
) -> Path:
    """Run the scripts of a folder as a compile; return the tree."""
    part = recipe(
        steps=[path.stem for path in sorted(folder.glob("*.sh"))],
        packages=packages,
        base=on.base.name,
        results=("tree", "libraries", "libraries.tsv", "extensions.tsv"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "template", lambda *parts: folder / parts[-1])
        on.require(packages)
        key = key or part.key(scripts=compiling.scripts(part), fingerprint=on.fingerprint(packages), needs={})
        compiled = compiling.compile_part(
            part, on, key=key, needs=(), given=None, jobs=1, subject="stand-in", listener=listener
        )
    return compiled.tree


def _say(event: Event) -> None:
    if isinstance(event, PhaseStarted | PhaseFinished):
        sys.stdout.write(f"{type(event).__name__} {event.phase}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]), engine(sys.argv[2], _say), _say)
    except PhplayerError as error:
        sys.exit(f"{type(error).__name__}: {error.message} | {error.remedy}")
