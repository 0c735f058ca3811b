"""The catalogue's files: what each may say, and where in it a mistake is."""

from __future__ import annotations

import datetime as dt  # noqa: TC003  msgspec reads annotations at run time
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from phplayer.errors import PhplayerError
from phplayer.runtime import Architecture  # noqa: TC001  read at run time too

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = Path(__file__).resolve().parent

USER_FILE = "catalog.toml"

_SCHEMA_PATH = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_HEADER = re.compile(r"\s*\[{1,2}\s*(?P<name>[^\[\]]+?)\s*\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"""\s*(?P<name>[\w-]+|"[^"]*"|'[^']*')\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def user_file() -> Path:
    """Return where the user's own catalogue file is, or would be. ``PHPLAYER_DATA`` moves its folder."""
    configured = os.environ.get("PHPLAYER_DATA")
    if configured:
        return Path(configured).expanduser().resolve() / USER_FILE
    import platformdirs

    return platformdirs.user_data_path("phplayer") / USER_FILE


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a catalogue file: unknown keys are mistakes."""


class ReleaseTable(Struct, frozen=True, kw_only=True):
    """``[[release]]``: a PHP release."""

    version: str
    sha256: str
    from_: str = msgspec.field(name="from")
    debian: str = ""
    tested: bool = False


class BranchTable(Struct, frozen=True, kw_only=True):
    """``[branch."8.4"]``."""

    end_of_life: dt.date


class PhpFile(Struct, frozen=True, kw_only=True):
    """``php.toml``."""

    default: str
    license: str
    mirrors: tuple[str, ...]
    branch: dict[str, BranchTable]
    release: tuple[ReleaseTable, ...]


class UserFile(Struct, frozen=True, kw_only=True):
    """The user's own file: what ``phplayer catalog update`` learned."""

    release: tuple[ReleaseTable, ...]


class CostTable(Struct, frozen=True, kw_only=True):
    """``[extension.X]`` of ``costs.toml``: bytes in an unpacked layer."""

    code: int  # of the extension itself
    libraries: int = 0  # of the libraries that it brings, where none of them is the target's


class CostsFile(Struct, frozen=True, kw_only=True):
    """``costs.toml``: what extensions cost, measured."""

    php: str
    base: str
    architecture: Architecture
    extension: dict[str, CostTable]
    not_measured: dict[str, str]  # extension -> why


class SourceTable(Struct, frozen=True, kw_only=True):
    """``[extension.X.source]``: the tarball of a PECL extension."""

    version: str
    sha256: str
    urls: tuple[str, ...] = ()
    debian: str = ""
    folder: str = ""


class ExtensionTable(Struct, frozen=True, kw_only=True):
    """``[extension.X]``."""

    summary: str
    configure: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    uses: dict[str, tuple[str, ...]] = {}
    conflicts: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    always: bool = False
    configured_until: str = ""
    zend_extension: bool = False
    pecl: bool = False
    license: str = ""
    source: SourceTable | None = None


class ExtensionsFile(Struct, frozen=True, kw_only=True):
    """``extensions.toml``."""

    mirrors: tuple[str, ...] = ()
    set: dict[str, tuple[str, ...]]
    extension: dict[str, ExtensionTable]


class Image(Struct, frozen=True, kw_only=True):
    """A container image of a base, and what is added to it beside the packages that a build needs."""

    name: str
    digest: str = ""  # sha256:..., "" where it is not known
    packages: tuple[str, ...] = ()
    ccache: str = ""  # the folder of compilers that go through ccache, "" where the base has no such package

    @property
    def reference(self) -> str:
        """What is pulled: the digest decides where it is known."""
        return f"{self.name}@{self.digest}" if self.digest else self.name


class BaseTable(Struct, frozen=True, kw_only=True):
    """``[base.X]``."""

    os_release: tuple[str, ...]
    manager: str
    image: Image
    install: tuple[str, ...]
    toolchain: tuple[str, ...]
    composer: tuple[str, ...]
    docker: tuple[str, ...]
    emulation: tuple[str, ...]
    libraries: dict[str, tuple[str, ...]]
    phpize: tuple[str, ...]
    icu_tools: tuple[str, ...]


class BasesFile(Struct, frozen=True, kw_only=True):
    """``bases.toml``."""

    base: dict[str, BaseTable]


class TargetTable(Struct, frozen=True, kw_only=True):
    """``[target.X]``."""

    lambda_runtime: str
    native_base: str
    glibc: str
    glibc_sonames: frozenset[str]
    never_grafted: frozenset[str]
    sonames: frozenset[str]


class TargetsFile(Struct, frozen=True, kw_only=True):
    """``targets.toml``."""

    default: str
    target: dict[str, TargetTable]


_T = TypeVar("_T")


class CatalogFile(Generic[_T]):
    """A file that was read and fits its schema."""

    def __init__(self, path: Path, text: str, content: _T) -> None:
        self.path = path
        self.text = text
        self.content = content

    def mistake(self, key: Sequence[str], what: str) -> PhplayerError:
        """Return the error that says what is wrong with a key, and on which line it is."""
        return _mistake(self.path, self.text, key, what)


def read(path: Path, schema: type[_T]) -> CatalogFile[_T]:
    """Read a file of the catalogue.

    Raises:
        PhplayerError: it is not TOML or does not fit the schema; names file, line and key.

    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise PhplayerError(
            f"The catalogue file {path} cannot be read: {error.strerror}.",
            remedy="Make it readable, or set PHPLAYER_DATA." if path.name == USER_FILE else "Install phplayer again.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PhplayerError(
            f"The catalogue file {path} is not TOML: {error}.", remedy=_remedy(path, "Correct that line")
        ) from error
    try:
        return CatalogFile(path, text, msgspec.convert(document, schema))
    except msgspec.ValidationError as error:
        raise _misfit(path, text, document, schema, error) from error


def _misfit(path: Path, text: str, document: Any, schema: Any, error: msgspec.ValidationError) -> PhplayerError:
    """Say what does not fit and where. msgspec names fields, but of a table with free keys it says ``[...]`` only."""
    match = _SCHEMA_PATH.fullmatch(str(error))
    what, where = (match["what"], match["path"] or "$") if match else (str(error), "$")
    found: list[str] = []
    for part in re.findall(r"\.(\w+)|\[(\.\.\.|\d+)\]", where):
        name = part[0] or part[1]
        found.append(_culprit(document, schema, found, str(error)) if name == "..." else name)
    unknown = _UNKNOWN.search(what)
    if unknown:
        found.append(unknown["name"])
    return _mistake(path, text, found, what[:1].lower() + what[1:])


def _culprit(document: Any, schema: Any, path: Sequence[str], message: str) -> str:
    """Return the key, of the table at this path, that alone is enough for the same complaint."""
    for key in _at(document, path):
        try:
            msgspec.convert(_with_only(document, path, key), schema)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return "..."


def _at(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _with_only(document: Any, path: Sequence[str], key: str) -> Any:
    """Return the document with the table at this path reduced to one key."""
    if not path:
        return {key: document[key]}
    if isinstance(document, list):
        number = int(path[0])
        return [_with_only(item, path[1:], key) if n == number else item for n, item in enumerate(document)]
    return {**document, path[0]: _with_only(document[path[0]], path[1:], key)}


def _mistake(path: Path, text: str, key: Sequence[str], what: str) -> PhplayerError:
    line = line_of(text, key)
    place = f"{path}, line {line}" if line else f"{path}"
    return PhplayerError(
        f"The catalogue file {place}: {'.'.join(key) or 'the file'}: {what}.", remedy=_remedy(path, "Correct that key")
    )


def _remedy(path: Path, remedy: str) -> str:
    return f"{remedy}, or run: phplayer catalog update" if path.name == USER_FILE else f"{remedy}."


def line_of(text: str, key: Sequence[str]) -> int:
    """Return the line (from 1) on which a key stands, or the nearest table around it; 0 where none does."""
    best = (0, 0)
    for number, path in _keys(text):
        depth = len(path)
        if list(path) == list(key[:depth]) and depth > best[0]:
            best = (depth, number)
    return best[1]


def _keys(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield line and path of each table and key. Arrays of tables count from 0, as the parsed document does."""
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    depth = 0  # of brackets that a value opened and did not close yet
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = _HEADER.fullmatch(line), _KEY.match(line)
        if depth == 0 and header:
            table = tuple(part.strip("\"'") for part in _PART.findall(header["name"]))
            if line.lstrip().startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            yield number, table
            continue
        if depth == 0 and key:
            yield number, (*table, key["name"].strip("\"'"))
        bare = re.sub(r"""\"[^"]*"|'[^']*'|#.*""", "", line)
        depth += bare.count("[") - bare.count("]")
