"""What is verified, for which architecture, and what refuses it."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from phplayer import archive, catalog, verifying
from phplayer.aws import Aws
from phplayer.errors import PolicyRefusedError, UsageError
from phplayer.layer import encode_manifest
from phplayer.runtime import Architecture
from tests import layers

TARGET = catalog.load().target("al2023")
HERE = Architecture.of_this_machine()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))


def verify(subject: Path, *others: Path, allow: tuple[str, ...] = ()) -> verifying.Verification:
    return verifying.verify(str(subject), others=[*map(str, others)], target=TARGET, allow=allow, aws=_no_aws)


def _no_aws() -> Aws:
    raise AssertionError("AWS is not asked about files")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "opt"
    folder.mkdir()
    (folder / "bootstrap").write_text("#!/bin/sh\n")
    (folder / "bootstrap").chmod(0o700)
    (folder / "phplayer.json").write_bytes(encode_manifest(layers.runtime_manifest(architecture="arm64")))
    return folder


def test_the_manifest_tells_the_architecture(tree: Path, tmp_path: Path) -> None:
    assert verify(tree).architecture is Architecture.ARM64
    (tree / "phplayer.json").write_text("no manifest")
    assert verify(tree).architecture is Architecture.X86_64


def test_a_folder_has_the_modes_that_it_has_and_a_tree_those_that_it_will_be_packed_with(tree: Path) -> None:
    (tree / "phplayer.json").chmod(0o600)
    assert {finding.name for finding in verify(tree).findings} == {"unreadable", "not-executable"}
    assert verifying.verify_tree(tree, target=TARGET, architecture=Architecture.ARM64) == ()


def test_a_zip_and_the_folder_that_it_was_made_of_have_the_same_findings(tree: Path, tmp_path: Path) -> None:
    (tree / ".env").write_text("SECRET=1")
    for path in tree.iterdir():
        path.chmod(0o755 if path.name == "bootstrap" else 0o644)
    packed = tmp_path / "layer.zip"
    archive.pack(tree, packed)
    of_zip, of_tree = verify(packed), verify(tree)
    assert of_zip.findings == of_tree.findings
    assert (of_zip.kind, of_zip.layer.zipped) == ("zip", packed.stat().st_size)
    assert (of_tree.kind, of_tree.layer.zipped) == ("folder", None)
    assert verifying.verify_archive(packed, target=TARGET, architecture=Architecture.ARM64) == of_zip.findings
    allowed = verifying.verify_archive(packed, target=TARGET, architecture=Architecture.ARM64, allow=("secret-file",))
    assert allowed == ()
    assert not list((tmp_path / "cache" / "work").iterdir())


def test_folders_of_a_zip_have_the_modes_that_it_tells(tree: Path, tmp_path: Path) -> None:
    packed = tmp_path / "layer.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, mode in {"etc/php": 0o700, "lib": 0o755}.items():
            folder = zipfile.ZipInfo(f"{name}/")
            folder.create_system, folder.external_attr = 3, (stat.S_IFDIR | mode) << 16
            archive.writestr(folder, "")
            archive.writestr(f"{name}/file", "x")
    previous = os.umask(0o077)  # which is nothing of the archive's
    try:
        found = verify(packed).findings
    finally:
        os.umask(previous)
    assert [(finding.name, finding.file) for finding in found if "folder" in finding.message] == [
        ("unreadable", "etc/php")
    ]


def test_no_name_is_not_this_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    with pytest.raises(UsageError, match="The name of a layer is empty"):
        verifying.verify("", target=TARGET, aws=_no_aws)


def test_other_layers_count(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "bootstrap").write_text("#!/bin/bash\n")
    names = [finding.name for finding in verify(tree, other, allow=("not-executable", "unreadable")).standing]
    assert names == ["hidden-file"]


def test_what_was_allowed_by_name_does_not_refuse(tree: Path) -> None:
    (tree / ".env").write_text("SECRET=1")
    result = verify(tree)
    with pytest.raises(PolicyRefusedError, match=r"3 errors \(not-executable, unreadable, secret-file\)") as caught:
        verifying.refuse(result.standing, what="It")
    assert caught.value.details[-1] == "secret-file: .env is a file that holds secrets"
    assert "--allow secret-file" in caught.value.remedy
    verifying.refuse(verify(tree, allow=("secret-file", "unreadable", "not-executable")).standing)


def test_findings_are_summed_up_by_rule(tree: Path) -> None:
    (tree / "a").symlink_to("x")
    (tree / "b").symlink_to("x")
    lines = verifying.summary(finding for finding in verify(tree).findings if finding.name == "dangling-symlink")
    assert lines == ("dangling-symlink: a leads to x, which is not there (and 1 more)",)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "There is no "),
        (lambda path: path.write_text("x"), "is not a zip"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "holds no file"),
        (lambda path: path.mkdir(), "holds no file"),
    ],
)
def test_what_cannot_be_verified_is_said(tmp_path: Path, make: object, words: str) -> None:
    subject = tmp_path / "layer.zip"
    assert callable(make)
    make(subject)
    with pytest.raises(UsageError, match=words):
        verify(subject)


@pytest.mark.parametrize(
    ("arn", "words", "remedy"),
    [
        (
            "arn:aws:lambda:eu-wset-1:123456789012:layer:x:1",
            "AWS has no region 'eu-wset-1'",
            "Did you mean 'eu-west-1'?",
        ),
        ("arn:aws-cn:lambda:eu-west-1:123456789012:layer:x:1", "eu-west-1 is in the partition 'aws', not", "arn:aws:"),
        ("arn:aws:lambda:eu-west-1:123456789012:layer:x", "is not a LayerVersionArn", "VERSION"),
        ("arn:aws:s3:::bucket", "is not a LayerVersionArn", "VERSION"),
    ],
)
def test_an_arn_that_cannot_be_is_refused_before_aws_is_asked(arn: str, words: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        verifying.verify(arn, target=TARGET, aws=_no_aws)
    assert remedy in caught.value.remedy


def test_names_that_are_no_rule_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'secrets'"):
        verify(tmp_path / "absent.zip", allow=("secrets",))
