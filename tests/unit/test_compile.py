"""Parts of seconds, compiled on this machine by scripts of the tests' own."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from phplayer import cache, resources
from phplayer import compile as compiling
from phplayer.compile import Compiled
from phplayer.engines.host import HostEngine
from phplayer.errors import BuildFailedError
from phplayer.events import Event, Noted, PhaseFinished, unheard
from phplayer.recipe import Input, Plan
from phplayer.runtime import ExtensionSource
from tests.recipes import recipe

SCRIPTS = {
    "library": 'mkdir -p library tree; echo "$PHPLAYER_JOBS" >library/jobs; echo hidden >log; touch tree/unused\n',
    "program": "mkdir tree; cat needs/lib/library/jobs >tree/program\n",
    "broken": "echo about to fail; exit 3\n",
}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostEngine:
    folder = tmp_path / "scripts"
    folder.mkdir()
    for name, text in SCRIPTS.items():
        (folder / f"{name}.sh").write_text(text)
    monkeypatch.setattr(resources, "template", lambda *parts: folder / parts[-1])
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    return HostEngine()


LIBRARY = recipe("lib", steps=["library"], results=["library"])
PROGRAM = recipe("program", steps=["program"], needs=["lib"])


def run(engine: HostEngine, plan: Plan, jobs: int = 1) -> tuple[tuple[Compiled, ...], list[str]]:
    """Compile; return the parts and the titles of the steps that were run."""
    events: list[Event] = []
    keys = compiling.keys_on(plan, engine)
    with compiling.compile_all(
        plan, engine, keys, given={}, jobs=jobs, subject="test", listener=events.append
    ) as parts:
        assert not all(_removable(key) for key in keys.values()), "what is in use is not cleaned away"
    assert all(_removable(key) for key in keys.values())
    return parts, [event.phase for event in events if isinstance(event, PhaseFinished)]


def _removable(key: str) -> bool:
    with cache.try_lock(cache.use_lock(key)) as free:
        return free


def test_a_part_finds_what_it_needs_and_each_is_compiled_once(engine: HostEngine) -> None:
    plan = Plan(parts=(LIBRARY, PROGRAM))
    parts, ran = run(engine, plan, jobs=3)
    assert ran == ["library", "program"]
    assert (parts[1].tree / "program").read_text() == "3\n"
    assert {path.name for path in parts[0].folder.iterdir()} == {"library", "build.log"}, "the results alone are kept"
    assert run(engine, plan)[1] == []
    other = recipe("other", steps=["program"], needs=["lib"])
    assert run(engine, Plan(parts=(LIBRARY, PROGRAM, other)))[1] == ["program"]
    assert cache.entries("work") == ()


def test_two_may_use_a_part_at_once(engine: HostEngine) -> None:
    parts, _ = run(engine, Plan(parts=(LIBRARY,)))
    key = parts[0].folder.name
    with cache.use(key), cache.use(key):
        assert not _removable(key)


def test_who_waits_for_another_build_of_a_part_says_so_and_takes_what_it_gave(engine: HostEngine) -> None:
    """The other one compiles the part, in no time, when it hears that this one waits."""
    plan = Plan(parts=(LIBRARY,))
    keys = compiling.keys_on(plan, engine)
    heard: list[Event] = []
    with ExitStack() as other:
        other.enter_context(cache.lock(f"build-{keys['lib'][:16]}"))

        def listener(event: Event) -> None:
            heard.append(event)
            (cache.folder("builds") / keys["lib"]).mkdir()
            other.close()

        with compiling.compile_all(plan, engine, keys, given={}, jobs=1, subject="php84", listener=listener):
            pass
    assert heard == [Noted(message="php84: waiting for another build of lib.")]


def test_a_part_that_fails_leaves_the_finished_ones(engine: HostEngine) -> None:
    broken = recipe("broken", steps=["broken"], needs=["lib"])
    with pytest.raises(BuildFailedError, match="'broken' ended with status 3") as caught:
        run(engine, Plan(parts=(LIBRARY, broken)))
    assert caught.value.details == ("about to fail",)
    assert caught.value.log is not None
    assert "== broken: broken" in caught.value.log.read_text()
    assert run(engine, Plan(parts=(LIBRARY, PROGRAM)))[1] == ["program"]


def test_what_a_part_does_not_have_is_empty(engine: HostEngine) -> None:
    (part,), _ = run(engine, Plan(parts=(LIBRARY,)))
    assert part.extensions() == {}
    assert part.library_records() == ()
    assert part.pinned_symbols() == ()
    assert not part.licenses.exists()


def test_a_hostile_source_of_an_extension_is_refused_before_it_is_unpacked(engine: HostEngine, tmp_path: Path) -> None:
    """However it came: a URL's content is known only now."""
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x/config.m4"))
        archive.addfile(tarfile.TarInfo("../outside"))
    source = ExtensionSource(
        name="x",
        version="",
        sha256=hashlib.sha256((tmp_path / "x.tgz").read_bytes()).hexdigest(),
        urls=("https://example.org/x.tgz",),
        debian_path="",
        folder="",
    )
    part = dataclasses.replace(recipe("x", steps=["library"]), inputs=(Input(name="source.tar", source=source),))
    plan = Plan(parts=(part,))
    given = {"x": tmp_path / "x.tgz"}
    with (
        pytest.raises(BuildFailedError, match=r"holds '\.\./outside', which would lie outside"),
        compiling.compile_all(
            plan, engine, compiling.keys_on(plan, engine), given=given, jobs=1, subject="test", listener=unheard
        ),
    ):
        pass
    assert not list(cache.folder("work").glob("*/source.tar"))
