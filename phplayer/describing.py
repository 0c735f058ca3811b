"""What a layer tells of itself: its manifest and its SBOM, inside the layer and as copies beside the archive."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from phplayer import sbom
from phplayer.layer import MANIFEST_PATHS, RuntimeManifest, encode_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from phplayer.layer import LayerArchive, Manifest

FORMAT = "4"
"""Part of every layer's key: raise it when a layer comes out differently from the same input."""

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
    with zipfile.ZipFile(found.path) as archive:
        _write_whole(folder / sbom.BESIDE[found.kind], archive.read(sbom.PATHS[found.kind]))


def _write_whole(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
