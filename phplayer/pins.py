"""What a project adds to the catalogue: a PHP release with its checksum, sources of extensions."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from phplayer import catalog, extension_sources
from phplayer.errors import UsageError, did_you_mean
from phplayer.runtime import PhpVersion, Release

if TYPE_CHECKING:
    from phplayer.catalog import Catalog
    from phplayer.settings import Settings


def catalogue(settings: Settings) -> Catalog:
    """Return the catalogue with what the project pins.

    Raises:
        UsageError: ``php.sha256`` without one exact ``php.version``, or a source of an extension that is none.
        BuildFailedError: an extension's source has another checksum, or no config.m4.

    """
    known = catalog.load()
    sha256 = settings.text("php.sha256").lower()
    if sha256:
        pinned = _release(known, settings.texts("php.version"), sha256)
        others = [release for release in known.releases if release.version != pinned.version]
        releases = tuple(sorted((*others, pinned), key=lambda release: release.version))
        known = replace(known, releases=releases)
    given = extension_sources.parse(settings.table("php.extension_sources"), relative_to=settings.root)
    return replace(known, given=MappingProxyType(given))


def _release(known: Catalog, versions: tuple[str, ...], sha256: str) -> Release:
    remedy = "Set php.version to the one exact version whose php-VERSION.tar.xz has this SHA-256."
    if not catalog.SHA256.fullmatch(sha256):
        raise UsageError(f"php.sha256 is {sha256!r}, which is no SHA-256: 64 hexadecimal digits.", remedy=remedy)
    if len(versions) != 1:
        raise UsageError("php.sha256 pins one release, and php.version does not name exactly one.", remedy=remedy)
    try:
        version = PhpVersion.parse(versions[0])
    except UsageError as error:
        raise UsageError(f"php.sha256 is set, but php.version is {versions[0]!r}.", remedy=remedy) from error
    if version.branch not in known.branches:
        near = did_you_mean(version.branch, known.branches)
        raise UsageError(
            f"phplayer cannot build PHP {version.branch}: it knows {', '.join(known.branches)}.",
            remedy=f"{near}Choose one of these branches.",
        )
    nearest = known.release(version.branch)
    urls = tuple(url.replace(str(nearest.version), str(version)) for url in nearest.urls)
    for release in known.releases:
        if release.version == version and release.sha256 == sha256:
            return release
        if release.version == version:
            raise UsageError(
                f"php.sha256 is not that of PHP {version} in the catalogue, {release.sha256}.",
                remedy="Remove php.sha256, or correct it.",
            )
    return replace(
        nearest, version=version, sha256=sha256, urls=urls, debian_path="", origin="php.sha256", tested=False
    )
