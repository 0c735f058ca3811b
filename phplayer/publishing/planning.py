"""The plan: archives set against regions and the ledger, without any I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer import ledger
from phplayer.aws.buckets import StoredObject
from phplayer.errors import PolicyRefusedError, UsageError
from phplayer.layer import LayerName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws import Audience
    from phplayer.layer import LayerArchive
    from phplayer.ledger import Entry, Ledger, LedgerKey

DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
"""Bytes of a zip in the request itself: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One archive in one region."""

    archive: LayerArchive
    place: LedgerKey
    recorded: Entry | None  # the same content, as the ledger has it
    upload: StoredObject | None = None  # where the archive goes first, when a request cannot hold it
    audiences: tuple[Audience, ...] = ()

    @property
    def title(self) -> str:
        """``eu-central-1 php-84-x86_64``."""
        return f"{self.place.region} {self.place.layer}"


def plan(
    archives: Sequence[LayerArchive],
    regions: Sequence[str],
    recorded: Ledger,
    *,
    endpoint: str,
    account: str,
    bucket: str = "",
    audiences: tuple[Audience, ...] = (),
) -> tuple[Step, ...]:
    """Set every archive against every region and the ledger. ``bucket`` is a pattern with {region} and {account}.

    Raises:
        UsageError: two different archives have the same layer name, or a manifest's name or the bucket's is none.
        PolicyRefusedError: an archive that is not recorded everywhere is too large for a request, and no bucket named.

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
            before = recorded.find(place, archive.code_sha256)
            upload = upload_of(archive, place, bucket) if before is None or bucket else None
            steps.append(Step(archive=archive, place=place, recorded=before, upload=upload, audiences=audiences))
    return tuple(steps)


def upload_of(archive: LayerArchive, place: LedgerKey, bucket: str) -> StoredObject | None:
    """Return where the archive has to be put before Lambda can have it, None when it fits into the request.

    Raises:
        UsageError: the pattern cannot name a bucket.
        PolicyRefusedError: it does not fit, and no bucket is named.

    """
    named = bucket_name(bucket, region=place.region, account=place.account) if bucket else ""
    if archive.size <= DIRECT_UPLOAD_LIMIT:
        return None
    if not named:
        raise PolicyRefusedError(
            f"{archive.path} has {archive.size / 1024**2:.1f} MiB; Lambda takes at most "
            f"{DIRECT_UPLOAD_LIMIT / 1024**2:.0f} MiB in one request.",
            remedy="Send it through S3: --s3-bucket 'layers-{account}-{region}' --create-bucket; or build it with "
            "fewer extensions or packages.",
        )
    return StoredObject(bucket=named, key=f"phplayer/{place.layer}/{archive.sha256}.zip")


def bucket_name(pattern: str, *, region: str, account: str) -> str:
    """Return the bucket that a pattern means in a region.

    Raises:
        UsageError: it has other parts than {region} and {account}, or what comes out cannot name a bucket
            (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html).

    """
    try:
        name = pattern.format(region=region, account=account)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{pattern!r} is no pattern for a bucket's name.", remedy="It may hold {region} and {account}."
        ) from error
    if not _BUCKET.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a bucket.",
            remedy="Use 3 to 63 lower-case letters, digits and hyphens, such as layers-{account}-{region}.",
        )
    return name
