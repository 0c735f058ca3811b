"""What Composer says: its failures told in a sentence, its output without the caller's credentials."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phplayer.errors import BuildFailedError, EnvironmentMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TAIL = 20  # lines of Composer's output that an error shows
_SHORTEST_SECRET = 6  # characters; shorter strings would black out half of the log

_UNMET = re.compile(
    r"^\s*- (?P<who>Root composer\.json|\S+ \S+) requires (?:PHP extension )?"
    r"(?P<what>(?:php|ext-|lib-|composer-)\S*) (?P<constraint>.+?) (?:->|but) (?:it is|your|no matching|the)"
)
_UNREACHABLE = re.compile(
    r"could not resolve host|curl error (?:5|6|7|28|35|56)\b|network is unreachable|connection (?:refused|timed out)"
    r"|network disabled|failed to open stream: (?:php_network|connection)",
    re.IGNORECASE,
)


def failure(lines: Sequence[str], *, code: int, runtime: str, log: Path) -> EnvironmentMissingError | BuildFailedError:
    """Tell Composer's failure in a sentence."""
    text = "\n".join(lines)
    unmet = [match for line in lines if (match := _UNMET.match(line))]
    if unmet:
        what = dict.fromkeys(
            f"{match['who'].replace('Root composer', 'composer')} requires {match['what']} {match['constraint']}"
            for match in unmet
        )
        return BuildFailedError(
            f"{'; '.join(what)}; the runtime ({runtime}) does not offer that.",
            remedy="Change php.version or php.extensions in phplayer.toml, "
            "or lock another release of the package: composer update",
            log=log,
        )
    if _UNREACHABLE.search(text):
        return EnvironmentMissingError(
            "Composer could not download the packages.",
            remedy="Check the network and the proxy settings (https_proxy), then run the same command again.",
            log=log,
            details=tail(lines),
        )
    if "No space left on device" in text:
        return EnvironmentMissingError(
            "The disk is full: Composer could not write the packages.",
            remedy="Free some space and run the same command again.",
            log=log,
        )
    if "not present in the lock file" in text:
        return BuildFailedError(
            "composer.lock lacks packages that composer.json requires.",
            remedy="Run: composer update --no-install, and commit composer.lock.",
            log=log,
            details=tail(lines),
        )
    return BuildFailedError(
        f"Composer failed with exit code {code}.",
        remedy="Correct what it complains about, then run the same command again.",
        log=log,
        details=tail(lines),
    )


def tail(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the last lines that say something."""
    return tuple(line.rstrip() for line in lines if line.strip())[-_TAIL:]


def secrets(project: Path, source: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return every password and token that Composer could find, the longest first."""
    source = os.environ if source is None else source
    documents = [source.get("COMPOSER_AUTH", "")]
    home = Path(source.get("HOME", "/nonexistent"))
    configuration = Path(source.get("XDG_CONFIG_HOME") or home / ".config")
    homes = [Path(source["COMPOSER_HOME"])] if source.get("COMPOSER_HOME") else []
    for folder in (project, *homes, home / ".composer", configuration / "composer"):
        try:
            documents.append((folder / "auth.json").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
    found: set[str] = set()
    for document in documents:
        try:
            found.update(_strings(json.loads(document)))
        except ValueError:
            continue
    return tuple(sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=lambda text: (-len(text), text)))


def _strings(value: Any) -> Iterator[str]:
    """Yield each string of a JSON document; keys are hosts and kinds, not secrets."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def without(secrets: Sequence[str], line: str) -> str:
    """Return the line with each secret blacked out."""
    for secret in secrets:
        line = line.replace(secret, "***")
    return line
