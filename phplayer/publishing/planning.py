"""The plan: archives set against regions and the ledger, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer import ledger
from phplayer.errors import PolicyRefusedError, UsageError
from phplayer.layer import LayerName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.layer import LayerArchive
    from phplayer.ledger import Entry, Ledger, LedgerKey

DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
"""Bytes of a zip in the request itself: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One archive in one region."""

    archive: LayerArchive
    place: LedgerKey
    recorded: Entry | None  # the same content, as the ledger has it

    @property
    def title(self) -> str:
        """``eu-central-1 php-84-x86_64``."""
        return f"{self.place.region} {self.place.layer}"


def plan(
    archives: Sequence[LayerArchive], regions: Sequence[str], recorded: Ledger, *, endpoint: str, account: str
) -> tuple[Step, ...]:
    """Set every archive against every region and the ledger.

    Raises:
        UsageError: two different archives have the same layer name, or a manifest's name is none.
        PolicyRefusedError: an archive that is not recorded everywhere is too large to be uploaded.

    """
    distinct: dict[LayerName, LayerArchive] = {}
    for archive in archives:
        name = LayerName(archive.manifest.layer)
        if distinct.setdefault(name, archive).sha256 != archive.sha256:
            raise UsageError(
                f"{distinct[name].path} and {archive.path} differ, and both are named {name}.",
                remedy="Give them different names ([layer] in phplayer.toml) and build again, or keep one of them.",
            )
    steps = []
    for region in regions:
        for name, archive in distinct.items():
            place = ledger.LedgerKey(endpoint=endpoint, account=account, region=region, layer=str(name))
            steps.append(Step(archive=archive, place=place, recorded=recorded.find(place, archive.code_sha256)))
    for step in steps:
        if step.recorded is None and step.archive.size > DIRECT_UPLOAD_LIMIT:
            raise PolicyRefusedError(
                f"{step.archive.path} has {step.archive.size / 1024**2:.1f} MiB; Lambda takes at most "
                f"{DIRECT_UPLOAD_LIMIT / 1024**2:.0f} MiB in one request.",
                remedy="Build it with fewer extensions or packages.",
            )
    return tuple(steps)
