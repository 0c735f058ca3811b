"""Fetches upstream tarballs, PHP's and others: nothing is used whose SHA-256 is not the pinned one."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from phplayer import cache
from phplayer.errors import BuildFailedError, EnvironmentMissingError, UsageError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted

if TYPE_CHECKING:
    from pathlib import Path

    from phplayer.events import Listener
    from phplayer.runtime import PhpVersion

_APT_HELPER = "/usr/lib/apt/apt-helper"
_ATTEMPTS = 3  # per mirror; each goes on where the last one broke off
_CONNECT_TIMEOUT = 8.0  # seconds
_READ_TIMEOUT = 30.0  # seconds without a byte
MOST_BYTES = 500_000_000  # of one download; PHP's tarball has 13 MB

PHASE = "fetch source"


class PinnedSource(Protocol):
    """A tarball of which the SHA-256 is known beforehand: of a PHP release, an extension, a library."""

    @property
    def name(self) -> str:
        """What messages call it, and what its file in the cache is called after."""

    @property
    def version(self) -> PhpVersion | str:
        """Of the release."""

    @property
    def sha256(self) -> str:
        """Of the file, 64 hexadecimal digits."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Where to download it, best first."""

    @property
    def debian_path(self) -> str:
        """Where Debian has the same bytes, below a mirror; "" where it has not."""

    @property
    def given_with(self) -> str:
        """The option with which the user gives a copy (``--source FILE``), "" where there is none."""


class _UnavailableError(Exception):
    """A mirror that cannot be had; the next one is tried."""


def fetch(source: PinnedSource, *, file: Path | None, subject: str, listener: Listener) -> Path:
    """Return the verified tarball: the given file, or from the cache, its URLs or the Debian archive, in this order.

    Raises:
        UsageError: ``file`` does not exist.
        BuildFailedError: a file has another SHA-256 than the pinned one; it is not kept.
        EnvironmentMissingError: no mirror could be reached.

    """
    if file is not None:
        verify(file, source)
        return file
    kept = cache.folder("sources") / _file_name(source)
    with cache.lock(kept.name):
        if kept.is_file():
            if _sha256(kept) == source.sha256:
                cache.touch(kept)
                return kept
            kept.unlink()
        return _download(source, kept, subject=subject, listener=listener)


def verify(file: Path, source: PinnedSource) -> None:
    """Check a tarball that the user has.

    Raises:
        UsageError: there is no such file.
        BuildFailedError: it is not this release.

    """
    if not file.is_file():
        raise UsageError(f"There is no file {file}.", remedy=f"Give the path of the tarball of {title(source)}.")
    _verify(file, source, origin=str(file))


def _download(source: PinnedSource, kept: Path, *, subject: str, listener: Listener) -> Path:
    listener(PhaseStarted(subject=subject, phase=PHASE))
    began, part = time.monotonic(), kept.with_suffix(".part")
    reasons: list[str] = []
    for url in source.urls:
        host = urlsplit(url).hostname or shown(url)
        try:
            _from_url(url, part, subject=subject, listener=listener)
        except _UnavailableError as error:
            reasons.append(f"{host}: {error}")
            continue
        return _keep(part, kept, source, origin=host, subject=subject, listener=listener, began=began)
    try:
        _from_debian(source, part)
    except _UnavailableError as error:
        reasons.append(f"Debian archive: {error}")
    else:
        return _keep(part, kept, source, origin="Debian archive", subject=subject, listener=listener, began=began)
    elsewhere = ""
    if source.given_with:
        what = shown(source.urls[0]) if source.urls else "it"
        elsewhere = f", or download {what} elsewhere and pass it with {source.given_with}"
    raise EnvironmentMissingError(
        f"The source of {title(source)} could not be fetched.",
        remedy=f"Connect to the network{elsewhere}.",
        details=tuple(reasons),
    )


def _keep(
    part: Path, kept: Path, source: PinnedSource, *, origin: str, subject: str, listener: Listener, began: float
) -> Path:
    try:
        _verify(part, source, origin=origin)
    except BuildFailedError:
        part.unlink()
        raise
    size = part.stat().st_size
    part.replace(kept)
    outcome = f"{title(source)} from {origin}, {size / 1_000_000:.1f} MB, checksum verified"
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
                raise _UnavailableError(f"answered {error.response.status_code}") from None  # it tells the whole URL
            except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise _UnavailableError(str(error).rstrip(".")) from error
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
                if done > MOST_BYTES:
                    part.unlink()
                    raise _UnavailableError(f"gives more than {MOST_BYTES // 1_000_000} MB")
                listener(PhaseAdvanced(subject=subject, phase=PHASE, done=done, total=total, unit="bytes"))
        if total is not None and done < total:
            raise httpx.ReadError(f"{total - done} bytes are missing")


def shown(url: str) -> str:
    """Return a URL as a message may show it: a user name, a password and a query can be secrets."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    kept, query, _ = f"{host.rpartition('@')[2]}{slash}{path}".partition("?")
    return f"{scheme}://{kept}{'?...' if query else ''}"


def debian_mirrors() -> tuple[str, ...]:
    """Return the Debian mirrors that this machine's apt is set up with; none where it has no apt."""
    query = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ()
    return tuple(dict.fromkeys(site.rstrip("/") for site in done.stdout.split()))


def _from_debian(source: PinnedSource, part: Path) -> None:
    """Fetch the same bytes as Debian's source package, through apt's own downloader and the mirror it is set up with.

    apt-helper needs neither root nor a source entry, and leaves the user's configuration alone.
    """
    if not source.debian_path:
        raise _UnavailableError(f"has no source package with {title(source)}")
    if not os.access(_APT_HELPER, os.X_OK):
        raise _UnavailableError("this machine has no apt")
    failed = part.with_name(part.name + ".FAILED")
    for site in debian_mirrors():
        part.unlink(missing_ok=True)
        arguments = [f"{site}/{source.debian_path}", str(part), f"SHA256:{source.sha256}"]
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


def _verify(path: Path, source: PinnedSource, *, origin: str) -> None:
    found = _sha256(path)
    if found != source.sha256:
        raise BuildFailedError(
            f"{origin} is not {title(source)}: its SHA-256 is {found}, it should be {source.sha256}.",
            remedy="It was not used. Check where the file comes from, and which version it is.",
        )


def title(source: PinnedSource) -> str:
    """Return ``PHP 8.4.24``: name, and version where it is known."""
    return f"{source.name} {source.version}".strip()


def _file_name(source: PinnedSource) -> str:
    """Return the name in the cache."""
    place = unquote(urlsplit(source.urls[0]).path) if source.urls else source.debian_path
    ending = re.search(r"\.(tar\.\w+|tgz|tbz2?|txz)$", place)
    return f"{source.name.lower()}-{str(source.version) or source.sha256[:16]}{ending[0] if ending else '.tar'}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256).hexdigest()
