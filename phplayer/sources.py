"""Fetches upstream tarballs: nothing is used whose SHA-256 is not the catalogue's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from phplayer import cache
from phplayer.errors import BuildFailedError, EnvironmentMissingError, UsageError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted

if TYPE_CHECKING:
    from pathlib import Path

    from phplayer.catalog import Release
    from phplayer.events import Listener

_APT_HELPER = "/usr/lib/apt/apt-helper"
_ATTEMPTS = 3  # per mirror; each goes on where the last one broke off
_CONNECT_TIMEOUT = 8.0  # seconds
_READ_TIMEOUT = 30.0  # seconds without a byte

PHASE = "fetch source"


class _UnavailableError(Exception):
    """A mirror that cannot be had; the next one is tried."""


def fetch(release: Release, *, file: Path | None, subject: str, listener: Listener) -> Path:
    """Return the verified tarball: the given file, or from the cache, php.net or the Debian archive, in this order.

    Raises:
        UsageError: ``file`` does not exist.
        BuildFailedError: a file has another SHA-256 than the catalogue says; it is not kept.
        EnvironmentMissingError: no mirror could be reached.

    """
    if file is not None:
        verify(file, release)
        return file
    kept = cache.folder("sources") / f"php-{release.version}.tar.xz"
    with cache.lock(kept.name):
        if kept.is_file():
            if _sha256(kept) == release.sha256:
                cache.touch(kept)
                return kept
            kept.unlink()
        return _download(release, kept, subject=subject, listener=listener)


def verify(file: Path, release: Release) -> None:
    """Check a tarball that the user has.

    Raises:
        UsageError: there is no such file.
        BuildFailedError: it is not this release.

    """
    if not file.is_file():
        raise UsageError(f"There is no file {file}.", remedy="Give --source the path of a PHP source tarball.")
    _verify(file, release, origin=str(file))


def _download(release: Release, kept: Path, *, subject: str, listener: Listener) -> Path:
    listener(PhaseStarted(subject=subject, phase=PHASE))
    began, part = time.monotonic(), kept.with_suffix(".part")
    reasons: list[str] = []
    for url in release.urls:
        host = urlsplit(url).hostname or url
        try:
            _from_url(url, part, subject=subject, listener=listener)
        except _UnavailableError as error:
            reasons.append(f"{host}: {error}")
            continue
        return _keep(part, kept, release, origin=host, subject=subject, listener=listener, began=began)
    try:
        _from_debian(release, part)
    except _UnavailableError as error:
        reasons.append(f"Debian archive: {error}")
    else:
        return _keep(part, kept, release, origin="Debian archive", subject=subject, listener=listener, began=began)
    raise EnvironmentMissingError(
        f"The source of PHP {release.version} could not be fetched.",
        remedy=f"Connect to the network, or download {release.urls[0]} elsewhere and pass it with --source FILE.",
        details=tuple(reasons),
    )


def _keep(
    part: Path, kept: Path, release: Release, *, origin: str, subject: str, listener: Listener, began: float
) -> Path:
    try:
        _verify(part, release, origin=origin)
    except BuildFailedError:
        part.unlink()
        raise
    size = part.stat().st_size
    part.replace(kept)
    outcome = f"PHP {release.version} from {origin}, {size / 1_000_000:.1f} MB, checksum verified"
    listener(PhaseFinished(subject=subject, phase=PHASE, seconds=time.monotonic() - began, outcome=outcome))
    return kept


def _from_url(url: str, part: Path, *, subject: str, listener: Listener) -> None:
    """Download, going on where an earlier attempt broke off. ``part`` is whole when this returns."""
    import httpx

    timeout = httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT)
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        for attempt in range(_ATTEMPTS):
            try:
                _stream(client, url, part, subject=subject, listener=listener)
            except httpx.ConnectError as error:  # no route, no name: trying again at once changes nothing
                raise _UnavailableError(f"cannot connect ({error})") from error
            except httpx.HTTPStatusError as error:
                raise _UnavailableError(f"answered {error.response.status_code}") from error
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS - 1:
                    raise _UnavailableError(f"broke off {_ATTEMPTS} times ({error})") from error
                time.sleep(attempt + 1)
            else:
                return


def _stream(client: object, url: str, part: Path, *, subject: str, listener: Listener) -> None:
    import httpx

    assert isinstance(client, httpx.Client)  # noqa: S101  typed loosely so that httpx is imported only when needed
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # every byte is here already; the checksum decides
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        done = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if resumed else "wb") as out:
            for chunk in response.iter_raw():  # as it comes: a fixed chunk size would lose the last part of a cut
                out.write(chunk)
                done += len(chunk)
                listener(PhaseAdvanced(subject=subject, phase=PHASE, done=done, total=total, unit="bytes"))
        if total is not None and done < total:
            raise httpx.ReadError(f"{total - done} bytes are missing")


def debian_mirrors() -> tuple[str, ...]:
    """Return the Debian mirrors that this machine's apt is set up with; none where it has no apt."""
    query = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ()
    return tuple(dict.fromkeys(site.rstrip("/") for site in done.stdout.split()))


def _from_debian(release: Release, part: Path) -> None:
    """Fetch the same bytes as Debian's source package, through apt's own downloader and the mirror it is set up with.

    apt-helper needs neither root nor a source entry, and leaves the user's configuration alone.
    """
    if not release.debian_path:
        raise _UnavailableError(f"has no source package with PHP {release.version}")
    if not os.access(_APT_HELPER, os.X_OK):
        raise _UnavailableError("this machine has no apt")
    failed = part.with_name(part.name + ".FAILED")
    for site in debian_mirrors():
        part.unlink(missing_ok=True)
        arguments = [f"{site}/{release.debian_path}", str(part), f"SHA256:{release.sha256}"]
        done = subprocess.run(
            [_APT_HELPER, "-o", "APT::Sandbox::User=", "download-file", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        failed.unlink(missing_ok=True)
        if done.returncode == 0 and part.is_file():
            return
    raise _UnavailableError("no configured mirror has the file")


def _verify(path: Path, release: Release, *, origin: str) -> None:
    found = _sha256(path)
    if found != release.sha256:
        raise BuildFailedError(
            f"{origin} is not PHP {release.version}: its SHA-256 is {found}, the catalogue says {release.sha256}.",
            remedy="It was not used. Check where the file comes from, or name the php.version that it is.",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256).hexdigest()
