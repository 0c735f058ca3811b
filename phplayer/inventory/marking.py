"""Marks versions in the ledger as in use, so that they are never pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from phplayer import ledger
from phplayer.errors import UsageError, did_you_mean
from phplayer.layer import LayerArn
from phplayer.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def mark(path: Path, arns: Sequence[str], *, in_use: bool) -> tuple[str, ...]:
    """Set or take away the mark of all these versions, or of none, and return their ARNs, sorted.

    Raises:
        UsageError: one of them is no LayerVersionArn, or is not recorded.

    """
    wanted = {str(LayerArn.parse(arn)) for arn in arns}
    known = {entry.arn for entry in ledger.read(path).entries}
    for arn in sorted(wanted - known):
        near = did_you_mean(arn, known)
        raise UsageError(f"{arn} is not recorded in {path}.", remedy=f"{near}See: phplayer layers")
    ledger.change(
        path,
        lambda recorded: Ledger(
            entries=tuple(
                msgspec.structs.replace(entry, in_use=in_use) if entry.arn in wanted else entry
                for entry in recorded.entries
            )
        ),
    )
    return tuple(sorted(wanted))
