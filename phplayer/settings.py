"""Settings: flags, environment, ``phplayer.toml`` and defaults resolved once into one frozen value.

The keys are those of ``setting_keys``.
"""

from __future__ import annotations

import os
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from phplayer import sizes, toml_lines
from phplayer.errors import UsageError, check_known, did_you_mean
from phplayer.setting_keys import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from phplayer.setting_keys import Key

FILE_NAME = "phplayer.toml"

_DEFAULT, _COMMAND_LINE = "default", "the command line"

_BY_NAME = {key.name: key for key in KEYS}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Resolved settings of one project folder.

    Values are read by key name (``settings.text("layer.name")``), so that a new key is one line in ``KEYS``.
    """

    root: Path  # the folder of phplayer.toml, or the current one
    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(repr=False)  # "the command line", a variable, a file and its line, "default"

    @classmethod
    def load(
        cls,
        *,
        start: Path | None = None,
        flags: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Resolve all settings; flags that are None count as not given.

        Raises:
            UsageError: an unknown key, a value of the wrong type, or a file that is not TOML.

        """
        environment = os.environ if environment is None else environment
        start = (start or Path.cwd()).resolve()
        root = next((folder for folder in (start, *start.parents) if (folder / FILE_NAME).is_file()), start)
        values = {key.name: key.default for key in KEYS}
        origins = {key.name: _DEFAULT for key in KEYS}
        for name, value, origin in _read_file(root / FILE_NAME):
            values[name], origins[name] = value, origin
        _check_variables(environment)
        for key in KEYS:
            if environment.get(key.environment):
                values[key.name] = _from_environment(key, environment[key.environment])
                origins[key.name] = f"environment variable {key.environment}"
        for name, value in (flags or {}).items():
            if value is not None:
                values[name], origins[name] = _typed(_BY_NAME[name], value, _COMMAND_LINE), _COMMAND_LINE
        return _settings(root, values, origins)

    def using(self, name: str, value: Any) -> Settings:
        """Return settings in which a command's own default stands for the general one."""
        return replace(self, values=MappingProxyType({**self.values, name: value}))

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process: read-only views cannot be pickled, so the new one makes its own."""
        return _settings, (self.root, dict(self.values), dict(self.origins))

    def text(self, name: str) -> str:
        """Return the value of a key of type str."""
        value = self.values[name]
        assert isinstance(value, str)  # noqa: S101  the type was checked when it was read
        return value

    def choice(self, name: str, known: Iterable[str], what: str) -> str:
        """Return the value of a key of type str that is one of several; ``what`` says of what kind they are.

        Raises:
            UsageError: it is none of them.

        """
        with self.blamed(name):
            check_known(self.text(name), known, what)
        return self.text(name)

    @contextmanager
    def blamed(self, name: str) -> Iterator[None]:
        """Add where a key's value stands to a complaint about the value; who typed it just now knows."""
        try:
            yield
        except UsageError as error:
            origin = self.origins[name]
            if origin in {_DEFAULT, _COMMAND_LINE}:
                raise
            message = f"{error.message.removesuffix('.')} ({name} in {origin})."
            raise UsageError(message, remedy=error.remedy, details=error.details) from error

    def number(self, name: str) -> int:
        """Return the value of a key of type int."""
        return int(self.values[name])

    def flag(self, name: str) -> bool:
        """Return the value of a key of type bool."""
        return bool(self.values[name])

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the value of a key that is a list of str."""
        return tuple(self.values[name])

    def size(self, name: str) -> int:
        """Return the bytes that a size states: ``10 GB``, ``500M``, ``12MiB``; ``0`` or nothing for no limit.

        Raises:
            UsageError: it states none.

        """
        text = self.text(name)
        found = sizes.parse(text.strip() or "0")
        if found is None:
            raise UsageError(
                f"{name} is {text!r}, which is no size ({self.origins[name]}).",
                remedy="Write it as 500 MB, 10 GB or 12 MiB, or 0 for no limit.",
            )
        return found

    def table(self, name: str) -> Mapping[str, Any]:
        """Return the value of a key that is a table."""
        return MappingProxyType(dict(self.values[name]))

    def path(self, name: str) -> Path:
        """Return the value of a key that names a file or folder, relative to the project."""
        return self.root / self.text(name)


def _settings(root: Path, values: dict[str, Any], origins: dict[str, str]) -> Settings:
    return Settings(root=root, values=MappingProxyType(values), origins=MappingProxyType(origins))


def _read_file(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield the name of each key in the file, its value, and where it stands."""
    if not path.is_file():
        return
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", remedy="Correct that line.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    lines = toml_lines.lines(text)
    for table_name, table in document.items():
        where = f"{path}, line {lines[table_name,]}"
        tables = sorted({key.name.partition(".")[0] for key in KEYS})
        if table_name not in tables:
            near = did_you_mean(table_name, tables)
            raise UsageError(f"Unknown table [{table_name}] in {where}.", remedy=f"{near}Known: {', '.join(tables)}.")
        if not isinstance(table, dict):
            raise UsageError(f"{table_name} in {where} must be a table.", remedy=f"Write it as [{table_name}].")
        for key_name, value in table.items():
            where = f"{path}, line {lines[table_name, key_name]}"
            name = f"{table_name}.{key_name}"
            if name not in _BY_NAME:
                known = [key.name.partition(".")[2] for key in KEYS if key.name.startswith(f"{table_name}.")]
                near = did_you_mean(key_name, known)
                raise UsageError(
                    f"Unknown key {key_name!r} in [{table_name}] of {where}.",
                    remedy=f"{near}Known: {', '.join(known)}.",
                )
            yield name, _typed(_BY_NAME[name], value, where), where


