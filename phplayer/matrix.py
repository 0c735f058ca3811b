"""Which runtimes one call builds: every PHP version with every architecture, less what ``--only`` leaves out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from phplayer import pins
from phplayer.errors import NothingSelectedError, UsageError, did_you_mean
from phplayer.runtime import SAPIS, Architecture, BootstrapMode, identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phplayer.catalog import Catalog
    from phplayer.runtime import PhpVersion, Runtime
    from phplayer.settings import Settings

ALL = "all"
"""Stands for every architecture."""


def runtimes(settings: Settings, *, only: Sequence[str] = ()) -> tuple[Runtime, ...]:
    """Resolve what the settings ask for, in their order; ``only`` holds identifiers or patterns (``php84-*``).

    Raises:
        UsageError: an unknown version, extension, target or architecture; two releases of one branch; a pin that is
            none.
        BuildFailedError: the source that the project gives for an extension cannot be used.
        NothingSelectedError: a pattern fits no identifier.

    """
    known = pins.catalogue(settings)
    with settings.blamed("build.target"):
        target = known.target(settings.text("build.target") or known.default_target)
    with settings.blamed("php.version"):
        versions = _versions(known, settings.texts("php.version") or (known.default_php,))
    with settings.blamed("build.arch"):
        machines = architectures(settings.texts("build.arch"))
    with settings.blamed("build.bootstrap"):
        bootstrap = BootstrapMode.parse(settings.text("build.bootstrap"))
    pairs = {
        identifier(version, target, architecture, bootstrap): (version, architecture)
        for version, architecture in itertools.product(versions, machines)
    }
    with settings.blamed("php.sapis"):
        sapis = _sapis(settings.texts("php.sapis"))
    locales = tuple(sorted(set(settings.texts("php.icu_locales"))))
    with settings.blamed("php.extensions"):
        return tuple(
            replace(
                known.runtime(
                    php=str(version),
                    extensions=(*settings.texts("php.extensions"), *known.given),
                    target=target.name,
                    architecture=architecture,
                    bootstrap=bootstrap,
                ),
                sapis=sapis,
                icu_locales=locales,
            )
            for version, architecture in (pairs[name] for name in select(tuple(pairs), only))
        )


def select(identifiers: Sequence[str], only: Sequence[str]) -> tuple[str, ...]:
    """Return the identifiers that one of the patterns fits, all of them without patterns.

    Raises:
        NothingSelectedError: a pattern fits none.

    """
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in identifiers):
            raise NothingSelectedError(
                f"{pattern!r} selects none of: {', '.join(identifiers)}.",
                remedy=f"{did_you_mean(pattern, identifiers)}More are there to select from with --php and --arch all.",
            )
    return tuple(name for name in identifiers if not only or any(fnmatchcase(name, pattern) for pattern in only))


def architectures(texts: Iterable[str]) -> tuple[Architecture, ...]:
    """Read architectures' names; none means this machine's.

    Raises:
        UsageError: no such architecture.
        EnvironmentMissingError: none was named and Lambda has no machines like this one.

    """
    found: dict[Architecture, None] = {}
    for text in texts:
        found.update(dict.fromkeys(Architecture if text == ALL else (Architecture.parse(text),)))
    return tuple(found) or (Architecture.of_this_machine(),)


def _sapis(texts: Iterable[str]) -> tuple[str, ...]:
    """Check the names of the programs that PHP is built as; the first of all is always one of them."""
    asked = set(texts)
    for text in sorted(asked - set(SAPIS)):
        raise UsageError(f"Unknown SAPI {text!r}.", remedy=f"{did_you_mean(text, SAPIS)}Known: {', '.join(SAPIS)}.")
    return tuple(sapi for sapi in SAPIS if sapi in asked or sapi == SAPIS[0])


def _versions(known: Catalog, texts: Iterable[str]) -> tuple[PhpVersion, ...]:
    """Resolve versions; two of one branch would have one identifier, one folder and one layer name."""
    found: dict[str, PhpVersion] = {}
    for text in texts:
        version = known.release(text).version
        if found.setdefault(version.branch, version) != version:
            raise UsageError(
                f"PHP {found[version.branch]} and {version} are both {version.branch}: one call builds one of them.",
                remedy="Build the other in a call of its own, with another layer.name.",
            )
    return tuple(found.values())
