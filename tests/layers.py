"""Small layer archives with real manifests, for tests that need no PHP in them."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path

from phplayer.layer import (
    MANIFEST_PATHS,
    LayerArchive,
    Manifest,
    PackageRecord,
    RuntimeManifest,
    VendorManifest,
    encode_manifest,
)

KEY = "0123456789abcdef" * 4


def runtime_manifest(*, php: str = "8.4.24", architecture: str = "x86_64", layer: str = "") -> RuntimeManifest:
    branch = "".join(php.split(".")[:2])
    return RuntimeManifest(
        phplayer="0.1.0",
        layer=layer or f"php-{branch}-{architecture}",
        key=KEY,
        php=php,
        target="al2023",
        lambda_runtime="provided.al2023",
        architecture=architecture,
        base="debian",
        engine="host",
        bootstrap="function",
        extensions={},
        configure=(),
        sources=(),
        libraries=(),
    )


def vendor_manifest(
    *licenses: tuple[str, ...], php: str = "8.4.24", architecture: str = "x86_64", layer: str = "php-vendor"
) -> VendorManifest:
    packages = (PackageRecord(name=f"a/{i}", version="1.0.0", license=each) for i, each in enumerate(licenses))
    return VendorManifest(
        phplayer="0.1.0",
        layer=layer,
        key=KEY,
        php=php,
        target="al2023",
        lambda_runtime="provided.al2023",
        architecture=architecture,
        composer="2.5.5",
        packages=tuple(packages),
    )


def archive(
    path: Path, manifest: Manifest, content: bytes = b"content", *, without: Collection[str] = ()
) -> LayerArchive:
    """Write a zip with this manifest; the same arguments give the same bytes."""
    kind = "runtime" if isinstance(manifest, RuntimeManifest) else "vendor"
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {MANIFEST_PATHS[kind]: encode_manifest(manifest), "content": content}
    if kind == "runtime":  # without it the policy would refuse the layer
        files["bootstrap"] = b"#!/bin/sh\n"
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in files.items():
            if name in without:
                continue
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if name == "bootstrap" else 0o100644) << 16
            opened.writestr(entry, data)
    return LayerArchive.read(path)


def project(folder: Path, content: bytes = b"content") -> Path:
    """Make a project folder as it is after ``phplayer build``: a runtime and a vendor layer in ``dist``."""
    dist = folder / "dist" / "php-84-al2023-x86_64"
    archive(dist / "runtime.zip", runtime_manifest(), content)
    archive(dist / "vendor.zip", vendor_manifest(("MIT",)), content)
    return folder