_TYPE_NAMES = {
    str: "a string",
    int: "a whole number, 0 or more",
    bool: "true or false",
    tuple: "a list of strings",
    dict: "a table",
}


def _typed(key: Key, value: Any, origin: str) -> Any:
    """Return the value as the key's type."""
    wanted = type(key.default)
    if key.one_or_more and isinstance(value, str):
        return (value,) if value else ()
    if wanted is tuple and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if key.size and type(value) is int and value >= 0:
        return str(value)
    if wanted is str and isinstance(value, Path):
        return str(value)
    if _fits(value, wanted):
        return value
    kind = f"a string or {_TYPE_NAMES[wanted]}" if key.one_or_more else _TYPE_NAMES[wanted]
    raise UsageError(
        f"{key.name} must be {kind}, but {origin} gives {value!r}.",
        remedy=f"It is the {key.help}.",
    )


def _fits(value: Any, wanted: type) -> bool:
    exact = type(value) is wanted  # not isinstance: True would be an int
    if isinstance(value, dict):
        return exact and all(isinstance(each, str | int | float | bool) for each in value.values())
    return exact and (wanted is not int or value >= 0)


def _check_variables(environment: Mapping[str, str]) -> None:
    """Refuse a variable that looks like a setting and is none, as an unknown key of the file."""
    known = [key.environment for key in KEYS]
    tables = tuple({f"PHPLAYER_{key.name.partition('.')[0].upper()}_" for key in KEYS})
    for name in environment:
        if name.startswith(tables) and name not in known:
            raise UsageError(
                f"Unknown setting in environment variable {name}.",
                remedy=f"{did_you_mean(name, known)}phplayer init writes a file with all settings.",
            )


def _from_environment(key: Key, text: str) -> Any:
    wanted, origin = type(key.default), f"environment variable {key.environment}"
    if wanted is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if wanted is bool:
        if text.lower() in {"1", "true", "yes", "0", "false", "no"}:
            return text.lower() in {"1", "true", "yes"}
        return _typed(key, text, origin)
    if wanted is int and text.isdecimal():
        return int(text)
    if wanted is dict:
        pairs = [part.partition("=") for part in text.split(",")]
        if all(name.strip() and sign for name, sign, _ in pairs):
            return {name.strip(): value.strip() for name, _, value in pairs}
    return _typed(key, text, origin)
