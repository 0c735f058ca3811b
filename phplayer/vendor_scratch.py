"""The folder that Composer works in to make a vendor layer.

It holds edited copies of the project's two files:

    composer.json   no autoload of the project's own; every setting that shapes the result spelled out, so that the
                    user's global configuration has no say
    composer.lock   platform-overrides name the runtime's PHP and extensions (whichever PHP runs Composer);
                    packages of path and artifact repositories come through links at fixed relative places, so that
                    no path of this machine gets into installed.json
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from phplayer import composer as tool
from phplayer.dependencies import LOCK, MANIFEST, Package, Project, local_place, locked, platform_extensions, table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from phplayer.composer import Composer
    from phplayer.runtime import PhpVersion

_LOCAL = ".local"  # the links to packages of this machine
OWN_KEYS = ("autoload", "autoload-dev", "scripts", "scripts-descriptions", "scripts-aliases")

# Composer's own defaults, spelled out against the user's global config.json. The project's config goes over them.
_CONFIG_DEFAULTS: Mapping[str, Any] = {
    "bin-compat": "auto",
    "classmap-authoritative": False,
    "platform-check": "php-only",
    "prepend-autoloader": True,
    "use-include-path": False,
}


def manifest(project: Project) -> dict[str, Any]:
    """Return the project's composer.json as Composer gets it: dependencies only."""
    config = {**_CONFIG_DEFAULTS, **table(project.manifest, "config", of=MANIFEST)}
    config |= {"vendor-dir": "vendor", "bin-dir": "vendor/bin", "autoloader-suffix": suffix(project)}
    config["apcu-autoloader"] = False  # a flag asks for it, with a prefix that is not random
    stripped = {key: value for key, value in project.manifest.items() if key not in OWN_KEYS}
    return {**stripped, "config": config}


def suffix(project: Project) -> str:
    """Return the suffix of the autoloader's class names.

    Fixed by the lock file; and another than the one in the function's own vendor folder (newer Composers take the
    lock's content-hash), since both autoloaders can meet in one process.
    """
    return hashlib.sha256(f"vendor layer {project.lock_sha256}".encode()).hexdigest()[:32]


def root_version() -> str:
    """Return the root package's version. Were it unset, Composer would ask git, and put the commit into the layer."""
    return os.environ.get("COMPOSER_ROOT_VERSION") or "1.0.0"


def overrides(
    composer: Composer, php: PhpVersion, extensions: Mapping[str, str], *, scratch: Path
) -> dict[str, str | bool]:
    """Return the runtime as a platform: its PHP, its extensions, and nothing that only Composer's own PHP has."""
    offered = {name: _composer_version(version) for name, version in platform_extensions(extensions).items()}
    lacking = tool.extensions_of(composer, scratch=scratch) - set(offered)
    overrides: dict[str, str | bool] = {"php": str(php), **offered}
    return dict(sorted((overrides | dict.fromkeys(lacking, False)).items()))


def _composer_version(version: str) -> str:
    """Return an extension's version as Composer reads it; what is no version counts as 0, as it does there."""
    if re.fullmatch(r"v?\d+(\.\d+){0,3}([-.]?(dev|alpha|beta|RC)\.?\d*)?", version):
        return version
    match = re.match(r"\d+\.\d+\.\d+(\.\d+)?", version)
    return match[0] if match else "0"


def lay_out(project: Project, scratch: Path, overrides: dict[str, str | bool], *, whole: bool) -> None:
    """Fill the scratch folder, but for composer.json; ``whole`` brings all files of the project, for its scripts."""
    scratch.mkdir()
    if whole:
        for path in project.files():
            target = scratch / path.relative_to(project.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    if (project.root / "auth.json").is_file():
        (scratch / "auth.json").symlink_to(project.root / "auth.json")  # linked: credentials are not copied
    for package in project.packages:
        if package.local is not None:
            link = scratch / _place(package)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(package.local)
    by_name = {package.name: package for package in project.packages}
    entries = [_localised(entry, by_name[entry["name"].lower()]) for entry in locked(project.lock)]
    write(scratch / LOCK, {**project.lock, "packages": entries, "platform-overrides": overrides})


def _place(package: Package) -> str:
    """Return where the scratch folder links to the package, relative to it."""
    ending = package.local.suffix if package.local is not None and package.local.is_file() else ""
    return f"{_LOCAL}/{package.name}{ending}"


def _localised(entry: dict[str, Any], package: Package) -> dict[str, Any]:
    """Return the lock's entry with no path of this machine in it."""
    edited = dict(entry)
    if local_place(table(entry, "dist", of=LOCK)) is not None:
        edited["dist"] = {**entry["dist"], "url": _place(package)}
        if entry["dist"].get("type") == "path":
            edited["transport-options"] = {"symlink": False, "relative": True}
    if local_place(table(entry, "source", of=LOCK)) is not None:
        if edited.get("dist"):
            edited.pop("source")
        else:
            edited["source"] = {**entry["source"], "url": _place(package)}
    return edited


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file in place of what is there."""
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(document, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
