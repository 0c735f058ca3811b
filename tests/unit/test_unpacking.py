"""Archives that are damaged or made to do harm, each refused in one sentence; sound ones unpacked as on Lambda."""

from __future__ import annotations

import contextlib
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phplayer import inspection, unpacking
from phplayer.emulator.layers import LayerZip
from phplayer.errors import UsageError
from phplayer.layer import LayerArchive
from tests import layers

UNIX = 3


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = UNIX
    made.external_attr = mode << 16
    made.compress_type = zipfile.ZIP_DEFLATED
    return made


def archive(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for info, data in entries:
            opened.writestr(entry(info) if isinstance(info, str) else info, data)
    return path


def twice(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(entry("a"), b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr(entry("a"), b"2")
    return path


def cut_off(path: Path) -> Path:
    archive(path, ("a", b"x" * 1000), ("b", b"y"))
    path.write_bytes(path.read_bytes()[:-40])
    return path


def other_bytes(path: Path) -> Path:
    info = entry("a")
    info.compress_type = zipfile.ZIP_STORED
    archive(path, (info, b"abcdefgh"))
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdefgX"))
    return path


def broken_stream(path: Path) -> Path:
    archive(path, ("a", bytes(range(256)) * 40))
    data = bytearray(path.read_bytes())
    data[31:60] = b"\xff" * 29
    path.write_bytes(data)
    return path


def encrypted(path: Path) -> Path:
    archive(path, ("a", b"x"))
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    path.write_bytes(data)
    return path


def declared_bomb(path: Path) -> Path:
    return archive(path, ("a", b"\0" * 5_000_000))


def lying_bomb(path: Path) -> Path:
    """One whose directory and header say 10 bytes."""
    declared_bomb(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 5_000_000), struct.pack("<L", 10)))
    return path


def overlapping(path: Path) -> Path:
    """One whose second entry lies within the first."""
    archive(path, ("a", bytes(range(256)) * 4), ("b", b"x"))
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 42, 10)
    path.write_bytes(data)
    return path


def over_the_directory(path: Path) -> Path:
    info = entry("a")
    info.compress_type = zipfile.ZIP_STORED
    archive(path, (info, b"x" * 100))
    data = bytearray(path.read_bytes())
    struct.pack_into("<LL", data, data.rindex(b"PK\x01\x02") + 20, 140, 140)
    path.write_bytes(data)
    return path


def odd_zip64(path: Path) -> Path:
    """One whose sizes are in a zip64 record that is not there."""
    archive(path, ("a", b"x" * 100))
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<LL", data, central + 20, 0xFFFF_FFFF, 0xFFFF_FFFF)
    path.write_bytes(data)
    return path


def many_disks(path: Path) -> Path:
    """One whose zip64 locator says that it is a part of several."""
    archive(path, ("a", b"x" * 100))
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 47, 1 << 62)
    path.write_bytes(data[:end] + record + struct.pack("<4sIQI", b"PK\x06\x07", 1, end, 9) + data[end:])
    return path


def name_that_is_no_utf8(path: Path) -> Path:
    archive(path, ("\u00fcX", b"x"))
    path.write_bytes(path.read_bytes().replace("\u00fcX".encode(), b"\xff\xfeX"))
    return path


def text(path: Path) -> Path:
    path.write_text("<html>404</html>")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def nul_name(path: Path) -> Path:
    archive(path, ("aXb", b"x"))
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))
    return path


def lzma(path: Path) -> Path:
    info = entry("a")
    info.compress_type = zipfile.ZIP_LZMA
    return archive(path, (info, b"x"))


def of(*entries: tuple[zipfile.ZipInfo | str, bytes]) -> Callable[[Path], Path]:
    return lambda path: archive(path, *entries)


