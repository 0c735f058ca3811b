from __future__ import annotations

import bz2
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from phplayer import catalog, extension_sources, matrix, pins, tarball
from phplayer.errors import BuildFailedError, UsageError
from phplayer.settings import Settings

SHA = "ab" * 32


def archived(path: Path, *names: str, mode: Literal["w:gz", "w:xz"] = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def settings(root: Path, **values: object) -> Settings:
    flags = {name.replace("__", "."): value for name, value in values.items()}
    return Settings.load(start=root, flags=flags, environment={})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_relative_to_where_the_option_is_given(tmp_path: Path) -> None:
    given = ["event=event.tgz", f"grpc=https://example.org/a@b/grpc.tgz@{SHA}"]
    assert extension_sources.split(given, relative_to=tmp_path) == {
        "event": str(tmp_path / "event.tgz"),
        "grpc": f"https://example.org/a@b/grpc.tgz@{SHA}",
    }


def test_a_file_may_be_given_as_a_url_or_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = archived(tmp_path / "an event.tgz", "config.m4")
    given = ["a=~/an event.tgz", f"b=file://{tmp_path}/an%20event.tgz", "c=FTP://example.org/x.tgz"]
    places = extension_sources.split(given, relative_to=tmp_path / "elsewhere")
    assert places.pop("c") == "FTP://example.org/x.tgz", "what is no file does not become one"
    found = extension_sources.parse({**places, "d": "~/an event.tgz"}, relative_to=tmp_path / "elsewhere")
    assert {name: source.file for name, source in found.items()} == {"a": file, "b": file, "d": file}


def test_a_url_is_pinned_and_a_file_is_what_it_is_now(tmp_path: Path) -> None:
    file = archived(tmp_path / "event.tgz", "package.xml", "event-3.1.4/config.m4")
    found = extension_sources.parse(
        {"Event": "event.tgz", "grpc": f"https://example.org/grpc.tgz@sha256:{SHA}"}, relative_to=tmp_path
    )
    assert found["event"].file == file
    assert found["event"].sha256 == sha256(file)
    assert found["grpc"].urls == ("https://example.org/grpc.tgz",)
    assert found["grpc"].sha256 == SHA
    assert found["grpc"].given_with == "--extension-source grpc=FILE"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("https://example.org/x.tgz", "has no SHA-256 that could be checked"),
        ("https://me:secret@example.org/x.tgz", "The source https://example.org/x.tgz of"),
        ("ftp://example.org/x.tgz@" + SHA, "cannot fetch ftp:// sources"),
        ("nowhere.tgz", "There is no file"),
        ("~nobody-of-that-name/x.tgz", "There is no file"),
        ("https://example.org/x.tgz@1234", "has no SHA-256 that could be checked"),
        ("HTTPS://example.org/x.tgz", "has no SHA-256 that could be checked"),
        (f"https://[example.org/x.tgz@{SHA}", "is no URL"),
        (f"https://example.org:99999/x.tgz@{SHA}", "is no URL"),
        (f"https:///x.tgz@{SHA}", "is no URL"),
        ("file:///nowhere.tgz", "There is no file /nowhere.tgz"),
        ("", "is not said"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, place: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        extension_sources.parse({"event": place}, relative_to=tmp_path)
    assert said in caught.value.message
    assert "NAME=URL@SHA256" in caught.value.remedy


@pytest.mark.parametrize("text", ["event", "=event.tgz", "event="])
def test_an_option_without_name_or_place_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="does not say of which extension"):
        extension_sources.split([text], relative_to=tmp_path)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name of a PHP extension"):
        extension_sources.parse({"../x": "y"}, relative_to=tmp_path)


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    file = archived(tmp_path / "event.tgz", "config.m4")
    with pytest.raises(BuildFailedError, match=f"it should be {SHA}"):
        extension_sources.parse({"event": f"event.tgz@{SHA}"}, relative_to=tmp_path)
    assert extension_sources.parse({"event": f"event.tgz@{sha256(file)}"}, relative_to=tmp_path)


def test_what_is_no_extension_is_refused(tmp_path: Path) -> None:
    archived(tmp_path / "library.tgz", "lib-1/configure")
    with pytest.raises(BuildFailedError, match=r"the source of event, has no config\.m4\."):
        extension_sources.parse({"event": "library.tgz"}, relative_to=tmp_path)
    (tmp_path / "text.tgz").write_text("<html>not found</html>")
    whole = archived(tmp_path / "whole.tgz", *(f"{n}/config.m4" for n in range(500))).read_bytes()
    (tmp_path / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    for name in ("text.tgz", "cut.tgz"):
        with pytest.raises(BuildFailedError, match=r"the source of event, is not a whole tar archive\.$"):
            extension_sources.parse({"event": name}, relative_to=tmp_path)


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (("package.xml", "event-1/config.m4", "event-1/sub/config.m4"), "event-1"),
        (("config.m4", "sub/config.m4"), ""),
        (("raphf-2/config0.m4", "raphf-2/config.m4"), "raphf-2"),
        (("big-1/php/ext/google/big/config.m4",), "big-1/php/ext/google/big"),
    ],
)
def test_the_folder_to_compile_is_found(tmp_path: Path, names: tuple[str, ...], folder: str) -> None:
    file = archived(tmp_path / "x.tgz", *names)
    source = extension_sources.parse({"x": "x.tgz"}, relative_to=tmp_path)["x"]
    assert extension_sources.config_folder(file, source) == folder


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size
    return member


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry("../x")], "holds '../x', which would lie outside of its folder"),
        ([entry("x/../../y")], "holds 'x/../../y', which would lie outside"),
        ([entry("/etc/cron.d/x")], "holds '/etc/cron.d/x', which would lie outside"),
        ([entry("x/a", LINK, "/etc")], "holds the link 'x/a' to '/etc', outside of its folder"),
        ([entry("x/a", LINK, "../../etc")], "holds the link 'x/a' to '../../etc', outside"),
        ([entry("x/a", HARD, "../etc/passwd")], "holds the link 'x/a' to '../etc/passwd', outside"),
        ([entry("x/y/a", LINK, "../.."), entry("b", LINK, "x/y/a/../etc")], "holds the link 'b' to 'x/y/a/../etc'"),
        ([entry("x/a", LINK, "."), entry("x/a/b")], "holds 'x/a/b' below a link"),
        ([entry("x/a", tarfile.CHRTYPE)], "holds the device or pipe 'x/a'"),
        ([entry("x/a", tarfile.FIFOTYPE)], "holds the device or pipe 'x/a'"),
        ([entry("x/a", size=10**12)], "unpacks to more than 1000 MB"),
        ([entry("y/config.m4")], "has several folders with a config.m4: x, y."),
    ],
)
def test_a_hostile_archive_is_refused_before_it_is_unpacked(
    tmp_path: Path, entries: list[tarfile.TarInfo], said: str
) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(entry("x/config.m4"))
        for each in entries:
            archive.addfile(each)
    with pytest.raises(BuildFailedError) as caught:
        extension_sources.parse({"x": "x.tgz"}, relative_to=tmp_path)
    assert f"x.tgz, the source of x, {said}" in caught.value.message
    assert caught.value.remedy


