from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import rich.console
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phplayer import archive, bounded_zip, filetree, inspection, treemap
from phplayer.cli.console import Console
from phplayer.cli.inspect import _tree
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.inspection import Entry, Kind
from phplayer.layer import LibraryRecord, encode_manifest
from tests import layers
from tests.conftest import Phplayer

FILES = {
    "bin/php": b"\x7fELF php " * 900,
    "lib/libicudata.so.72": b"icu " * 3000,
    "lib/libxml2.so.2": b"xml" * 500,
    "lib/php/extensions/intl.so": b"ext" * 100,
    "bootstrap": b"#!/opt/bin/php\n",
    "etc/php/php.ini": b"x=1\n",
}


def tree(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, data in (files or FILES).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def entries(*paths: str) -> list[Entry]:
    return [Entry(path=path, size=10, zipped=5, crc=0) for path in paths]


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name in names:
            opened.writestr(zipfile.ZipInfo(name), b"x")
    return path


def test_a_zip_and_the_folder_it_was_packed_from_hold_the_same(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree")
    (folder / "link").symlink_to("bootstrap")
    with_link = inspection.read_tree(folder)
    (folder / "link").unlink()
    content = inspection.read_tree(folder)
    (link,) = {*with_link.entries} - {*content.entries}
    assert (link.path, link.size, link.link) == ("link", len("bootstrap"), True)
    archive.pack(folder, tmp_path / "layer.zip")
    packed = inspection.read_zip(tmp_path / "layer.zip")
    assert [(each.path, each.size, each.crc) for each in packed.entries] == [
        (each.path, each.size, each.crc) for each in content.entries
    ]
    assert packed.size == (tmp_path / "layer.zip").stat().st_size
    assert packed.unpacked == sum(map(len, FILES.values()))
    assert (packed.packed, content.packed, packed.manifest) == (True, False, None)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("bin/php", Kind.PHP),
        ("native/bin/php84", Kind.PHP),
        ("lib/libicudata.so.72", Kind.ICU_DATA),
        ("lib/libxml2.so.2", Kind.LIBRARY),
        ("native/lib/libz.so", Kind.LIBRARY),
        ("lib/php/extensions/intl.so", Kind.EXTENSION),
        ("lib/php/modules/redis.so", Kind.EXTENSION),
        ("lib/php/extensions/no-debug-non-zts-20240924/redis.so", Kind.EXTENSION),
        ("bootstrap", Kind.BOOTSTRAP),
        ("phplayer/Loop.php", Kind.BOOTSTRAP),
        ("vendor/monolog/monolog/src/Logger.php", Kind.PACKAGE),
        ("vendor/phplayer.json", Kind.DOCUMENTS),
        ("phplayer.json", Kind.DOCUMENTS),
        ("phplayer/sbom.cdx.json", Kind.DOCUMENTS),
        ("share/doc/phplayer/LICENSES.txt", Kind.DOCUMENTS),
        ("etc/php/conf.d/a.ini", Kind.SETTINGS),
        ("README", Kind.OTHER),
    ],
)
def test_the_place_of_a_file_tells_its_kind(path: str, kind: Kind) -> None:
    assert Kind.of(path) is kind


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "no directory", "many", "huge directory"])
def test_what_is_no_zip_is_refused_in_one_sentence(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "layer.zip"
    archive.pack(tree(tmp_path / "tree"), path)
    data = path.read_bytes()
    if damage == "many":
        monkeypatch.setattr(bounded_zip, "MOST_ENTRIES", 3)
    end = data.rfind(b"PK\5\6")
    path.write_bytes(
        {
            "empty": b"",
            "text": b"hello",
            "cut": data[: len(data) // 2],
            "no directory": data[:end],
            "many": data,
            "huge directory": data[: end + 12] + struct.pack("<I", 0xF000_0000) + data[end + 16 :],
        }[damage]
    )
    with pytest.raises(UsageError) as raised:
        inspection.read(path)
    assert raised.value.message.count("\n") == 0
    assert raised.value.remedy


@settings(deadline=None, derandomize=True, max_examples=50, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=400), at=st.integers(min_value=0, max_value=5000))
def test_a_damaged_zip_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    manifest = layers.runtime_manifest()
    whole = layers.archive(folder / "layer.zip", manifest).path.read_bytes()
    (folder / "layer.zip").write_bytes(whole[:at] + data + whole[at + len(data) :])
    try:
        content = inspection.read_zip(folder / "layer.zip")
    except UsageError:
        return
    filetree.build(content.entries, name="x")


def test_hostile_names_are_shown_and_never_opened(tmp_path: Path) -> None:
    names = ("../../etc/passwd", "/etc/shadow", "a\\b", "x\x1b[2Jy", "\u202egpj.exe", "/".join("d" * 3000), "//", ".")
    content = inspection.read_zip(zipped(tmp_path / "layer.zip", *names))
    assert any("outside" in warning for warning in content.warnings)
    root = filetree.build(content.entries, name="layer.zip")
    shown = "".join(line.guide + line.name for line in filetree.lines(root, depth=99, limit=0))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    page = treemap.page([content])
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_doubtful_sizes_and_doubled_names_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "layer.zip"
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(path, "a", "a")
    data = path.read_bytes()
    at = data.find(b"PK\1\2")
    path.write_bytes(data[: at + 20] + struct.pack("<II", 0x7FFF_FFFF, 0x7FFF_FFFF) + data[at + 28 :])
    warnings = " ".join(inspection.read_zip(path).warnings)
    assert "not to be believed" in warnings
    assert "name of another" in warnings


def test_a_manifest_that_claims_to_be_small_fills_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "layer.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("phplayer.json", b" " * 50_000_000)
    assert inspection.read_zip(path).manifest is None


def test_the_tree_sums_up_and_sorts_by_size() -> None:
    root = filetree.build([*entries("a/b/c", "a/d"), Entry(path="z", size=99, zipped=50, crc=0)], name="root")
    assert (root.size, root.zipped, root.files) == (119, 60, 3)
    assert [line.guide + line.name for line in filetree.lines(root, depth=9, limit=0)] == [
        "root",
        "├─ z",
        "└─ a/",
        "   ├─ b/",
        "   │  └─ c",
        "   └─ d",
    ]
    assert [line.name for line in filetree.lines(root, depth=1, limit=0)] == ["root", "z", "a/"]


def test_what_is_over_the_limit_is_summed_up() -> None:
    root = filetree.build(entries(*(f"f{i}" for i in range(9))), name="root")
    last = list(filetree.lines(root, depth=1, limit=3))[-1]
    assert (last.name, last.size, last.zipped) == ("… 6 more (6 files)", 60, 30)


def test_dist_gives_each_archive_and_an_empty_folder_none(tmp_path: Path) -> None:
    dist = layers.project(tmp_path / "project") / "dist"
    for folder in (dist, dist / "php-84-al2023-x86_64"):
        assert [content.path.name for content in inspection.read(folder)] == ["runtime.zip", "vendor.zip"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingSelectedError):
        inspection.read(tmp_path / "empty")
    with pytest.raises(UsageError, match="There is no"):
        inspection.read(tmp_path / "nowhere")


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.cells: list[str] = []
        self.scripts: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts.append(data)
        elif self.lasttag == "td":
            self.cells.append(data)


def test_the_page_is_whole_in_itself_and_its_data_stays_data(tmp_path: Path) -> None:
    evil = "a</script><script>alert(1)</script>.php"
    files = FILES | {evil.replace("/", "\u2215"): b"x", "b<img src=x>": b"y"}
    content = inspection.read_tree(tree(tmp_path / "tree", files))
    page = Page()
    text = treemap.page([content])
    page.feed(text)
    assert page.links == []
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    data = next(each for each in page.scripts if each.startswith("[{"))
    (root,) = json.loads(data)
    assert root["s"] == sum(map(len, files.values()))
    assert any("<img src=x>" in cell for cell in page.cells)


def test_inspect_on_the_command_line(tmp_path: Path, phplayer: Phplayer) -> None:
    project = layers.project(tmp_path / "project")
    shown = phplayer("inspect", cwd=project)
    assert "runtime.zip" in shown.stdout
    assert "└─" in shown.stdout
    assert shown.stderr == ""
    plain = phplayer("inspect", "--depth", "1", cwd=project, env={"PYTHONIOENCODING": "ascii"})
    assert plain.stdout.isascii()
    document = json.loads(phplayer("inspect", "dist", "--json", cwd=project).stdout)
    first = document["archives"][0]
    assert (first["layer"], first["php"], first["files"]) == ("php-84-x86_64", "8.4.24", 3)
    assert first["unpacked"] == sum(each["unpacked"] for each in first["entries"])
    written = phplayer("inspect", "dist", "--html", "page.html", cwd=project)
    assert written.stdout == "page.html\n"
    assert (project / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    refused = phplayer("inspect", "dist", "--html", "nowhere/page.html", cwd=project, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    (project / "no.zip").write_bytes(os.urandom(100))
    refused = phplayer("inspect", "no.zip", "--json", cwd=project, check=False)
    assert json.loads(refused.stdout)["error"]["exit_code"] == refused.returncode == 2


@pytest.mark.parametrize(("columns", "headings"), [(40, 3), (60, 4), (80, 4)])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_rows(tmp_path: Path, columns: int, headings: int) -> None:
    content = inspection.read_tree(tree(tmp_path / "opt", {"bin/php": b"p" * 5000, "lib/a.so": b"a"}))
    console, shown = Console(), io.StringIO()
    console._out = rich.console.Console(file=shown, force_terminal=True, width=columns, color_system=None)
    for part in [*_tree(console, content, 2, 10)][1:]:
        console._out.print(part)
    table = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    assert all(len(line) <= columns for line in table)
    assert len(next(line for line in table if "zipped" in line).split()) == headings
    (row,) = (line for line in table if line.rstrip().endswith("php"))
    assert "5.0 kB" in row
    assert any("█" in line or "#" in line for line in table) == (columns == 80)


def test_a_package_that_has_no_room_stands_below_the_name_between_the_branches(tmp_path: Path) -> None:
    library = LibraryRecord(soname="liba.so.1", package="openssl", version="3.0.19-1~deb12u2")
    manifest = encode_manifest(msgspec.structs.replace(layers.runtime_manifest(), libraries=(library,)))
    files = {"lib/liba.so.1": os.urandom(9000), "lib/b": b"b", "phplayer.json": manifest}
    content = inspection.read_tree(tree(tmp_path / "opt", files))
    console = Console()
    named = {}
    for columns in (60, 80, 120):
        shown = io.StringIO()
        console._out = rich.console.Console(file=shown, force_terminal=True, width=columns, color_system=None)
        for part in [*_tree(console, content, 2, 10)][1:]:
            console._out.print(part)
        lines = [re.sub(r"^[^├│└]*", "", line).rstrip() for line in shown.getvalue().splitlines()]
        at = next(number for number, line in enumerate(lines) if "liba" in line)
        named[columns] = lines[at : at + 3]
    below = ["│  ├─ liba.so.1", "│  │  (openssl", "│  │  3.0.19-1~deb12u2)"]
    assert named == {
        60: below,
        80: below,
        120: ["│  ├─ liba.so.1  (openssl 3.0.19-1~deb12u2)", "│  └─ b", "└─ phplayer.json"],
    }
