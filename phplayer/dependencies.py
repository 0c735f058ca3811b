"""A project's Composer dependencies as its two files tell them: what they are, and whether a runtime satisfies them.

Nothing here runs Composer; ``vendor.py`` does.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from phplayer import catalog
from phplayer.errors import UsageError
from phplayer.layer import PackageRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from phplayer.runtime import PhpVersion

MANIFEST = "composer.json"
LOCK = "composer.lock"
_NOT_IN_COMPOSER = frozenset({"core", "standard"})  # Composer gives these two no ext- name
_NEVER_COPIED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__"})


@dataclass(frozen=True, kw_only=True)
class Package:
    """A production package of the lock file."""

    record: PackageRecord
    requires: frozenset[str]  # names only
    provides: frozenset[str]  # what it provides or replaces
    local: Path | None  # the folder or archive of this machine that it is installed from

    @property
    def name(self) -> str:
        """``vendor/name``."""
        return self.record.name


@dataclass(frozen=True, kw_only=True)
class Project:
    """composer.json and composer.lock of one folder."""

    root: Path
    manifest: Mapping[str, Any]
    lock: Mapping[str, Any]
    lock_sha256: str
    packages: tuple[Package, ...]  # sorted by name
    outputs: frozenset[Path]  # what phplayer itself writes below the root: no input of anything

    @property
    def vendor_folder(self) -> str:
        """Where Composer installs for this project itself, relative to the root."""
        return str(table(self.manifest, "config", of=MANIFEST).get("vendor-dir", "vendor"))

    def files(self) -> Iterator[Path]:
        """Yield the project's own files, sorted: no VCS data, no installed packages, nothing phplayer wrote."""
        skipped = {self.root / self.vendor_folder, self.root / "auth.json", *self.outputs}
        for folder, folders, names in os.walk(self.root):
            here = self.root / folder
            folders[:] = sorted(name for name in folders if name not in _NEVER_COPIED and here / name not in skipped)
            links = [name for name in folders if (here / name).is_symlink()]
            yield from (path for name in sorted((*names, *links)) if (path := here / name) not in skipped)


def has_project(root: Path) -> bool:
    """Tell whether the folder has a composer.json."""
    return (root / MANIFEST).is_file()


def read_project(root: Path, *, outputs: Iterable[Path] = ()) -> Project:
    """Read composer.json and composer.lock.

    Raises:
        UsageError: one of them is not there or does not parse, or the lock lacks what composer.json requires.

    """
    if not has_project(root):
        raise UsageError(f"{root} has no composer.json.", remedy="Run it in the folder of the Composer project.")
    manifest = _read(root / MANIFEST)
    if not (root / LOCK).is_file():
        raise UsageError(
            f"{root / MANIFEST} has no composer.lock beside it, so the layer could not be built the same way twice.",
            remedy="Run: composer update --no-install, and commit composer.lock.",
        )
    lock = _read(root / LOCK)
    packages = tuple(sorted((_package(root, entry) for entry in locked(lock)), key=lambda package: package.name))
    known = {name for package in packages for name in (package.name, *package.provides)}
    absent = sorted(
        name for name in table(manifest, "require", of=MANIFEST) if "/" in name and name.lower() not in known
    )
    if absent:
        raise UsageError(
            f"composer.json requires {', '.join(absent)}, which composer.lock has not.",
            remedy="Run: composer update --no-install, and commit composer.lock.",
        )
    return Project(
        root=root,
        manifest=manifest,
        lock=lock,
        lock_sha256=hashlib.sha256((root / LOCK).read_bytes()).hexdigest(),
        packages=packages,
        outputs=frozenset(outputs),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path} is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            remedy="Correct that line; composer validate checks the file.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} does not hold a JSON object.", remedy="See https://getcomposer.org/schema.")
    return document