def test_what_decompresses_to_too_much_is_refused_however_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball, "MOST_BYTES", 1_000_000)
    monkeypatch.setattr(tarball, "MOST_FILES", 1000)
    zeros = io.BytesIO(bytes(300_000))
    with tarfile.open(tmp_path / "bytes.tgz", "w:gz") as archive:
        for number in range(4):
            zeros.seek(0)
            archive.addfile(entry(f"x/{number}", size=300_000), zeros)
    archived(tmp_path / "files.tar.xz", *(f"x/{number}" for number in range(1001)), mode="w:xz")
    header = tarfile.TarInfo("x" * 2_000_000).tobuf(tarfile.PAX_FORMAT)
    (tmp_path / "header.tar.bz2").write_bytes(bz2.compress(header))
    for name in ("bytes.tgz", "files.tar.xz", "header.tar.bz2"):
        with pytest.raises(BuildFailedError, match=r"unpacks to more than 1 MB or 1000 files"):
            extension_sources.parse({"x": name}, relative_to=tmp_path)


def test_links_within_the_archive_are_no_matter(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for each in (entry("x/config.m4"), entry("x/a/b", LINK, "../config.m4"), entry("x/c", HARD, "x/config.m4")):
            archive.addfile(each)
    assert extension_sources.parse({"x": "x.tar"}, relative_to=tmp_path)


def test_a_folder_that_the_catalogue_names_must_be_there(tmp_path: Path) -> None:
    source = catalog.load().extensions["redis"].source
    assert source is not None
    file = archived(tmp_path / "x.tgz", "redis-1/config.m4")
    with pytest.raises(BuildFailedError, match=rf"has no config\.m4 in redis-{source.version}"):
        extension_sources.config_folder(file, source)


# -- what a project pins -------------------------------------------------------------------------------------------


def resolve(root: Path, **values: object) -> Mapping[str, object]:
    (runtime,) = matrix.runtimes(settings(root, build__arch=("x86_64",), **values))
    return {extension.name: extension for extension in runtime.extensions}


def test_a_source_adds_its_extension(tmp_path: Path) -> None:
    archived(tmp_path / "own.tgz", "own/config.m4")
    own = resolve(tmp_path, php__extension_sources={"own": "own.tgz"}, php__extensions=("minimal",))["own"]
    assert getattr(own, "shared", None) is True
    event = resolve(tmp_path, php__extension_sources={"event": f"https://example.org/e.tgz@{SHA}"})["event"]
    assert getattr(event, "requires", None) == catalog.load().extensions["event"].requires


def test_a_source_lifts_the_limits_of_the_catalogues_own(tmp_path: Path) -> None:
    for name in ("xdebug", "imap"):
        given = {name: f"https://example.org/x.tgz@{SHA}"}
        assert name in resolve(tmp_path, php__extension_sources=given, php__version=("8.5",))


def test_what_php_bundles_takes_no_other_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the extension 'curl' in its own source"):
        resolve(tmp_path, php__extension_sources={"curl": f"https://example.org/x.tgz@{SHA}"})


def test_a_project_can_pin_a_release(tmp_path: Path) -> None:
    known = pins.catalogue(settings(tmp_path, php__version=("8.4.99",), php__sha256=SHA.upper()))
    release = known.release("8.4.99")
    assert release.sha256 == SHA
    assert release.urls == ("https://www.php.net/distributions/php-8.4.99.tar.xz",)
    assert release.debian_path == ""
    assert not release.tested
    assert release.end_of_life == catalog.load().release("8.4").end_of_life


def test_a_pin_of_a_known_release_must_agree(tmp_path: Path) -> None:
    release = catalog.load().release("8.4")
    version = (str(release.version),)
    assert (
        pins.catalogue(settings(tmp_path, php__version=version, php__sha256=release.sha256)).release("8.4") == release
    )
    with pytest.raises(UsageError, match="is not that of PHP"):
        pins.catalogue(settings(tmp_path, php__version=version, php__sha256=SHA))


@pytest.mark.parametrize(
    ("version", "sha", "said"),
    [
        (("8.4",), SHA, "but php.version is '8.4'"),
        (("8.4.99", "8.5.99"), SHA, "does not name exactly one"),
        ((), SHA, "does not name exactly one"),
        (("8.4.99",), "abc", "is no SHA-256"),
        (("7.4.33",), SHA, "cannot build PHP 7.4"),
    ],
)
def test_a_pin_that_pins_nothing_is_refused(tmp_path: Path, version: tuple[str, ...], sha: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        pins.catalogue(settings(tmp_path, php__version=version, php__sha256=sha))
    assert said in caught.value.message
    assert caught.value.remedy
