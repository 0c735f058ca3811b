"""What a layer tells of itself: its manifest and its SBOM, inside the layer and as copies beside the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer import sbom
from phplayer.bounded_zip import BoundedZip
from phplayer.layer import MANIFEST_PATHS, RuntimeManifest, encode_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from phplayer.layer import LayerArchive, Manifest

FORMAT = "5"
"""Part of every layer's key: raise it when a layer comes out differently from the same input."""

SUMS = "SHA256SUMS"
"""The file beside the archives that lists their SHA-256."""

_MANIFEST = "manifest.json"  # beside the runtime layer's archive


def write(tree: Path, manifest: Manifest) -> None:
    """Write the manifest and the SBOM into a layer tree."""
    kind = "runtime" if isinstance(manifest, RuntimeManifest) else "vendor"
    for name, data in ((MANIFEST_PATHS[kind], encode_manifest(manifest)), (sbom.PATHS[kind], sbom.encode(manifest))):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def copy_beside(found: LayerArchive) -> None:
    """Write what the archive tells of itself beside it, unless it is there."""
    folder = found.path.parent
    if found.kind == "runtime":
        _write_whole(folder / _MANIFEST, encode_manifest(found.manifest))
    with BoundedZip(found.path) as archive:
        entry = archive.find(sbom.PATHS[found.kind])
        if entry is not None:
            _write_whole(folder / sbom.BESIDE[found.kind], archive.read(entry, limit=entry.file_size))


def list_sums(folder: Path, archives: Sequence[LayerArchive]) -> None:
    """Write SHA256SUMS of what a build put into its folder, as ``sha256sum --check`` reads it; none for nothing."""
    if archives:
        lines = [f"{found.sha256}  {found.path.name}\n" for found in archives]
        _write_whole(folder / SUMS, "".join(lines).encode())
    else:
        (folder / SUMS).unlink(missing_ok=True)


def _write_whole(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
