"""What a published layer version says of itself: description, architectures, licence. All from the manifest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phplayer.layer import RuntimeManifest
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from phplayer.layer import Manifest, VendorManifest

_MARK = re.compile(r"(?:PHP|Composer packages for PHP) \S+, phplayer [0-9a-f]{12}\b")
_LICENSE_LIMIT = 512  # characters of LicenseInfo
_RUNTIME_LICENSE = "PHP-3.01"


def description(manifest: Manifest) -> str:
    """Return what tells, of any version found later, what it is: ``PHP 8.4.24, phplayer 0123456789ab``."""
    made = "PHP" if isinstance(manifest, RuntimeManifest) else "Composer packages for PHP"
    return f"{made} {manifest.php}, {mark(manifest)}"


def architectures(manifest: Manifest) -> tuple[str, ...]:
    """Return where the layer runs: PHP files of a vendor layer run on any architecture."""
    return (manifest.architecture,) if isinstance(manifest, RuntimeManifest) else tuple(Architecture)


def license_info(manifest: Manifest) -> str:
    """Return the layer's licences as an SPDX expression, or nothing where they do not fit or are not all known."""
    if isinstance(manifest, RuntimeManifest):
        return _RUNTIME_LICENSE
    return _package_licenses(manifest)


def _package_licenses(manifest: VendorManifest) -> str:
    if not all(package.license for package in manifest.packages):
        return ""
    several = {" OR ".join(package.license) for package in manifest.packages}  # Composer: a list is a choice
    if len(several) > 1:
        several = {f"({text})" if " OR " in text else text for text in several}
    expression = " AND ".join(sorted(several))
    return expression if len(expression) <= _LICENSE_LIMIT else ""


def is_ours(description: str) -> bool:
    """Tell whether a version's description is one of ours."""
    return _MARK.search(description) is not None


def mark(manifest: Manifest) -> str:
    """Return what the descriptions of all versions of this build have in common."""
    return f"phplayer {manifest.key[:12]}"