LINK = stat.S_IFLNK | 0o777


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (text, "is not a zip"),
        (empty, "is empty"),
        (cut_off, "is cut off: the directory at its end is missing"),
        (other_bytes, "is damaged: Bad CRC-32 for file 'a'"),
        (broken_stream, "is damaged: "),
        (encrypted, "is encrypted ('a')"),
        (lzma, "is compressed by method 14 ('a'), and not deflated"),
        (declared_bomb, "unpacks to 5,000,000 bytes, and no more than 1,000,000 are written"),
        (lying_bomb, ""),
        (twice, "has a twice"),
        (overlapping, "has entries that overlap, 'a' and 'b'"),
        (over_the_directory, "has an entry that overlaps the directory, 'a'"),
        (odd_zip64, "unpacks to 4,294,967,295 bytes, and no more than 1,000,000 are written"),
        (many_disks, "is damaged: "),
        (name_that_is_no_utf8, "is damaged: "),
        (of(("a/" * 300, b"")), "has an entry whose name has 600 characters and 301 parts"),
        (of(("a\x1b[2J", b"1"), ("./a\x1b[2J", b"2")), r"has a\x1b[2J twice"),
        (of(("a", b"1"), ("./a", b"2")), "has a twice"),
        (of(("../a", b"1")), "has an entry that would be written outside the layer, '../a'"),
        (of(("a/../../b", b"1")), "has an entry that would be written outside the layer, 'a/../../b'"),
        (of(("/etc/passwd", b"1")), "has an entry that would be written outside the layer, '/etc/passwd'"),
        (of(("..\\a", b"1")), "has an entry with backslashes in its name"),
        (nul_name, "has an entry with a NUL in its name"),
        (of(("x" * 300, b"1")), "has an entry that cannot be written"),
        (of((entry("a", LINK), b"/etc"), ("a/passwd", b"1")), "has a both as a folder and as a symbolic link"),
        (of(("a", b"1"), ("a/b", b"1")), "has a both as a folder and as a file"),
        (of(("a", b"1"), (entry("a/", stat.S_IFDIR | 0o755), b"")), "has a both as a folder and as a file"),
        (of((entry("a", LINK), b"")), "has a symbolic link that leads nowhere, 'a'"),
        (of((entry("a", LINK), b"x" * 5000)), "has a symbolic link of 5,000 bytes, 'a'"),
        (of((entry("a", stat.S_IFCHR | 0o666), b"")), "has a device, a pipe or a socket, 'a'"),
        (of((entry("a", stat.S_IFIFO | 0o666), b"")), "has a device, a pipe or a socket, 'a'"),
    ],
)
def test_what_is_no_layer_archive_is_refused_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path, into = make(tmp_path / "layer.zip"), tmp_path / "into"
    into.mkdir()
    with pytest.raises(UsageError) as caught:
        unpacking.unpack(path, into, limit=1_000_000)
    assert caught.value.message.startswith(f"{path} {words}")
    assert caught.value.message.endswith(".")
    assert caught.value.remedy
    assert sum(each.stat().st_size for each in into.rglob("*") if each.is_file()) <= 3_000_000
    assert {each.name for each in tmp_path.iterdir()} <= {"layer.zip", "into", "cache"}


def test_a_sound_archive_is_unpacked_as_lambda_does(tmp_path: Path) -> None:
    without_mode = zipfile.ZipInfo("readme")
    without_mode.create_system, without_mode.external_attr = 0, 0x20  # as made on Windows
    path = archive(
        tmp_path / "layer.zip",
        (entry("bin/", stat.S_IFDIR | 0o755), b""),
        (entry("bin/php", stat.S_IFREG | 0o755), b"php"),
        (entry("./README", stat.S_IFREG | 0o644), b"read"),
        (without_mode, b"other case"),
        (entry("suid", stat.S_IFREG | 0o4755), b"s"),
        (entry("secret", stat.S_IFREG | 0o200), b"s"),
        (entry("lib64", LINK), b"lib"),
        (entry("out", LINK), b"/etc/passwd"),
    )
    with unpacking.opened(path) as unpacked:
        folder = unpacked.folder
        modes = {
            each.name: stat.S_IMODE(each.lstat().st_mode)
            for each in folder.rglob("*")
            if each.is_file() and not each.is_symlink()
        }
        assert modes == {"php": 0o755, "README": 0o644, "readme": 0o644, "suid": 0o755, "secret": 0o600}
        assert unpacked.modes == {
            "bin": 0o755, "bin/php": 0o755, "README": 0o644, "readme": 0o644, "suid": 0o4755, "secret": 0o200
        }  # fmt: skip
        assert str((folder / "lib64").readlink()) == "lib"
        assert str((folder / "out").readlink()) == "/etc/passwd"
        assert unpacked.zipped == path.stat().st_size
    assert not folder.exists()


def test_a_later_layer_goes_over_an_earlier_one_and_through_none_of_its_links(tmp_path: Path) -> None:
    outside, into = tmp_path / "outside", tmp_path / "into"
    outside.write_text("untouched")
    into.mkdir()
    unpacking.unpack(archive(tmp_path / "a.zip", (entry("x", LINK), str(outside).encode()), ("y", b"1")), into)
    unpacking.unpack(archive(tmp_path / "b.zip", ("x", b"file"), ("y", b"2")), into)
    assert (outside.read_text(), (into / "x").read_text(), (into / "y").read_text()) == ("untouched", "file", "2")
    unpacking.unpack(archive(tmp_path / "c.zip", (entry("d", LINK), str(tmp_path).encode())), into)
    with pytest.raises(UsageError, match="has d/y below d, which is a symbolic link of an earlier layer"):
        unpacking.unpack(archive(tmp_path / "d.zip", ("d/y", b"2")), into)


@settings(deadline=None, derandomize=True, max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    spots=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.integers(0, 99),
)
def test_a_mutated_archive_is_read_or_refused_by_all_that_read_archives(
    tmp_path_factory: pytest.TempPathFactory, spots: list[tuple[int, int]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    made = layers.archive(folder / "layer.zip", layers.runtime_manifest()).path
    data = bytearray(made.read_bytes())
    at_end = data.index(b"PK\x01\x02")  # most of what there is to be misled by is behind this
    for where, value in spots:
        at = at_end + where % (len(data) - at_end) if where % 4 else where % len(data)
        data[at] = value
    made.write_bytes(data[: len(data) - cut] if cut > 90 else data)
    (folder / "into").mkdir()
    for read in (
        lambda: unpacking.unpack(made, folder / "into", limit=1_000_000),
        lambda: inspection.read_zip(made),
        lambda: LayerArchive.read(made),
        lambda: LayerZip.read(made),
    ):
        with contextlib.suppress(UsageError):
            read()
    shutil.rmtree(folder)
