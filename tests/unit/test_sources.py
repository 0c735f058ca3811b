"""Downloads from a real HTTP server on loopback that breaks off, resumes, lies or is not there."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from phplayer import sources
from phplayer.errors import BuildFailedError, EnvironmentMissingError, UsageError
from phplayer.events import unheard
from phplayer.runtime import PhpVersion, Release
from tests.serving import Handler, serving

CONTENT = bytes(range(256)) * 2000


class Mirror(Handler):
    content: ClassVar[bytes] = CONTENT
    cuts: ClassVar[list[int]] = []  # bytes after which a response breaks off, one for each
    ranges: ClassVar[bool] = True
    asked: ClassVar[list[str]] = []
    moved: ClassVar[str] = ""  # where /moved/ leads to

    def get(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.moved)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        self.wfile.write(body[:cut])


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("phplayer.sources.time.sleep", lambda _seconds: None)
    Mirror.content, Mirror.cuts, Mirror.ranges, Mirror.asked = CONTENT, [], True, []
    with serving(Mirror) as url:
        yield f"{url}/php.tar.xz"


def release(*urls: str, sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> Release:
    return Release(
        version=PhpVersion(8, 4, 24), sha256=sha256, urls=urls, debian_path="", end_of_life=dt.date(2030, 1, 1)
    )


def fetch(wanted: Release, file: Path | None = None) -> Path:
    return sources.fetch(wanted, file=file, subject="", listener=unheard)


def test_a_download_is_kept_and_not_repeated(mirror: str) -> None:
    assert fetch(release(mirror)).read_bytes() == CONTENT
    assert fetch(release(mirror)).read_bytes() == CONTENT
    assert Mirror.asked == [""]


def test_a_broken_download_goes_on_where_it_broke_off(mirror: str) -> None:
    Mirror.cuts = [100_000, 50_000]
    assert fetch(release(mirror)).read_bytes() == CONTENT
    assert Mirror.asked == ["", "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_starts_again(mirror: str) -> None:
    Mirror.cuts, Mirror.ranges = [100_000], False
    assert fetch(release(mirror)).read_bytes() == CONTENT


def test_one_that_always_breaks_off_is_given_up_and_resumed_by_the_next_run(mirror: str) -> None:
    Mirror.cuts = [10, 10, 10]
    with pytest.raises(EnvironmentMissingError) as caught:
        fetch(release(mirror))
    assert "--source" in caught.value.remedy
    assert "broke off 3 times" in caught.value.details[0]
    assert fetch(release(mirror)).read_bytes() == CONTENT
    assert Mirror.asked[-1] == "bytes=30-"


def test_the_next_mirror_is_tried(mirror: str) -> None:
    nobody = "http://127.0.0.1:1/php.tar.xz"
    assert fetch(release(nobody, mirror)).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFailedError, match="SHA-256"):
        fetch(release(mirror, sha256="0" * 64))
    assert list((tmp_path / "cache" / "sources").iterdir()) == []


def test_a_kept_file_that_changed_is_fetched_again(mirror: str) -> None:
    fetch(release(mirror)).write_bytes(b"changed")
    assert fetch(release(mirror)).read_bytes() == CONTENT


def test_a_given_file_comes_first_and_is_checked_too(mirror: str, tmp_path: Path) -> None:
    given = tmp_path / "given.tar.xz"
    with pytest.raises(UsageError, match="no file"):
        fetch(release(mirror), given)
    given.write_bytes(CONTENT)
    assert fetch(release(mirror), given) == given
    given.write_bytes(b"something else")
    with pytest.raises(BuildFailedError, match=str(given)):
        fetch(release(mirror), given)
    assert Mirror.asked == []


def test_no_network_names_every_reason(mirror: str) -> None:
    with pytest.raises(EnvironmentMissingError) as caught:
        fetch(release("http://127.0.0.1:1/php.tar.xz"))
    assert "cannot connect" in caught.value.details[0]
    assert "Debian archive" in caught.value.details[1]


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        ("/moved/again", "Exceeded maximum allowed redirects"),
        ("ftp://127.0.0.1/php.tar.xz", "unsupported protocol 'ftp://'"),
        ("http://127.0.0.1:1/php.tar.xz", "cannot connect"),
    ],
)
def test_a_mirror_that_moved_to_nowhere_is_left(mirror: str, moved: str, said: str) -> None:
    Mirror.moved = moved
    there = mirror.replace("/php", "/moved/php")
    with pytest.raises(EnvironmentMissingError) as caught:
        fetch(release(there))
    assert said in caught.value.details[0]
    assert fetch(release(there, mirror)).read_bytes() == CONTENT


def test_a_mirror_that_moved_is_followed(mirror: str) -> None:
    Mirror.moved = "/php.tar.xz"
    assert fetch(release(mirror.replace("/php", "/moved/php"))).read_bytes() == CONTENT


def test_a_mirror_that_does_not_end_is_left(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 100_000)
    with pytest.raises(EnvironmentMissingError) as caught:
        fetch(release(mirror))
    assert caught.value.details[0] == "127.0.0.1: gives more than 0 MB"


def test_what_may_be_secret_in_a_url_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path))
    url = "https://me:p@ss@nowhere.invalid:1/x.tgz?token=secret"
    assert sources.shown(url) == "https://nowhere.invalid:1/x.tgz?..."
    assert sources.shown("http://[") == "http://["
    with pytest.raises(EnvironmentMissingError) as caught:
        fetch(release("http://me:secret@127.0.0.1:1/php.tar.xz?token=secret"))
    assert "download http://127.0.0.1:1/php.tar.xz?... elsewhere" in caught.value.remedy
    assert "secret" not in "".join((caught.value.message, caught.value.remedy, *caught.value.details))
