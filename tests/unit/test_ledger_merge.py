from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phplayer import ledger, ledger_merge
from phplayer.errors import UsageError
from phplayer.ledger import Entry, Ledger
from tests.ledger_entries import entry


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))


def of(*entries: Entry) -> Ledger:
    made = Ledger()
    for each in entries:
        made = made.adding(each)
    return made


def titles(merged: Ledger) -> list[str]:
    return [f"{each.region}/{each.layer}:{each.version}{'*' if each.current else ''}" for each in merged.entries]


def test_what_either_side_published_is_in_the_result() -> None:
    base = of(entry())
    merged = ledger_merge.merge(
        base, base.adding(entry(region="us-east-1")), base.adding(entry(layer="php-vendor", kind="vendor"))
    )
    assert titles(merged) == ["eu-west-1/php-84-x86_64:1*", "eu-west-1/php-vendor:1*", "us-east-1/php-84-x86_64:1*"]


def test_the_higher_of_two_new_versions_is_current() -> None:
    base = of(entry())
    merged = ledger_merge.merge(base, base.adding(entry(version=3)), base.adding(entry(version=2)))
    assert titles(merged) == ["eu-west-1/php-84-x86_64:1", "eu-west-1/php-84-x86_64:2", "eu-west-1/php-84-x86_64:3*"]


def test_a_side_that_went_back_to_an_old_version_is_followed() -> None:
    base = of(entry(version=1), entry(version=2))
    back = base.adding(entry(version=1))
    assert titles(ledger_merge.merge(base, back, base)) == ["eu-west-1/php-84-x86_64:1*", "eu-west-1/php-84-x86_64:2"]
    assert ledger_merge.merge(base, back, base) == ledger_merge.merge(base, base, back)


def test_what_one_side_removed_and_the_other_left_alone_is_gone() -> None:
    base = of(entry(version=1), entry(version=2))
    pruned = base.without({(entry().place, 1)})
    assert titles(ledger_merge.merge(base, pruned, base)) == ["eu-west-1/php-84-x86_64:2*"]
    assert titles(ledger_merge.merge(base, base, pruned)) == ["eu-west-1/php-84-x86_64:2*"]


def test_what_one_side_removed_is_gone_though_the_other_moved_on_from_it() -> None:
    base = of(entry(version=1), entry(version=2))
    pruned = base.adding(entry(version=3)).without({(entry().place, 1), (entry().place, 2)})
    moved = base.adding(entry(version=4))
    for merged in (ledger_merge.merge(base, pruned, moved), ledger_merge.merge(base, moved, pruned)):
        assert titles(merged) == ["eu-west-1/php-84-x86_64:3", "eu-west-1/php-84-x86_64:4*"]


def test_what_one_side_removed_and_the_other_marked_in_use_stays() -> None:
    base = of(entry(version=1), entry(version=2))
    pruned = base.without({(entry().place, 1)})
    marked = Ledger(entries=tuple(msgspec.structs.replace(each, in_use=each.version == 1) for each in base.entries))
    for merged in (ledger_merge.merge(base, pruned, marked), ledger_merge.merge(base, marked, pruned)):
        assert titles(merged) == ["eu-west-1/php-84-x86_64:1", "eu-west-1/php-84-x86_64:2*"]


def test_what_one_side_removed_and_the_other_came_back_to_stays() -> None:
    base = of(entry(version=1), entry(version=2))
    pruned = base.without({(entry().place, 1)})
    back = base.adding(entry(version=1))
    assert titles(ledger_merge.merge(base, pruned, back)) == ["eu-west-1/php-84-x86_64:1*", "eu-west-1/php-84-x86_64:2"]


@pytest.mark.parametrize(("mine", "other"), [(True, False), (False, True)])
def test_a_mark_of_use_that_one_side_changed_is_followed(mine: bool, other: bool) -> None:
    def marked(in_use: bool) -> Ledger:
        return Ledger(entries=(msgspec.structs.replace(entry(), in_use=in_use),))

    for before in (True, False):
        (merged,) = ledger_merge.merge(marked(before), marked(mine), marked(other)).entries
        assert merged.in_use is not before


def test_one_version_with_two_contents_is_a_contradiction() -> None:
    other = msgspec.structs.replace(entry(), code_sha256="other")
    with pytest.raises(UsageError, match="different content as arn:aws:lambda"):
        ledger_merge.merge(Ledger(), of(entry()), of(other))


