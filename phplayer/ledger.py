"""The ledger, ``phplayer.lock.json``: the record of every LayerVersionArn that was published.

Users commit it, so it is sorted and indented: one entry is one group of lines, and branches that published different
layers merge. Each ARN is recorded the moment it exists, by reading, adding and replacing the file under a lock that
other phplayer processes respect; a killed run leaves the file as it was. What cannot be read is never written over.

Entries are keyed by endpoint, account, region and layer name, so a local endpoint never passes for AWS. A layer can
have many versions; the one that was published last (or found unchanged by the last publish) is ``current``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from phplayer import cache
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

SCHEMA_VERSION = 1

AWS_ENDPOINT = "aws"
"""What an entry calls AWS's own endpoints; any other endpoint is recorded by its URL."""


@dataclass(frozen=True, kw_only=True, order=True)
class LedgerKey:
    """Where a layer is published."""

    endpoint: str
    account: str
    region: str
    layer: str


_WORD = r"[a-zA-Z0-9][a-zA-Z0-9._-]*"


def _like(pattern: str) -> msgspec.Meta:
    return msgspec.Meta(pattern=rf"^(?:{pattern})\Z")


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One published layer version. What goes on into scripts and templates has no character that means more there."""

    endpoint: str
    account: Annotated[str, _like(r"[0-9]{12}")]
    region: Annotated[str, _like(r"[a-z0-9-]+")]
    layer: Annotated[str, _like(r"[a-zA-Z0-9_-]{1,140}")]
    version: int
    current: bool = False
    in_use: bool = False  # said by the user (`layers keep`): never pruned
    arn: Annotated[str, _like(r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+")]
    kind: Annotated[str, _like("runtime|vendor")]
    php: Annotated[str, _like(_WORD)]
    architecture: Annotated[str, _like(_WORD)]
    lambda_runtime: Annotated[str, _like(_WORD)]
    key: str  # of the build
    code_sha256: str  # base64, as Lambda reports it
    size: int  # bytes, zipped

    @property
    def place(self) -> LedgerKey:
        """The key that all versions of this layer there share."""
        return LedgerKey(endpoint=self.endpoint, account=self.account, region=self.region, layer=self.layer)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: int
    layers: tuple[Entry, ...] = ()


class _Version(msgspec.Struct, frozen=True):
    """Read first, so that a newer file is called newer and not broken."""

    schema_version: int


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the ledger held when it was read, in the order of the file."""

    entries: tuple[Entry, ...] = ()

    def find(self, place: LedgerKey, code_sha256: str) -> Entry | None:
        """Return the newest version there that has this content."""
        same = [entry for entry in self.entries if entry.place == place and entry.code_sha256 == code_sha256]
        return max(same, key=lambda entry: entry.version, default=None)

    def current(self) -> tuple[Entry, ...]:
        """Return one entry for each place: the version that the last publish settled on.

        After a merge of two branches two versions can be marked; then the higher number counts.
        """
        chosen: dict[LedgerKey, Entry] = {}
        for entry in sorted(self.entries, key=lambda entry: (entry.current, entry.version)):
            chosen[entry.place] = entry
        return tuple(chosen[place] for place in sorted(chosen))

    def adding(self, new: Entry) -> Ledger:
        """Return a ledger with this version in it, as the current one of its place."""
        there = [entry for entry in self.entries if _where(entry) == _where(new)]
        elsewhere = [entry for entry in self.entries if _where(entry) != _where(new)]
        known = any(entry.in_use for entry in there if entry.version == new.version)
        others = [
            msgspec.structs.replace(entry, current=False) if entry.current else entry
            for entry in there
            if entry.version != new.version
        ]
        made = msgspec.structs.replace(new, current=True, in_use=new.in_use or known)
        entries = sorted([*elsewhere, *others, made], key=lambda entry: (_where(entry), entry.version))
        return Ledger(entries=tuple(entries))

    def without(self, gone: Collection[tuple[LedgerKey, int]]) -> Ledger:
        """Return a ledger that lacks these versions."""
        return Ledger(entries=tuple(entry for entry in self.entries if (entry.place, entry.version) not in gone))


