from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from phplayer import archive, budget, inspection
from phplayer.errors import BuildFailedError, UsageError
from phplayer.layer import LayerArchive, LibraryRecord, encode_manifest
from phplayer.settings import Settings
from tests import layers
from tests.unit.test_inspection import tree


def settings(folder: Path, limit: str) -> Settings:
    return Settings.load(start=folder, flags={"layer.max_size": limit}, environment={})


@pytest.fixture
def found(tmp_path: Path) -> LayerArchive:
    """An archive of some 5 kB that waits for its place."""
    path = tmp_path / "runtime.zip"
    return layers.archive(budget.aside(path), layers.runtime_manifest(), b"x" * 5000)


@pytest.mark.parametrize("limit", ["", "0", "1 MB"])
def test_within_the_budget_it_takes_its_place(tmp_path: Path, found: LayerArchive, limit: str) -> None:
    admitted = budget.admit(found, tmp_path / "runtime.zip", settings(tmp_path, limit))
    assert admitted.path == tmp_path / "runtime.zip"
    assert [path.name for path in tmp_path.iterdir()] == ["runtime.zip"]


def test_over_the_budget_it_stays_aside_until_the_budget_is_raised(tmp_path: Path, found: LayerArchive) -> None:
    path = tmp_path / "runtime.zip"
    layers.archive(path, layers.runtime_manifest(), b"earlier")
    before = path.read_bytes()
    with pytest.raises(BuildFailedError, match=r"bytes over its budget of 2\.00 kB") as raised:
        budget.admit(found, path, settings(tmp_path, "2 K"))
    assert str(found.path) in raised.value.remedy
    assert "layer.max_size, from the command line" in raised.value.message
    assert any("other" in line for line in raised.value.details)
    assert (path.read_bytes(), found.path.is_file()) == (before, True)
    admitted = budget.admit(found, path, settings(tmp_path, "1 MB"))
    assert (admitted.size, LayerArchive.read(path).sha256) == (found.size, found.sha256)
    assert not found.path.exists()


def test_a_layer_of_a_few_bytes_too_many_does_not_seem_to_be_of_the_very_size(tmp_path: Path) -> None:
    path = tmp_path / "runtime.zip"
    found = layers.archive(budget.aside(path), layers.runtime_manifest(), b"x" * 2_000_000)
    with pytest.raises(BuildFailedError, match=r"is 2\.00 MB zipped, 3 bytes over its budget of 2\.00 MB"):
        budget.admit(found, path, settings(tmp_path, str(found.size - 3)))


def test_the_ten_largest_are_named_the_largest_first(tmp_path: Path) -> None:
    tree_ = tree(tmp_path / "tree", {f"lib/lib{number:02}.so": os.urandom(1000 * number) for number in range(1, 15)})
    (tree_ / "phplayer.json").write_bytes(encode_manifest(layers.runtime_manifest()))
    path = tmp_path / "runtime.zip"
    archive.pack(tree_, budget.aside(path))
    with pytest.raises(BuildFailedError) as raised:
        budget.admit(LayerArchive.read(budget.aside(path)), path, settings(tmp_path, "1"))
    _, *rows = raised.value.details
    assert [row.split()[-1] for row in rows] == [f"lib{number:02}.so" for number in range(14, 4, -1)]


def test_a_smaller_budget_takes_the_archive_from_its_place(tmp_path: Path) -> None:
    path = tmp_path / "runtime.zip"
    found = layers.archive(path, layers.runtime_manifest(), b"x" * 5000)
    with pytest.raises(BuildFailedError):
        budget.admit(found, path, settings(tmp_path, "2 K"))
    assert [each.name for each in tmp_path.iterdir()] == ["runtime.over-budget.zip"]


def test_a_budget_that_is_no_size_is_refused(tmp_path: Path, found: LayerArchive) -> None:
    with pytest.raises(UsageError, match="which is no size"):
        budget.admit(found, tmp_path / "runtime.zip", settings(tmp_path, "small"))


def test_contributors_are_grouped_sensibly(tmp_path: Path) -> None:
    libraries = (LibraryRecord(soname="libz.so.1", package="zlib", version="1.2"),)
    manifest = msgspec.structs.replace(layers.runtime_manifest(), libraries=libraries)
    files = {
        "bin/php": b"p",
        "lib/libz.so.1": b"z",
        "lib/libicudata.so.72": b"i",
        "lib/php/extensions/a.so": b"e",
        "phplayer/A.php": b"a",
        "phplayer/B.php": b"b",
        "vendor/one/two/src/A.php": b"a",
        "vendor/one/two/src/B.php": b"b",
        "vendor/autoload.php": b"c",
        "vendor/composer/ClassLoader.php": b"d",
        "phplayer.json": encode_manifest(manifest),
    }
    content = inspection.read_tree(tree(tmp_path / "tree", files))
    assert {each.name: each.size for each in budget.contributors(content) if each.size < 9} == {
        "PHP php": 1,
        "library libz.so.1 (zlib 1.2)": 1,
        "ICU data": 1,
        "extension a.so": 1,
        "bootstrap": 2,
        "Composer package one/two": 2,
        "Composer's autoloader": 2,
    }
