"""The php.ini files of a layer: ours, the loading of shared extensions, and the project's directives."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from phplayer import resources
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_DIRECTIVE = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def render(*, extensions: Sequence[tuple[str, bool]], directives: Mapping[str, Any]) -> dict[str, str]:
    """Return the files below ``/opt/etc/php``: name to text.

    ``extensions`` are the shared ones in the order they are loaded in, each with whether it is a zend_extension.

    Raises:
        UsageError: a directive that php.ini cannot hold.

    """
    files = {
        "php.ini": resources.template("php", "php.ini").read_text(),
        "conf.d/20-certificates.ini": resources.template("php", "certificates.ini").read_text(),
    }
    if extensions:
        lines = (f"{'zend_' if zend else ''}extension = {name}.so\n" for name, zend in extensions)
        files["conf.d/10-extensions.ini"] = "".join(lines)
    if directives:
        lines = (f"{_name(name)} = {_value(name, value)}\n" for name, value in sorted(directives.items()))
        files["conf.d/50-project.ini"] = "; [php.ini] of phplayer.toml\n" + "".join(lines)
    return files


def digest(files: Mapping[str, str]) -> str:
    """Return a SHA-256 of the files."""
    return hashlib.sha256("\0".join(part for item in sorted(files.items()) for part in item).encode()).hexdigest()


def write(files: Mapping[str, str], tree: Path) -> None:
    """Write the files into a layer tree."""
    for name, text in files.items():
        path = tree / "etc" / "php" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _name(name: str) -> str:
    if _DIRECTIVE.fullmatch(name) is None:
        raise UsageError(f"{name!r} cannot be a php.ini directive.", remedy="Correct php.ini in phplayer.toml.")
    return name


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    text = str(value)
    if any(character in text for character in '"\n\r\0') or "${" in text:
        raise UsageError(
            f"The php.ini directive {name} has a quote, a line break or ${{...}} in its value.",
            remedy="Put it into a file below php/conf.d of the function instead, where PHP's own quoting applies.",
        )
    return f'"{text}"' if isinstance(value, str) else text
