from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import msgspec
import pytest

from phplayer import comparison
from phplayer.comparison import Change
from phplayer.errors import UsageError
from phplayer.layer import LibraryRecord, SourceRecord
from tests import layers
from tests.conftest import Phplayer
from tests.unit.test_inspection import tree


def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two runtime layers that differ in all that can differ."""
    manifest = layers.runtime_manifest()
    old = msgspec.structs.replace(
        manifest,
        extensions={"core": "8.4.24", "zip": "1.22.3"},
        sources=(SourceRecord(name="php", version="8.4.24", sha256="0"),),
        libraries=(LibraryRecord(soname="content", package="x", version="1"),),
    )
    new = msgspec.structs.replace(
        layers.runtime_manifest(php="8.4.25"),
        extensions={"core": "8.4.25", "redis": "6.1.0"},
        sources=(SourceRecord(name="php", version="8.4.25", sha256="1"),),
    )
    return (
        layers.archive(tmp_path / "old.zip", old, b"old").path,
        layers.archive(tmp_path / "new.zip", new, b"newer").path,
    )


def test_versions_extensions_and_files_are_told(tmp_path: Path) -> None:
    (found,) = comparison.compare(*two(tmp_path))
    told = {(each.what, each.name): (each.change, each.old, each.new) for each in found.differences}
    assert told == {
        ("layer", "PHP"): (Change.CHANGED, "8.4.24", "8.4.25"),
        ("extension", "core"): (Change.CHANGED, "8.4.24", "8.4.25"),
        ("extension", "redis"): (Change.ADDED, "", "6.1.0"),
        ("extension", "zip"): (Change.REMOVED, "1.22.3", ""),
        ("source", "php"): (Change.CHANGED, "8.4.24", "8.4.25"),
    }
    assert {each.path: each.change for each in found.files} == {
        "content": Change.CHANGED,
        "phplayer.json": Change.CHANGED,
    }
    assert found.differ


def test_the_same_layer_does_not_differ_from_itself(tmp_path: Path) -> None:
    old, _ = two(tmp_path)
    (found,) = comparison.compare(old, old)
    assert (found.differ, found.same_files, found.files) == (False, 3, ())


def test_layers_of_others_are_compared_by_files_and_sonames(tmp_path: Path) -> None:
    old = tree(tmp_path / "old", {"lib/libz.so.1": b"1", "bin/php": b"p", "gone": b"g"})
    new = tree(tmp_path / "new", {"lib/libz.so.2": b"2", "bin/php": b"q" * 99})
    (found,) = comparison.compare(old, new)
    assert [(each.name, each.change) for each in found.differences] == [
        ("libz.so.1", Change.REMOVED),
        ("libz.so.2", Change.ADDED),
    ]
    assert {each.path: each.change for each in found.files} == {
        "bin/php": Change.CHANGED,
        "gone": Change.REMOVED,
        "lib/libz.so.1": Change.REMOVED,
        "lib/libz.so.2": Change.ADDED,
    }


def test_a_file_that_is_only_no_longer_executable_or_a_link_differs(tmp_path: Path) -> None:
    old = tree(tmp_path / "old", {"bootstrap": b"b", "lib/liba.so": b"liba.so.1", "same": b"s"})
    new = tree(tmp_path / "new", {"bootstrap": b"b", "same": b"s"})
    (old / "bootstrap").chmod(0o755)
    (new / "bootstrap").chmod(0o644)
    (new / "lib").mkdir()
    (new / "lib" / "liba.so").symlink_to("liba.so.1")
    zipped = tmp_path / "new.zip"
    with zipfile.ZipFile(zipped, "w") as opened:
        for name, mode, data in (
            ("bootstrap", stat.S_IFREG | 0o644, b"b"),
            ("lib/liba.so", stat.S_IFLNK | 0o777, b"liba.so.1"),
            ("same", stat.S_IFREG | 0o644, b"s"),
        ):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            opened.writestr(info, data)
    for other in (new, zipped):
        (found,) = comparison.compare(old, other)
        assert {each.path: each.mode for each in found.files} == {
            "bootstrap": "not executable",
            "lib/liba.so": "a link",
        }
        assert found.same_files == 1


def test_two_dist_folders_are_compared_kind_by_kind(tmp_path: Path) -> None:
    for name, content in (("one", b"1"), ("two", b"2")):
        layers.project(tmp_path / name, content)
    found = comparison.compare(tmp_path / "one" / "dist", tmp_path / "two" / "dist")
    assert [each.old.path.name for each in found] == ["runtime.zip", "vendor.zip"]
    assert all([file.path for file in each.files] == ["content"] for each in found)
    with pytest.raises(UsageError, match=r"runtime\.zip and vendor\.zip"):
        comparison.compare(tmp_path / "one" / "dist", tree(tmp_path / "bare"))


def test_diff_on_the_command_line(tmp_path: Path, phplayer: Phplayer) -> None:
    old, new = two(tmp_path)
    shown = phplayer("diff", old, new)
    assert "8.4.25" in shown.stdout
    assert "redis" in shown.stdout
    document = json.loads(phplayer("diff", "--json", old, new).stdout)
    assert document["differ"] is True
    assert {each["change"] for each in document["layers"][0]["differences"]} == {"added", "removed", "changed"}
    assert phplayer("diff", "--exit-code", old, new, check=False).returncode == 1
    same = phplayer("diff", "--exit-code", old, old)
    assert "No difference: 3 files are the same." in same.stdout
    assert phplayer("diff", old, tmp_path / "nowhere", check=False).returncode == 2
