"""Merges the ledgers of two branches: what either of them published is in the result. Pure but for the files.

Git merges most ledgers by itself, because each version is a group of lines of its own. Where both branches wrote at
the same place, ``merge`` decides by what the lines mean. It works as a merge driver of git, with the ancestor and both
sides as files, or takes all three from git's index when git has left a conflict already.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from phplayer import ledger
from phplayer.errors import EnvironmentMissingError, UsageError
from phplayer.ledger import Entry, Ledger, LedgerKey

if TYPE_CHECKING:
    from pathlib import Path

_Number: TypeAlias = "tuple[LedgerKey, int]"

_BASE, _OURS, _THEIRS = 1, 2, 3  # stages of git's index: https://git-scm.com/docs/git-ls-files (--stage)


def merge(base: Ledger, ours: Ledger, theirs: Ledger) -> Ledger:
    """Return the versions of both sides, less those that one side removed and the other left as they were.

    Of each layer in each region one version stays current: the one that a side moved to since the ancestor, and if
    both moved, the one with the higher number.

    Raises:
        UsageError: the sides hold different content under one version number, which cannot be at AWS.

    """
    before, mine, other = _numbered(base), _numbered(ours), _numbered(theirs)
    kept: dict[_Number, Entry] = {}
    for number in sorted({*mine, *other}):
        entry = _merged(before.get(number), mine.get(number), other.get(number))
        if entry is not None:
            kept[number] = entry
    return _with_one_current_each(kept, base, ours, theirs)


def merge_files(base: Path, ours: Path, theirs: Path) -> Ledger:
    """Merge three ledgers into ``ours``, as git calls a merge driver. An empty file is an empty ledger.

    Raises:
        UsageError: one of them is no ledger, or they contradict each other; ``ours`` is as it was.

    """
    for path in (base, ours, theirs):
        if not path.is_file():
            raise UsageError(
                f"There is no file {path}.", remedy="Name three ledgers: the common ancestor's, ours, theirs."
            )
    merged = merge(*(_read(path) for path in (base, ours, theirs)))
    ledger.write(ours, merged)
    return merged


def resolve(path: Path) -> Ledger:
    """Merge the three ledgers that git keeps for a file in conflict into the file, and return the result.

    Raises:
        UsageError: git knows of no conflict in it, or the ledgers cannot be merged; the file is as it was.
        EnvironmentMissingError: there is no git.

    """
    if not path.is_file():
        raise UsageError(f"There is no ledger {path}.", remedy="Name the one in conflict with --ledger.")
    stages = {stage: _stage(path, stage) for stage in (_BASE, _OURS, _THEIRS)}
    ours, theirs = stages[_OURS], stages[_THEIRS]
    if ours is None or theirs is None:
        raise UsageError(
            f"Git knows of no merge conflict in {path}.",
            remedy="After a conflict that was settled by hand, check the file with: phplayer layers",
        )
    title = str(path)
    merged = merge(
        _decode(stages[_BASE] or b"", f"the common ancestor of {title}"),
        _decode(ours, f"our side of {title}"),
        _decode(theirs, f"their side of {title}"),
    )
    ledger.write(path, merged)
    return merged


# -- the merge --------------------------------------------------------------------------------------------------------


def _numbered(recorded: Ledger) -> dict[_Number, Entry]:
    return {(entry.place, entry.version): entry for entry in recorded.entries}


def _merged(before: Entry | None, mine: Entry | None, other: Entry | None) -> Entry | None:
    """Merge what is recorded of one version; its mark as current is settled later."""
    if mine is not None and other is not None:
        if _content(mine) != _content(other):
            raise UsageError(
                f"The two sides record different content as {mine.arn}.",
                remedy="See which is right with `phplayer layers` on each branch, and correct the other.",
            )
        in_use = other.in_use if before is not None and mine.in_use == before.in_use else mine.in_use
        if before is None:
            in_use = mine.in_use or other.in_use
        return msgspec.structs.replace(mine, in_use=in_use)
    left = mine if mine is not None else other
    if left is None or before is None:
        return left
    came_back = left.current and not before.current  # that it is no longer current is no reason to keep it
    return left if came_back or msgspec.structs.replace(left, current=before.current) != before else None


def _content(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, current=False, in_use=False)


def _with_one_current_each(kept: dict[_Number, Entry], base: Ledger, ours: Ledger, theirs: Ledger) -> Ledger:
    before, mine, other = (_current(each) for each in (base, ours, theirs))
    chosen: dict[LedgerKey, int] = {}
    for place in sorted({place for place, _ in kept}):
        moved = [side[place] for side in (mine, other) if place in side and side[place] != before.get(place)]
        stayed = [side[place] for side in (mine, other) if place in side]
        there = [number for each, number in kept if each == place]
        candidates = [number for number in moved or stayed if number in there] or there
        chosen[place] = max(candidates)
    entries = (
        msgspec.structs.replace(entry, current=chosen[place] == number) for (place, number), entry in kept.items()
    )
    return Ledger(entries=tuple(entries))


def _current(recorded: Ledger) -> dict[LedgerKey, int]:
    return {entry.place: entry.version for entry in recorded.current()}


# -- files ------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Ledger:
    return _decode(path.read_bytes(), str(path))


def _decode(data: bytes, title: str) -> Ledger:
    return ledger.decode(data, title) if data.strip() else Ledger()


def _stage(path: Path, stage: int) -> bytes | None:
    """Return what git's index has of the file at that stage, or None."""
    command = ["git", "show", f":{stage}:./{path.name}"]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise EnvironmentMissingError(
            "git is not installed, and it has both sides of the conflict.", remedy="Install git."
        ) from error
    return done.stdout if done.returncode == 0 else None
