from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from phplayer import archive
from phplayer.compression import Compression
from phplayer.errors import BuildFailedError, UsageError
from phplayer.settings import Settings


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


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "tree") + b"/caf\xe9.php")).write_text("x")
    with pytest.raises(BuildFailedError, match=r"name of caf\\xe9\.php is not UTF-8"):
        archive.pack(tmp_path / "tree", tmp_path / "layer.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize("compression", Compression)
def test_every_compression_is_read_by_others_and_reproducible(tmp_path: Path, compression: Compression) -> None:
    folder = tree(tmp_path / "tree")
    (folder / "empty").touch()
    (folder / "noise").write_bytes(random.Random(1).randbytes(5000))  # noqa: S311  the same bytes on every run
    (folder / "größe.txt").write_text("ß" * 3000)
    for name in ("one.zip", "two.zip"):
        archive.pack(folder, tmp_path / name, compression=compression)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as opened:
        assert opened.testzip() is None
        content = {name: opened.read(name) for name in opened.namelist()}
        methods = {entry.filename: entry.compress_type for entry in opened.infolist()}
    assert content == {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")} | {
        name: (folder / name).read_bytes() for name in ("bin/php", "empty", "noise")
    }
    assert list(content) == sorted(content)
    assert methods["noise"] == methods["empty"] == zipfile.ZIP_STORED
    assert methods["bin/php"] == zipfile.ZIP_DEFLATED
    unpacked = tmp_path / "unpacked"
    utf8 = os.environ | {"LC_ALL": "C.UTF-8"}  # elsewhere unzip writes other letters than ASCII as numbers
    subprocess.run(["unzip", "-q", tmp_path / "one.zip", "-d", unpacked], check=True, env=utf8)
    assert (unpacked / "größe.txt").read_text() == "ß" * 3000
    assert os.access(unpacked / "bin" / "php", os.X_OK)


def test_more_files_than_a_plain_zip_can_count(tmp_path: Path) -> None:
    out = io.BytesIO()
    archive._write(
        out,
        (
            archive._Packed(name=b"%d" % i, executable=False, method=0, crc=zlib.crc32(b"x"), size=1, content=b"x")
            for i in range(65_536)
        ),
    )
    with zipfile.ZipFile(out) as opened:
        assert len(opened.namelist()) == 65_536
        assert opened.read("65535") == b"x"


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    settings = Settings.load(start=tmp_path, flags={"layer.compression": "zopfly"}, environment={})
    with pytest.raises(UsageError, match="zopfly") as raised:
        Compression.of(settings)
    assert "'zopfli'" in raised.value.remedy


def test_the_best_is_smaller_than_zlib_and_zopfli_is_smaller_still() -> None:
    data = Path(archive.__file__).read_bytes() * 3
    sizes = [len(each.deflate(data)) for each in (Compression.ZOPFLI, Compression.BEST, Compression.FAST)]
    assert sizes == sorted(sizes)
    assert sizes[1] <= len(zlib.compress(data, 9)) - 6