def _where(entry: Entry) -> tuple[str, str, str, str]:
    """Return what ``place`` is made of: a ledger of thousands of entries is compared and sorted for each new one."""
    return (entry.endpoint, entry.account, entry.region, entry.layer)


def encode(ledger: Ledger) -> bytes:
    """Return the file's bytes, the same for the same ledger."""
    document = _File(schema_version=SCHEMA_VERSION, layers=ledger.entries)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read(path: Path) -> Ledger:
    """Read the ledger; a file that does not exist yet is an empty one.

    Raises:
        UsageError: it is damaged, of a newer phplayer, or its folder does not exist.

    """
    _check_folder(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Ledger()
    except IsADirectoryError as error:
        raise UsageError(f"The ledger {path} is a folder.", remedy="Name a file (publish.ledger, --ledger).") from error
    return decode(data, str(path))


def decode(data: bytes, title: str) -> Ledger:
    """Read a ledger's bytes; ``title`` names them in errors.

    Raises:
        UsageError: they are damaged, or of a newer phplayer.

    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise UsageError(
                f"The ledger {title} was written by a newer phplayer (schema {version}, this one knows "
                f"{SCHEMA_VERSION}).",
                remedy="Upgrade phplayer.",
            )
        return Ledger(entries=msgspec.json.decode(data, type=_File).layers)
    except msgspec.DecodeError as error:
        if b"<<<<<<<" in data:
            remedy = "It has the marks of a merge conflict. To keep what both branches published: phplayer ledger merge"
        else:
            remedy = "Restore it from version control, or move it away: publish finds again what AWS has."
        raise UsageError(f"The ledger {title} is damaged: {error}. It was left as it is.", remedy=remedy) from error


def record(path: Path, entry: Entry, *, gone: int | None = None) -> None:
    """Add the entry to the file, or make it the current one of its place, instead of a version that is gone from there.

    Raises:
        UsageError: the file cannot be read (see ``read``).
        OSError: it cannot be written; it is as it was.

    """
    lost = {(entry.place, gone)} if gone is not None and gone != entry.version else set()
    change(path, lambda before: before.without(lost).adding(entry))


def change(path: Path, work: Callable[[Ledger], Ledger]) -> None:
    """Replace the ledger by what ``work`` makes of it; no other phplayer process writes meanwhile.

    Raises:
        UsageError: the file cannot be read (see ``read``).
        OSError: it cannot be written; it is as it was.

    """
    path = path.resolve()  # a symbolic link stays one, and every way to the file takes the same lock
    with _locked(path):
        before = read(path)
        after = work(before)
        if after != before:
            _replace(path, encode(after))


def write(path: Path, new: Ledger) -> None:
    """Write this ledger whatever the file holds; only a merge, which has read all there is, may do so.

    Raises:
        OSError: it cannot be written; it is as it was.

    """
    path = path.resolve()
    with _locked(path):
        _replace(path, encode(new))


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(
            f"The ledger {path} cannot be kept: its folder does not exist.",
            remedy="Create the folder, or name another file (publish.ledger, --ledger).",
        )


def check_writable(path: Path) -> None:
    """See that what will be published can be recorded, before anything is.

    Raises:
        UsageError: nothing can be written beside the file.

    """
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            return
    except OSError as error:
        raise UsageError(
            f"The ledger {path} cannot be written: {error.strerror or error}.",
            remedy="Make room, correct the folder's permissions, or name another file (publish.ledger, --ledger).",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the ledger's folder: nothing is left in it, and it is the same lock for every user and container there."""
    import fcntl

    _check_folder(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:  # some network file systems lock no folders
            with cache.lock(f"ledger-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"):
                yield
        else:
            yield
    finally:
        os.close(folder)


def _replace(path: Path, data: bytes) -> None:
    """Write the whole file or nothing; the umask decides who may read it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
