"""A catalogue file with a mistake: file, line and key are named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from phplayer.catalog import files, libraries, reading
from phplayer.errors import PhplayerError

TEXT = """\
default = "1"

[extension.first]
summary = "a"
configure = [
  "--one", # with ] and [ in a comment
  "--two",
]
[extension."the second"]
summary = 5
libraries = []

[[release]]
version = "1"
[[release]]
sha256 = "2"
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("default",), 1),
        (("extension", "first"), 3),
        (("extension", "first", "configure"), 5),
        (("extension", "first", "configure", "1"), 5),
        (("extension", "the second", "libraries"), 11),
        (("extension", "first", "nothing"), 3),
        (("release", "0", "version"), 14),
        (("release", "1", "version"), 15),
        (("release", "1", "sha256"), 16),
        (("nothing",), 0),
    ],
)
def test_the_line_of_a_key(key: tuple[str, ...], line: int) -> None:
    assert files.line_of(TEXT, key) == line


Change = Callable[[str, str, str], Path]


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """Return a function that copies the catalogue, puts a text in the place of another, and gives the folder."""

    def changed(name: str, old: str, new: str) -> Path:
        folder = tmp_path / "catalog"
        shutil.copytree(files.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))
        return folder

    return changed


def refused(folder: Path) -> str:
    with pytest.raises(PhplayerError) as caught:
        reading.read(folder)
    assert caught.value.remedy
    return caught.value.message


def line(folder: Path, name: str, text: str) -> int:
    return next(n for n, found in enumerate((folder / name).read_text().splitlines(), start=1) if text in found)


@pytest.mark.parametrize(
    ("name", "old", "new", "key", "what"),
    [
        ("extensions.toml", 'summary = "Metadata of pictures"', "summary = 7", "extension.exif.summary", "got `int`"),
        (
            "extensions.toml",
            'configure = ["--enable-exif"]',
            'configuer = ["x"]',
            "extension.exif.configuer",
            "unknown",
        ),
        ("extensions.toml", 'configure = ["--enable-exif"]', 'configure = "x"', "extension.exif.configure", "array"),
        ("bases.toml", 'gmp = ["libgmp-dev"]', "gmp = true", "base.debian.libraries.gmp", "got `bool`"),
        ("php.toml", 'version = "8.3.33"', 'versoin = "8.3.33"', "release.3.versoin", "unknown field"),
        ("php.toml", 'version = "8.3.33"', 'version = "8.33"', "release.3.version", "not an exact PHP version"),
        ("php.toml", 'version = "8.3.33"', 'version = "9.0.1"', "release.3.version", "no [branch.'9.0']"),
        ("php.toml", 'version = "8.5.9"', 'version =  "8.4.28"', "release.6.version", "PHP 8.4.28 stands here twice"),
        ("php.toml", 'sha256 = "e0', 'sha256 = "EZ', "release.0.sha256", "64 hexadecimal digits"),
    ],
)
def test_a_mistake_is_named_with_its_line(change: Change, name: str, old: str, new: str, key: str, what: str) -> None:
    folder = change(name, old, new)
    said = refused(folder)
    assert f"{folder / name}, line {line(folder, name, new)}: {key}: " in said
    assert what in said


@pytest.mark.parametrize(
    ("old", "new", "key", "what"),
    [
        (
            'requires = ["pdo", "mysqlnd"]',
            'requires = ["pdo", "mysqlnt"]',
            "extension.pdo_mysql.requires",
            "has no 'mysqlnt'",
        ),
        ('libraries = ["bzip2"]', 'libraries = ["bzip3"]', "extension.bz2.libraries", "base al2023 has no 'bzip3'"),
        ('conflicts = ["xdebug"]', 'conflicts = ["ydebug"]', "extension.pcov.conflicts", "has no 'ydebug'"),
        (
            'requires = ["libxml", "dom"]',
            'requires = ["libxml", "dom", "xmlreader"]',
            "extension.xmlreader.requires",
            "xmlreader -> xmlreader",
        ),
        ('requires = ["libxml"]', 'requires = ["xsl"]', "extension.dom.requires", "dom -> xsl -> dom"),
        ('license = "PHP-3.01"', 'license = ""', "extension.amqp.license", "a PECL extension has one"),
        ('sha256 = "0cb', 'sha256 = "", #', "extension.amqp.source.sha256", "64 hexadecimal digits"),
    ],
)
def test_what_does_not_fit_together_is_named_with_its_line(
    change: Change, old: str, new: str, key: str, what: str
) -> None:
    folder = change("extensions.toml", old, new.replace(", #", " #"))
    said = refused(folder)
    assert f"line {line(folder, 'extensions.toml', new.replace(', #', ' #'))}: {key}: " in said
    assert what in said


@pytest.mark.parametrize(
    ("old", "new", "key", "what"),
    [
        ('needs = ["nghttp2"]', 'needs = ["nghttp3"]', "library.curl.needs", "no [library.nghttp3]"),
        ('needs = ["libxml2"]', 'needs = ["libxslt"]', "library.libxslt.needs", "it needs itself"),
        ('license = "blessing"', 'licence = "blessing"', "library.sqlite.licence", "unknown field"),
        ('sha256 = "4fe', 'sha256 = "xfe', "library.libxml2.source.sha256", "64 hexadecimal digits"),
    ],
)
def test_a_mistake_in_a_library_is_named_with_its_line(change: Change, old: str, new: str, key: str, what: str) -> None:
    folder = change("libraries.toml", old, new)
    with pytest.raises(PhplayerError) as caught:
        libraries.read(folder)
    assert f"libraries.toml, line {line(folder, 'libraries.toml', new)}: {key}: " in caught.value.message
    assert what in caught.value.message


def test_a_cost_of_nothing_known_is_named(change: Change) -> None:
    folder = change("costs.toml", "ctype = ", "cytpe = ")
    assert f"costs.toml, line {line(folder, 'costs.toml', 'cytpe')}: extension.cytpe: " in refused(folder)


def test_what_was_measured_and_was_not_is_named(change: Change) -> None:
    folder = change("costs.toml", "[not_measured]\n", '[not_measured]\nctype = "lazy"\n')
    number = line(folder, "costs.toml", 'ctype = "lazy"')
    assert f"costs.toml, line {number}: not_measured.ctype: it was measured" in refused(folder)


def test_a_missing_key_is_named_with_the_line_of_its_table(change: Change) -> None:
    folder = change("extensions.toml", 'summary = "Metadata of pictures"\n', "")
    said = refused(folder)
    assert f"line {line(folder, 'extensions.toml', '[extension.exif]')}: extension.exif: " in said
    assert "missing required field `summary`" in said


def test_what_is_not_toml_is_refused_with_its_line(change: Change) -> None:
    said = refused(change("targets.toml", "[target.al2023]", "[target.al2023"))
    assert "targets.toml is not TOML" in said
    assert "line" in said


def test_only_for_the_users_own_file_another_remedy_than_installing_again_is_told(tmp_path: Path) -> None:
    for name, remedy in ((files.USER_FILE, "Make it readable"), ("php.toml", "Install phplayer again")):
        (tmp_path / name).mkdir()
        with pytest.raises(PhplayerError, match="cannot be read: Is a directory") as caught:
            files.read(tmp_path / name, files.UserFile)
        assert caught.value.remedy.startswith(remedy)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "php.toml") in refused(tmp_path)
