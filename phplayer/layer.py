"""Values about layers: names, ARNs, archives, and the manifest inside each archive."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import msgspec

from phplayer.bounded_zip import BoundedZip
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,140}")
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":layer:(?P<name>[a-zA-Z0-9_-]{1,140}):(?P<version>\d+)"
)


class LayerName(str):
    """A layer's name, checked against what PublishLayerVersion takes (1 to 140 of ``a-z A-Z 0-9 - _``)."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the name.

        Raises:
            UsageError: Lambda would refuse it.

        """
        if _NAME.fullmatch(text) is None:
            raise UsageError(
                f"{text!r} cannot name a layer.",
                remedy="Use 1 to 140 letters, digits, hyphens and underscores (see [layer] in phplayer.toml).",
            )
        return super().__new__(cls, text)


@dataclass(frozen=True, kw_only=True, order=True)
class LayerArn:
    """A LayerVersionArn in its parts."""

    partition: str
    region: str
    account: str
    name: str
    version: int

    @classmethod
    def parse(cls, text: str) -> LayerArn:
        """Read a LayerVersionArn.

        Raises:
            UsageError: the text is none.

        """
        match = _ARN.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not a LayerVersionArn.",
                remedy="It looks like arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION.",
            )
        return cls(
            partition=match["partition"],
            region=match["region"],
            account=match["account"],
            name=match["name"],
            version=int(match["version"]),
        )

    def __str__(self) -> str:
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:layer:{self.name}:{self.version}"


class _Struct(msgspec.Struct, frozen=True):
    """Manifests are read by later versions of phplayer too, so unknown keys are passed over."""


class SourceRecord(_Struct, frozen=True, kw_only=True):
    """A tarball that went into the layer."""

    name: str
    version: str
    sha256: str
    license: str = ""  # SPDX expression, "" where it is not known
    cpe: str = ""  # VENDOR:PRODUCT, what the NVD calls it; "" where it is not known
    patches: tuple[str, ...] = ()  # applied to it
    patches_from: str = ""  # Debian's source package that they are from: "curl_8.14.1-2+deb13u5"


class LibraryRecord(_Struct, frozen=True, kw_only=True):
    """A library: one that was grafted and its distribution package, or a static one (``.a``) that was compiled in."""

    soname: str
    package: str
    version: str
    license: tuple[str, ...] = ()  # of the package's files, in the distribution's words; all of them apply


class PackageRecord(_Struct, frozen=True, kw_only=True):
    """A Composer package of the vendor layer."""

    name: str
    version: str
    license: tuple[str, ...] = ()


class RuntimeManifest(_Struct, frozen=True, kw_only=True, tag_field="kind", tag="runtime"):
    """What a runtime layer is made of: ``/opt/phplayer.json``."""

    schema_version: int = 1
    phplayer: str
    layer: str
    key: str
    php: str
    target: str
    lambda_runtime: str
    architecture: str
    base: str
    engine: str
    bootstrap: str
    extensions: dict[str, str]  # name -> version
    configure: tuple[str, ...]
    sources: tuple[SourceRecord, ...]
    libraries: tuple[LibraryRecord, ...]
    distribution: str = ""  # whose packages the libraries are of: ID and VERSION_ID of os-release, "debian-12"
    pinned_symbols: tuple[str, ...] = ()  # function@VERSION: bound to an older version than the base's newest


class VendorManifest(_Struct, frozen=True, kw_only=True, tag_field="kind", tag="vendor"):
    """What a vendor layer is made of: ``/opt/vendor/phplayer.json``."""

    schema_version: int = 1
    phplayer: str
    layer: str
    key: str
    php: str  # the PHP that the dependencies were checked against
    target: str
    lambda_runtime: str
    architecture: str  # of the runtime it was checked against; the files themselves run on any
    composer: str
    packages: tuple[PackageRecord, ...]


Manifest: TypeAlias = RuntimeManifest | VendorManifest

MANIFEST_PATHS = {"runtime": "phplayer.json", "vendor": "vendor/phplayer.json"}
"""Where each kind of manifest lies in its archive. They differ because layers merge at /opt."""

LARGEST_MANIFEST = 4_000_000
"""Bytes of a manifest that are read."""


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON, the same bytes for the same manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic", enc_hook=str), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        msgspec.ValidationError: it is not one (msgspec.DecodeError: not even JSON).

    """
    return msgspec.json.decode(data, type=RuntimeManifest | VendorManifest)


@dataclass(frozen=True, kw_only=True)
class LayerArchive:
    """A layer zip on disk."""

    path: Path
    manifest: Manifest
    size: int  # bytes, zipped
    unpacked: int  # bytes
    sha256: str  # hexadecimal

    @classmethod
    def read(cls, path: Path) -> LayerArchive:
        """Open a zip that phplayer made.

        Raises:
            UsageError: no zip, or one without a manifest.

        """
        data = path.read_bytes()
        try:
            with BoundedZip(path) as archive:
                inside = next((entry for name in MANIFEST_PATHS.values() if (entry := archive.find(name))), None)
                if inside is None:
                    raise UsageError(f"{path} holds no phplayer manifest.", remedy="Build it with: phplayer build")
                manifest = decode_manifest(archive.read(inside, limit=LARGEST_MANIFEST))
                unpacked = archive.unpacked
        except msgspec.DecodeError as error:
            raise UsageError(f"{path} is not a layer archive: {error}.", remedy="Build it again.") from error
        return cls(
            path=path,
            manifest=manifest,
            size=len(data),
            unpacked=unpacked,
            sha256=hashlib.sha256(data).hexdigest(),
        )

    @property
    def code_sha256(self) -> str:
        """The digest in the form that Lambda reports it."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()

    @property
    def kind(self) -> str:
        """``runtime`` or ``vendor``."""
        return "runtime" if isinstance(self.manifest, RuntimeManifest) else "vendor"