def locked(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the production packages of a lock file as it writes them.

    Raises:
        UsageError: it is not of the form that Composer 2 writes.

    """
    entries = lock.get("packages")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("version"), str)
        for entry in entries
    ):
        raise UsageError("composer.lock has no list of packages.", remedy="Make it anew: composer update --no-install")
    return entries


def table(document: Mapping[str, Any], key: str, *, of: str) -> dict[str, Any]:
    """Return a JSON object of the document; PHP writes an empty one as ``[]``.

    Raises:
        UsageError: it is something else.

    """
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise UsageError(f"{key!r} in {of} must be an object.", remedy="composer validate checks the file.")
    return value


def _licenses(value: Any) -> tuple[str, ...]:
    """Return what composer.lock states: one or a list, of which any can be empty."""
    several = value if isinstance(value, list) else [value or ""]
    return tuple(str(each) for each in several if each and str(each).strip())


def _package(root: Path, entry: dict[str, Any]) -> Package:
    name = entry["name"].lower()
    of = f"{LOCK} ({name})"
    return Package(
        record=PackageRecord(
            name=name,
            version=entry["version"],
            license=_licenses(entry.get("license")),
        ),
        requires=frozenset(link.lower() for link in table(entry, "require", of=of)),
        provides=frozenset(link.lower() for key in ("provide", "replace") for link in table(entry, key, of=of)),
        local=_local(root, entry, name),
    )


def _local(root: Path, entry: dict[str, Any], name: str) -> Path | None:
    """Return the folder or file that a path or artifact repository installs this package from."""
    place = local_place(table(entry, "dist", of=LOCK) or table(entry, "source", of=LOCK))
    if place is None:
        return None
    path = (root / place).resolve()
    if not path.exists():
        raise UsageError(
            f"composer.lock installs {name} from {place!r}, and there is nothing at {path}.",
            remedy="Put the package back, or correct the repository's url and run: composer update --no-install",
        )
    return path


def local_place(origin: Mapping[str, Any]) -> str | None:
    """Return the path that a ``dist`` or ``source`` of a lock file names, None where it names a remote address."""
    url = origin.get("url")
    if not isinstance(url, str) or not url:
        return None
    parts = urlsplit(url)
    if parts.scheme == "file":
        return unquote(parts.path)
    scp_like = ":" in url.partition("/")[0]  # git@host:path
    return url if not parts.scheme and not scp_like else None


def platform_name(extension: str) -> str:
    """Return Composer's name for an extension, given the catalogue's name or PHP's own.

    php-src's only bundled zend_extension registers itself as ``Zend NAME``.
    """
    name = extension.lower().replace(" ", "-")
    known = catalog.load().extensions.get(name)
    return f"ext-zend-{name}" if known is not None and known.zend_extension and not known.shared else f"ext-{name}"


def platform_extensions(extensions: Mapping[str, str]) -> dict[str, str]:
    """Return Composer's names for a runtime's extensions, with their versions."""
    return {
        platform_name(name): version for name, version in extensions.items() if name.lower() not in _NOT_IN_COMPOSER
    }


def check(project: Project, *, php: PhpVersion, extensions: Mapping[str, str]) -> None:
    """Refuse a project that requires extensions that the runtime has not; takes no time, so it comes first.

    Version constraints, PHP's too, are Composer's to judge.

    Raises:
        UsageError: names each extension, who requires it, and what to add to phplayer.toml.

    """
    askers = _demands(project, offered=frozenset(platform_extensions(extensions)))
    if not askers:
        return
    demands = [f"{name} (required by {', '.join(who)})" for name, who in askers.items()]
    raise UsageError(
        f"The runtime lacks what the Composer packages require: {'; '.join(demands)}.", remedy=_remedy(askers, php)
    )


def wanted_extensions(project: Project, *, given: Collection[str] = ()) -> tuple[str, ...]:
    """Return the catalogue's names of all extensions that the project and its packages require, sorted.

    What one of the packages provides (a polyfill) is not among them. ``given`` holds names that are known beside the
    catalogue's.

    Raises:
        UsageError: one of them is unknown; names who requires it.

    """
    names = {platform_name(name): name for name in (*catalog.load().extensions, *given)}
    askers = _demands(project, offered=frozenset())
    unknown = {name: who for name, who in askers.items() if name not in names}
    if unknown:
        demands = [f"{name} (required by {', '.join(who)})" for name, who in unknown.items()]
        first = next(iter(unknown)).removeprefix("ext-")
        raise UsageError(
            f"The Composer packages require what phplayer does not know: {'; '.join(demands)}.",
            remedy=f"Give its source, --extension-source {first}=FILE, or require a package that provides it.",
        )
    return tuple(sorted(names[name] for name in askers))


def _demands(project: Project, *, offered: frozenset[str]) -> dict[str, list[str]]:
    """Return each ``ext-*`` that is required and neither offered nor provided by a package, with who requires it."""
    provided = {name for package in project.packages for name in package.provides}
    for key in ("provide", "replace"):
        provided.update(name.lower() for name in table(project.manifest, key, of=MANIFEST))
    askers: dict[str, list[str]] = {}
    own = {name.lower() for name in table(project.manifest, "require", of=MANIFEST)}
    for asker, names in ((MANIFEST, own), *((package.name, package.requires) for package in project.packages)):
        for name in sorted(names):
            if name.startswith("ext-") and name not in offered | provided:
                askers.setdefault(name, []).append(asker)
    return askers


def _remedy(missing: Iterable[str], php: PhpVersion) -> str:
    known = catalog.load()
    offered = {platform_name(name): name for name in known.extension_names(php)}
    sentences = []
    addable = sorted(offered[name] for name in missing if name in offered)
    if addable:
        listed = ", ".join(f'"{name}"' for name in addable)
        sentences.append(f"Add {listed} to php.extensions in phplayer.toml.")
    for name in sorted(set(missing) - set(offered)):
        plain = name.removeprefix("ext-")
        why = (
            f"PHP {php} does not bundle {plain}"
            if plain in known.extensions
            else f"phplayer knows no extension {plain}"
        )
        sentences.append(f"{why}: use a package that does without it, or one that provides {name}.")
    return " ".join(sentences)
