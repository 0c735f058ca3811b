"""``catalog update`` against a real HTTP server that answers as php.net's release feed, or does not."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from phplayer import catalog
from phplayer.catalog import feed, files, reading
from phplayer.errors import BuildFailedError, EnvironmentMissingError, PhplayerError, UsageError
from tests.serving import Handler, serving

SHA = "cd" * 32
TODAY = dt.date(2026, 9, 1)
OWN = reading.read(files.FOLDER)


def answer(version: str, sha256: str = SHA) -> dict[str, Any]:
    """What php.net answers, without what nobody reads."""
    tarballs = [
        {"filename": f"php-{version}.tar.{kind}", "sha256": sha256 if kind == "xz" else "0" * 64}
        for kind in ("gz", "bz2", "xz")
    ]
    return {"announcement": True, "date": "27 Aug 2026", "source": tarballs, "version": version}


class Cut:
    """An answer that breaks off."""


class Feed(Handler):
    answers: ClassVar[dict[str, Any]] = {}

    def get(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        assert "json" in query
        found = self.answers.get(query["version"][0])
        moved = "/moved" in self.path or found == "again"
        if moved:
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved", ""))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if isinstance(found, Cut):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"version": "8.4.99", ')
            return
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send(404 if found is None else 200, body)


@pytest.fixture
def url() -> Iterator[str]:
    Feed.answers = {branch: answer(f"{branch}.99") for branch in OWN.branches}
    with serving(Feed) as url:
        yield f"{url}/releases/index.php"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PHPLAYER_DATA", str(tmp_path / "data"))
    catalog.load.cache_clear()
    yield files.user_file()
    catalog.load.cache_clear()


def test_new_releases_become_the_newest_of_their_branches(url: str, path: Path) -> None:
    learned = feed.update(feed=url, today=TODAY, path=path)
    assert [str(item.version) for item in learned] == [f"{branch}.99" for branch in OWN.branches]
    assert all(item.new for item in learned)
    release = catalog.load().release("8.4")
    assert (str(release.version), release.sha256) == ("8.4.99", SHA)
    assert release.origin == "release feed of 127.0.0.1, 2026-09-01"
    assert release.urls[0].endswith("/php-8.4.99.tar.xz")
    assert release.end_of_life == OWN.release("8.4").end_of_life


def test_what_was_learned_before_stays_for_who_names_it(url: str, path: Path) -> None:
    feed.update(feed=url, today=TODAY, path=path)
    assert not any(item.new for item in feed.update(feed=url, today=TODAY, path=path))
    Feed.answers["8.4"] = answer("8.4.100", "ef" * 32)
    (learned,) = (item for item in feed.update(feed=url, today=TODAY + dt.timedelta(days=9), path=path) if item.new)
    assert str(learned.version) == "8.4.100"
    known = catalog.load()
    assert str(known.release("8.4").version) == "8.4.100"
    assert (known.release("8.4.99").sha256, known.release("8.4.99").origin) == (
        SHA,
        "release feed of 127.0.0.1, 2026-09-01",
    )
    Feed.answers["8.4"] = answer("8.4.100", "ab" * 32)
    with pytest.raises(BuildFailedError, match=r"8\.4\.100 has the SHA-256 (ab)+; the catalogue knows another"):
        feed.update(feed=url, today=TODAY, path=path)


def test_known_releases_add_nothing(url: str, path: Path) -> None:
    for branch in OWN.branches:
        release = OWN.release(branch)
        Feed.answers[branch] = answer(str(release.version), release.sha256)
    assert not any(item.new for item in feed.update(feed=url, today=TODAY, path=path))
    assert catalog.load().releases == OWN.releases


def test_a_feed_that_lags_behind_makes_no_branch_older(url: str, path: Path) -> None:
    Feed.answers["8.4"] = answer("8.4.1")
    learned = feed.update(feed=url, today=TODAY, path=path)
    assert [item.new for item in learned if item.version.branch == "8.4"] == [True]
    known = catalog.load()
    assert known.release("8.4") == OWN.release("8.4")
    assert known.release("8.4.1").sha256 == SHA, "what is told to be new can be built"


def test_a_feed_may_have_moved(url: str, path: Path) -> None:
    assert feed.update(feed=f"{url}/moved", today=TODAY, path=path)
    assert catalog.load().release("8.4").sha256 == SHA


def test_a_password_in_the_url_is_shown_nowhere(url: str, path: Path) -> None:
    secret = url.replace("://", "://me:secret@") + "?token=secret"
    for found in (None, b"<html>", Cut()):
        Feed.answers["8.2"] = found
        with pytest.raises(EnvironmentMissingError) as caught:
            feed.update(feed=secret, today=TODAY, path=path)
        assert "secret" not in caught.value.message
    Feed.answers["8.2"] = answer("8.2.99")
    feed.update(feed=secret, today=TODAY, path=path)
    assert "secret" not in path.read_text()


def test_another_checksum_for_a_known_release_is_refused(url: str, path: Path) -> None:
    feed.update(feed=url, today=TODAY, path=path)
    before = path.read_bytes()
    Feed.answers["8.4"] = answer(str(OWN.release("8.4").version))
    with pytest.raises(BuildFailedError, match="the catalogue knows another"):
        feed.update(feed=url, today=TODAY, path=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "404"),
        (b"<html>", "did not answer as one for PHP 8.4"),
        ({"error": "Unknown version"}, r"names no release of PHP 8\.4 \(Unknown version\)"),
        (answer("8.3.99"), "names no release"),
        (answer("8.4.99", 'x"\nversion = "'), "names no release"),
        ({"version": "8.4.99", "source": []}, "names no release"),
        ({"version": "8.4.99\n", "source": "all"}, "did not answer"),
        (Cut(), "cannot be had: peer closed connection"),
        (b"[" * 1_100_000, "cannot be had: it gives more than 1 MB"),
        (b'{"version": "8.4.99", "source": [{"filename": "php-8.4.99.tar.xz", "sha256"', "did not answer"),
        ("again", "cannot be had: Exceeded maximum allowed redirects"),
        (b"[" * 100_000, "did not answer"),
    ],
)
def test_another_answer_changes_nothing(url: str, path: Path, found: object, said: str) -> None:
    feed.update(feed=url, today=TODAY, path=path)
    before = path.read_bytes()
    Feed.answers["8.4"] = found
    with pytest.raises(EnvironmentMissingError, match=said) as caught:
        feed.update(feed=url, today=TODAY + dt.timedelta(days=1), path=path)
    assert caught.value.remedy.startswith("Nothing was changed.")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_nobody_there_is_told(path: Path) -> None:
    with pytest.raises(EnvironmentMissingError, match="cannot be had"):
        feed.update(feed="http://127.0.0.1:1/", today=TODAY, path=path)
    with pytest.raises((UsageError, EnvironmentMissingError)):
        feed.update(feed="http://[", today=TODAY, path=path)
    assert not path.exists()


def test_a_file_of_the_users_that_does_not_validate_is_named_and_written_anew(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_text('[[release]]\nversion = "8.4.99"\nsha256 = "12"\nfrom = "me"\n')
    with pytest.raises(PhplayerError) as caught:
        catalog.load()
    assert f"{path}, line 3: release.0.sha256: " in caught.value.message
    assert "phplayer catalog update" in caught.value.remedy
    feed.update(feed=url, today=TODAY, path=path)
    assert catalog.load().release("8.4").sha256 == SHA


def test_a_folder_that_cannot_be_written_is_told(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentMissingError, match="cannot be written"):
        feed.update(feed=url, today=TODAY, path=tmp_path / "file" / "catalog.toml")
