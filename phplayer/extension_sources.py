"""Sources of extensions that the project gives itself: ``NAME=FILE`` or ``NAME=URL@SHA256``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from phplayer import sources, tarball
from phplayer.errors import BuildFailedError, UsageError
from phplayer.runtime import ExtensionSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OPTION = "--extension-source"
_FORM = f"Write it as {OPTION} NAME=FILE, or {OPTION} NAME=URL@SHA256 with the checksum of the file."
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLACE = re.compile(r"(?P<place>.+?)(?:@(?:sha256:)?(?P<sha256>[0-9A-Fa-f]{64}))?")
_FILE = "file"  # the scheme that a place without one has
_CONFIG = "config.m4"  # what phpize insists on, whatever else there is


def split(texts: Iterable[str], *, relative_to: Path) -> dict[str, str]:
    """Return name -> place of options ``NAME=PLACE``; files become absolute.

    Raises:
        UsageError: one has another form.

    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not (name and equals and place):
            raise UsageError(f"{OPTION} {text!r} does not say of which extension it is the source.", remedy=_FORM)
        found[name] = place if "://" in place else str(relative_to / _at_home(place))
    return found


def parse(places: Mapping[str, object], *, relative_to: Path) -> dict[str, ExtensionSource]:
    """Return the sources that name -> place tells. A file without a checksum is taken as it is now.

    Raises:
        UsageError: a name or place of another form, a URL that is none or has no checksum, or no such file.
        BuildFailedError: a file has another checksum, or is no extension's source.

    """
    found = {}
    for name, place in places.items():
        if not _NAME.fullmatch(name.lower()):
            raise UsageError(f"{name!r} is no name of a PHP extension.", remedy=_FORM)
        found[name.lower()] = _source(name.lower(), str(place), relative_to)
    return found


def _source(name: str, text: str, relative_to: Path) -> ExtensionSource:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UsageError(f"The source of the extension {name!r} is not said.", remedy=_FORM)
    place, sha256 = match["place"], (match["sha256"] or "").lower()
    scheme = place.partition("://")[0].lower() if "://" in place else _FILE
    if scheme in {"https", "http"}:
        if not _has_host(place):
            raise UsageError(f"The source {sources.shown(place)} of {name!r} is no URL.", remedy=_FORM)
        if not sha256:
            raise UsageError(
                f"The source {sources.shown(place)} of {name!r} has no SHA-256 that could be checked.", remedy=_FORM
            )
        return _pinned(name, sha256=sha256, urls=(place,))
    if scheme != _FILE:
        raise UsageError(f"phplayer cannot fetch {scheme}:// sources, as that of {name!r} is.", remedy=_FORM)
    file = relative_to / _at_home(unquote(place[len(f"{_FILE}://") :]) if "://" in place else place)
    if not file.is_file():
        raise UsageError(f"There is no file {file}, which should be the source of {name!r}.", remedy=_FORM)
    source = _pinned(name, sha256=sha256 or _sha256(file), file=file)
    sources.verify(file, source)
    config_folder(file, source)
    return source


def _pinned(name: str, *, sha256: str, urls: tuple[str, ...] = (), file: Path | None = None) -> ExtensionSource:
    return ExtensionSource(name=name, version="", sha256=sha256, urls=urls, debian_path="", folder="", file=file)


def config_folder(path: Path, source: ExtensionSource) -> str:
    """Return the folder of the tarball in which phpize is to be run, "" for its top.

    Raises:
        BuildFailedError: it is no tar archive or a hostile one, or none of its folders (not the named one), or several
            that are equally near its top, hold a config.m4.

    """
    folders = {file.parent for file in tarball.files(path, of=source.name) if file.name == _CONFIG}
    if source.folder:
        folders &= {PurePosixPath(source.folder)}
    if not folders:
        where = f" in {source.folder}" if source.folder else ""
        raise BuildFailedError(
            f"{path}, the source of {source.name}, has no config.m4{where}.",
            remedy="Give the extension's release tarball: one with a config.m4, as pecl.php.net offers it.",
        )
    depth = min(len(folder.parts) for folder in folders)
    nearest = sorted(str(folder) for folder in folders if len(folder.parts) == depth)
    if len(nearest) > 1:
        raise BuildFailedError(
            f"{path}, the source of {source.name}, has several folders with a config.m4: {', '.join(nearest)}.",
            remedy="Give a tarball of one extension.",
        )
    return "" if nearest == ["."] else nearest[0]


def _at_home(path: str) -> Path:
    """Return a path with ``~`` spelled out, which a shell leaves as it is after an equals sign."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user: it is a file's name
        return Path(path)


def _has_host(url: str) -> bool:
    """Tell whether a URL says whom to ask: of what is no URL, or has a port that is none, urllib knows no host."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.sha256).hexdigest()