_PLACES = st.builds(
    entry,
    st.sampled_from(("php", "vendor")),
    st.sampled_from(("eu-west-1", "us-east-1")),
    st.integers(min_value=1, max_value=4),
)
_LEDGERS = st.lists(_PLACES, max_size=6).map(lambda entries: of(*entries))


@settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(base=_LEDGERS, one=st.lists(_PLACES, max_size=4), two=st.lists(_PLACES, max_size=4))
def test_publishing_on_two_branches_merges_completely_and_the_same_way_round(
    base: Ledger, one: list[Entry], two: list[Entry]
) -> None:
    ours, theirs = base, base
    for each in one:
        ours = ours.adding(each)
    for each in two:
        theirs = theirs.adding(each)
    merged = ledger_merge.merge(base, ours, theirs)
    assert {each.arn for each in merged.entries} == {each.arn for each in (*ours.entries, *theirs.entries)}
    assert merged == ledger_merge.merge(base, theirs, ours)
    assert len([each for each in merged.entries if each.current]) == len({each.place for each in merged.entries})
    assert ledger.decode(ledger.encode(merged), "merged") == merged
    assert merged.entries == tuple(sorted(merged.entries, key=lambda each: (each.place, each.version)))


_CHANGES = st.lists(st.tuples(st.sampled_from(("publish", "prune", "keep", "undo")), _PLACES), max_size=5)


def changed(before: Ledger, changes: list[tuple[str, Entry]]) -> Ledger:
    """What commands make of a ledger: the current version is never pruned."""
    after = before
    for what, each in changes:
        if what == "publish":
            after = after.adding(each)
        elif what == "prune" and each.version not in {
            one.version for one in after.current() if one.place == each.place
        }:
            after = after.without({(each.place, each.version)})
        elif what in {"keep", "undo"}:
            marked = (
                msgspec.structs.replace(one, in_use=what == "keep") if one.arn == each.arn else one
                for one in after.entries
            )
            after = Ledger(entries=tuple(marked))
    return after


@settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(base=_LEDGERS, one=_CHANGES, two=_CHANGES)
def test_whatever_two_branches_did_merges_the_same_way_round(
    base: Ledger, one: list[tuple[str, Entry]], two: list[tuple[str, Entry]]
) -> None:
    ours, theirs = changed(base, one), changed(base, two)
    merged = ledger_merge.merge(base, ours, theirs)
    assert merged == ledger_merge.merge(base, theirs, ours)
    there = {each.arn for each in merged.entries}
    both = {each.arn for each in ours.entries} & {each.arn for each in theirs.entries}
    new = {each.arn for each in (*ours.entries, *theirs.entries)} - {each.arn for each in base.entries}
    assert both | new <= there
    assert len([each for each in merged.entries if each.current]) == len({each.place for each in merged.entries})
    assert ledger_merge.merge(merged, merged, merged) == merged
    assert ledger_merge.merge(base, ours, base) == ours


def test_a_file_that_is_no_ledger_leaves_ours_as_it_was(tmp_path: Path) -> None:
    base, ours, theirs = (tmp_path / name for name in ("base", "ours", "theirs"))
    base.write_bytes(b"")
    ours.write_bytes(ledger.encode(of(entry())))
    whole = ledger.encode(of(entry(region="us-east-1")))
    before = ours.read_bytes()
    for bad, said in ((whole[:-9], "damaged"), (b"no json", "damaged"), (b'{"schema_version": 99}', "newer phplayer")):
        theirs.write_bytes(bad)
        with pytest.raises(UsageError, match=said) as caught:
            ledger_merge.merge_files(base, ours, theirs)
        assert str(theirs) in caught.value.message
        assert ours.read_bytes() == before
    theirs.write_bytes(whole)
    assert len(ledger_merge.merge_files(base, ours, theirs).entries) == 2
    assert len(ledger.read(ours).entries) == 2
    with pytest.raises(UsageError, match="There is no file"):
        ledger_merge.merge_files(base, ours, tmp_path / "nowhere")


def test_without_a_ledger_there_is_nothing_to_settle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no ledger"):
        ledger_merge.resolve(tmp_path / "ledger.json")
