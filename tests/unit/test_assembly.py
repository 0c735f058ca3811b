"""What PHP loaded is held against what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from phplayer import assembly, matrix
from phplayer.errors import BuildFailedError
from phplayer.runtime import Runtime
from phplayer.settings import Settings


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A runtime with redis, whose source the catalogue has, and the project's own extension."""
    own = {"own": f"https://example.org/own.tgz@{'ab' * 32}"}
    flags = {"php.extensions": ("redis",), "php.extension_sources": own, "build.arch": ("x86_64",)}
    (found,) = matrix.runtimes(Settings.load(start=tmp_path, flags=flags, environment={}))
    return found


def loaded(runtime: Runtime, *, without: str = "") -> set[str]:
    return {extension.name for extension in runtime.extensions} - {without}


def test_all_that_was_asked_for_is_there(runtime: Runtime) -> None:
    assembly.check_loaded(runtime, loaded(runtime), modules={"redis", "own"})


def test_a_source_that_makes_another_extension_is_told_with_its_name(runtime: Runtime) -> None:
    with pytest.raises(BuildFailedError) as caught:
        assembly.check_loaded(runtime, loaded(runtime, without="own"), modules={"redis", "tiny"})
    assert caught.value.message == "The source that was given for own makes tiny."
    assert "--extension-source tiny=FILE" in caught.value.remedy
    with pytest.raises(BuildFailedError, match=r"The source that was given for own makes no extension of that name\."):
        assembly.check_loaded(runtime, loaded(runtime, without="own"), modules={"redis", "own"})


def test_an_extension_of_the_catalogues_that_is_not_there_is_our_mistake(runtime: Runtime) -> None:
    with pytest.raises(BuildFailedError, match=r"it lacks what was asked for: redis\.") as caught:
        assembly.check_loaded(runtime, loaded(runtime, without="redis"), modules={"own"})
    assert caught.value.remedy.startswith("Report this")
