"""Learns of new PHP releases from php.net's release feed and keeps them in the user's own catalogue file.

The feed answers ``?json&version=8.4`` with the newest release of that branch: ``version`` and ``source``, a list with
``filename`` and ``sha256`` of each tarball (https://www.php.net/releases/).
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from phplayer.catalog import SHA256, files, reading
from phplayer.errors import BuildFailedError, EnvironmentMissingError, PhplayerError, UsageError
from phplayer.runtime import PhpVersion
from phplayer.sources import shown

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import httpx

    from phplayer.catalog import Catalog
    from phplayer.runtime import Release

_TIMEOUT = 20.0  # seconds
_MOST_BYTES = 1_000_000  # of an answer; one has some 2 kB
_REMEDY = "Nothing was changed. A project can pin a release itself: php.version and php.sha256 in phplayer.toml."


class _Tarball(msgspec.Struct, frozen=True):
    filename: str
    sha256: str = ""


class _Answer(msgspec.Struct, frozen=True):
    version: str = ""
    source: tuple[_Tarball, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The newest release of a branch, by the feed."""

    version: PhpVersion
    sha256: str
    new: bool  # the catalogue did not have it


def update(*, feed: str, today: dt.date, path: Path) -> tuple[Learned, ...]:
    """Ask the feed for each branch and add what is new to the user's file; all or nothing.

    What an earlier call learned stays, for the projects that name it. A file that does not validate is written anew.

    Raises:
        EnvironmentMissingError: the feed cannot be reached or does not answer as one.
        BuildFailedError: it tells another checksum for a release that the catalogue or the file has.

    """
    import httpx

    own = reading.read(files.FOLDER)
    try:
        known = reading.read(files.FOLDER, user=path)
    except PhplayerError:
        known = own
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        learned = tuple(_learned(known, _ask(client, feed, branch), branch) for branch in own.branches)
    source = f"release feed of {_host(feed)}, {today}"
    kept = {release.version: (release.sha256, release.origin) for release in known.releases}
    kept |= {item.version: (item.sha256, source) for item in learned if item.new}
    for release in own.releases:
        del kept[release.version]
    _write(path, kept)
    return learned


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or url


def _ask(client: httpx.Client, feed: str, branch: str) -> _Answer:
    import httpx

    try:
        url = httpx.URL(feed).copy_merge_params({"json": "", "version": branch})
        content = _content(client, url)
    except httpx.InvalidURL as error:
        raise UsageError(f"catalog.feed is {shown(feed)!r}, which is no URL.", remedy=_REMEDY) from error
    except httpx.HTTPStatusError as error:
        raise EnvironmentMissingError(
            f"The release feed {shown(feed)} cannot be had: it answered {error.response.status_code}.", remedy=_REMEDY
        ) from None  # it tells the whole URL
    except httpx.HTTPError as error:
        raise EnvironmentMissingError(
            f"The release feed {shown(feed)} cannot be had: {str(error).rstrip('.')}.", remedy=_REMEDY
        ) from error
    try:
        return msgspec.json.decode(content, type=_Answer)
    except msgspec.MsgspecError as error:
        raise EnvironmentMissingError(
            f"The release feed {shown(feed)} did not answer as one for PHP {branch}: {error}.", remedy=_REMEDY
        ) from error


def _content(client: httpx.Client, url: httpx.URL) -> bytes:
    """Return what the feed answers, and no more than a feed would."""
    import httpx

    content = b""
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > _MOST_BYTES:
                raise httpx.ReadError(f"it gives more than {_MOST_BYTES // 1_000_000} MB")
    return content


def _learned(known: Catalog, answer: _Answer, branch: str) -> Learned:
    wrong = EnvironmentMissingError(
        f"The release feed names no release of PHP {branch}{f' ({answer.error})' if answer.error else ''}.",
        remedy=_REMEDY,
    )
    try:
        version = PhpVersion.parse(answer.version)
    except UsageError as error:
        raise wrong from error
    sha256 = next((item.sha256 for item in answer.source if item.filename == f"php-{version}.tar.xz"), "")
    if version.branch != branch or not SHA256.fullmatch(sha256):
        raise wrong
    own: dict[PhpVersion, Release] = {release.version: release for release in known.releases}
    if version in own and own[version].sha256 != sha256:
        raise BuildFailedError(
            f"The release feed says that PHP {version} has the SHA-256 {sha256}; the catalogue knows another, "
            f"{own[version].sha256} ({own[version].origin}).",
            remedy="Nothing was changed. One of them is wrong: compare with https://www.php.net/downloads.php.",
        )
    return Learned(version=version, sha256=sha256, new=version not in own)


def _write(path: Path, kept: Mapping[PhpVersion, tuple[str, str]]) -> None:
    """Write the file whole or not at all; what would not validate is never put in place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text("".join(_lines(kept)), encoding="utf-8")
        reading.user_releases(temporary, files.read(files.FOLDER / "php.toml", files.PhpFile))
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentMissingError(
            f"{path} cannot be written: {error.strerror}.", remedy="Make its folder writable, or set PHPLAYER_DATA."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _lines(kept: Mapping[PhpVersion, tuple[str, str]]) -> Iterable[str]:
    yield "# PHP releases that phplayer learned of by `phplayer catalog update`, which writes this file.\n"
    if not kept:
        yield "release = []\n"
    for version, (sha256, source) in sorted(kept.items()):
        table = {"version": str(version), "sha256": sha256, "from": source}
        yield "\n[[release]]\n"
        yield from (f"{key} = {json.dumps(value)}\n" for key, value in table.items())
