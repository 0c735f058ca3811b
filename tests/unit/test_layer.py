from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from phplayer.errors import UsageError
from phplayer.layer import LayerArchive, LayerArn, LayerName, VendorManifest, decode_manifest, encode_manifest

MANIFEST = VendorManifest(
    phplayer="0",
    layer="php-vendor",
    key="k",
    php="8.4.24",
    target="al2023",
    lambda_runtime="provided.al2023",
    architecture="x86_64",
    composer="2",
    packages=(),
)


@pytest.mark.parametrize("name", ["", "a b", "a" * 141, "php.84", "ä"])
def test_names_that_lambda_refuses_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        LayerName(name)


def test_an_arn_survives_parsing() -> None:
    for partition in ("aws", "aws-cn", "aws-us-gov", "aws-eusc"):
        text = f"arn:{partition}:lambda:eu-central-1:123456789012:layer:php-84-x86_64:7"
        assert str(LayerArn.parse(text)) == text
    with pytest.raises(UsageError, match="LayerVersionArn"):
        LayerArn.parse("arn:aws:lambda:eu-central-1:123456789012:layer:php")


def test_a_manifest_survives_and_tolerates_keys_of_later_versions() -> None:
    data = encode_manifest(MANIFEST)
    assert decode_manifest(data) == MANIFEST
    assert decode_manifest(data.replace(b'"key": "k"', b'"key": "k", "later": 1')) == MANIFEST


def test_an_archive_is_read_with_its_digests(tmp_path: Path) -> None:
    path = tmp_path / "vendor.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vendor/phplayer.json", encode_manifest(MANIFEST))
    found = LayerArchive.read(path)
    assert (found.kind, found.manifest) == ("vendor", MANIFEST)
    assert found.size == path.stat().st_size
    assert len(found.code_sha256) == 44


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "is empty"), (b"PK\x03\x04 cut off", "is cut off"), (b"no zip", "is not a zip")]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "runtime.zip"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        LayerArchive.read(path)


def test_a_zip_without_a_manifest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runtime.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bootstrap", "")
    with pytest.raises(UsageError, match="no phplayer manifest"):
        LayerArchive.read(path)
