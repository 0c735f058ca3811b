"""What the commands about layers print: rows of tables, and members of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.cli.console import Console
    from phplayer.inventory.equalizing import Equalizing, Step
    from phplayer.inventory.listing import ListedVersion
    from phplayer.inventory.pruning import Verdict
    from phplayer.inventory.unsharing import Share
    from phplayer.ledger import LedgerKey


def table_of(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """Return a table, or nothing where it would be empty."""
    return console.table(*columns, rows=rows) if rows else None


def _where(place: LedgerKey) -> dict[str, Any]:
    return {"layer": place.layer, "region": place.region}


def numbered(listed: ListedVersion) -> str:
    """Return the version with what is special about it."""
    marks = [word for word, said in (("current", listed.current), ("in use", listed.in_use)) if said]
    return f"{listed.version} ({', '.join(marks)})" if marks else str(listed.version)


def version_document(listed: ListedVersion) -> dict[str, Any]:
    """Return a listed version as JSON has it."""
    return {
        **_where(listed.place),
        "version": listed.version,
        "arn": listed.arn,
        "state": listed.state.name.lower(),
        "current": listed.current,
        "in_use": listed.in_use,
        "size": listed.size or None,
        "description": listed.description,
    }


def advice_on(drift: Sequence[ListedVersion]) -> str:
    """Say what to do about each kind of difference."""
    from phplayer.inventory.listing import State

    advice = {
        State.CHANGED: "What holds other content than recorded was published by something else: take its lines out of "
        "the ledger, then `phplayer publish`.",
        State.GONE: "`phplayer layers prune` drops the records of what is gone; `phplayer publish` then publishes what "
        "is built anew.",
        State.UNRECORDED: "What is not recorded: `phplayer publish` records what is built, `phplayer layers prune` "
        "deletes old versions.",
    }
    states = {each.state for each in drift}
    return " ".join(text for state, text in advice.items() if state in states)


def verdict_row(verdict: Verdict) -> tuple[str, ...]:
    """Return what becomes of a version as a row."""
    shared = ", ".join(verdict.shared_with)
    what = verdict.fate.value
    if shared:
        what = f"{what} with {shared}" if what.endswith("shared") else f"{what} (shared with {shared})"
    return (verdict.place.layer, verdict.place.region, str(verdict.version), what)


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """Return what becomes of a version as JSON has it."""
    return {
        **_where(verdict.place),
        "version": verdict.version,
        "arn": verdict.arn,
        "fate": verdict.fate.name.lower(),
        "shared_with": list(verdict.shared_with),
    }


def with_done(planned: Equalizing, done: Equalizing) -> tuple[Step, ...]:
    """Return the steps of the plan, those that were done in their place."""
    finished = {step.entry.place: step for step in done.steps}
    return tuple(finished.get(step.entry.place, step) for step in planned.steps)


def step_rows(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """Return what the regions need, or got, as rows."""
    return [(s.entry.layer, s.entry.region, str(s.newest), str(s.goal), s.happened) for s in steps]


def step_document(step: Step) -> dict[str, Any]:
    """Return what a region needs, or got, as JSON has it."""
    happened = step.happened.name.lower()
    return {**_where(step.entry.place), "version": step.newest, "goal": step.goal, "happened": happened}


def share_row(share: Share) -> tuple[str, ...]:
    """Return a share as a row."""
    return (share.place.layer, share.place.region, str(share.version), str(share.audience))


def share_document(share: Share) -> dict[str, Any]:
    """Return a share as JSON has it."""
    return {**_where(share.place), "version": share.version, "audience": str(share.audience)}
