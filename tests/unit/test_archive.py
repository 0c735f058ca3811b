from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from phplayer import archive
from phplayer.errors import BuildFailedError


def tree(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "php").write_bytes(b"\x7fELF" * 1000)
    (folder / "bin" / "php").chmod(0o700)
    (folder / "a.txt").write_text("a")
    (folder / "a.txt").chmod(0o600)
    return folder


def test_the_same_tree_gives_the_same_bytes_elsewhere_and_later(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(second / "a.txt", (1_000_000_000, 1_000_000_000))
    (second / "a.txt").chmod(0o640)
    archive.pack(first, tmp_path / "first.zip")
    archive.pack(second, tmp_path / "second.zip")
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("first.zip", "second.zip")}
    assert len(digests) == 1


def test_execution_bits_survive_and_the_rest_is_plain(tmp_path: Path) -> None:
    archive.pack(tree(tmp_path / "tree"), tmp_path / "layer.zip")
    with zipfile.ZipFile(tmp_path / "layer.zip") as opened:
        modes = {entry.filename: (entry.external_attr >> 16) & 0o777 for entry in opened.infolist()}
    assert modes == {"a.txt": 0o644, "bin/php": 0o755}


def test_links_are_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree")
    target = tmp_path / "layer.zip"
    target.write_bytes(b"earlier")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(BuildFailedError, match="link"):
        archive.pack(folder, target)
    assert target.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer.zip", "tree"]
