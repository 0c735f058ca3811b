"""An archive is what the build made: nobody has put anything into the zip since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from phplayer.bounded_zip import BoundedZip
from phplayer.errors import UsageError
from phplayer.layer import RuntimeManifest, decode_manifest
from phplayer.printable import printable

if TYPE_CHECKING:
    from phplayer.layer import LayerArchive

_BUILT = (1980, 1, 1, 0, 0, 0)  # the time of every entry that ``archive.pack`` writes

_NAMED = 3  # files that a message names
_AGAIN = "Remove the folder and build it again: phplayer build"


def check(archive: LayerArchive) -> None:
    """See that the zip holds what was packed, and that the manifest beside it is its own.

    Raises:
        UsageError: it was changed after it was built.

    """
    with BoundedZip(archive.path) as opened:
        added = [printable(entry.filename) for entry in opened.entries if entry.date_time != _BUILT]
    if added:
        raise UsageError(
            f"{archive.path} was changed after it was built: {', '.join(added[:_NAMED])}"
            f"{' and others' if added[_NAMED:] else ''}.",
            remedy=_AGAIN,
        )
    beside = archive.path.with_name("manifest.json")
    if not isinstance(archive.manifest, RuntimeManifest) or not beside.is_file():
        return
    try:
        same = decode_manifest(beside.read_bytes()) == archive.manifest
    except msgspec.DecodeError:
        same = False
    if not same:
        raise UsageError(f"{archive.path} is not what {beside} describes.", remedy=_AGAIN)
