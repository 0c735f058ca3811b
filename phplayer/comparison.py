"""What two layers differ in: from their manifests where both have one, and from their files in any case."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from phplayer.errors import UsageError
from phplayer.inspection import Kind, is_library, read
from phplayer.layer import RuntimeManifest, VendorManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from phplayer.inspection import Content, Entry
    from phplayer.layer import Manifest

_FIELDS = (
    ("layer", "name"),
    ("php", "PHP"),
    ("lambda_runtime", "runtime"),
    ("architecture", "architecture"),
    ("base", "base"),
    ("engine", "engine"),
    ("bootstrap", "bootstrap"),
    ("composer", "Composer"),
    ("phplayer", "phplayer"),
)


class Change(StrEnum):
    """What became of something."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that the layers differ in; ``old`` and ``new`` are empty where it is not there."""

    what: str  # "layer", "extension", "library", "package", "source"
    name: str
    old: str
    new: str

    @property
    def change(self) -> Change:
        """What became of it."""
        if not self.old:
            return Change.ADDED
        return Change.CHANGED if self.new else Change.REMOVED


@dataclass(frozen=True, kw_only=True)
class FileDifference:
    """A file that is not the same; sizes in bytes, None where it is not there."""

    path: str
    kind: Kind
    old_size: int | None
    new_size: int | None
    old_zipped: int | None
    new_zipped: int | None
    mode: str = ""  # what became of its kind: "executable", "not executable", "a link", "no link"

    @property
    def change(self) -> Change:
        """What became of it."""
        if self.old_size is None:
            return Change.ADDED
        return Change.REMOVED if self.new_size is None else Change.CHANGED

    @property
    def growth(self) -> int:
        """Zipped bytes more."""
        return (self.new_zipped or 0) - (self.old_zipped or 0)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two layers side by side."""

    old: Content
    new: Content
    differences: tuple[Difference, ...]
    files: tuple[FileDifference, ...]  # what grew or shrank most comes first
    same_files: int

    @property
    def differ(self) -> bool:
        """Tell whether there is any difference."""
        return bool(self.differences or self.files)


def compare(old: Path, new: Path) -> tuple[Comparison, ...]:
    """Compare two zips or folders; of two folders of ``phplayer build`` the archives of each kind.

    Raises:
        UsageError: one of them is no layer, or is several.

    """
    olds, news = (_by_kind(path) for path in (old, new))
    if len(olds) == len(news) == 1:
        return (contents(next(iter(olds.values())), next(iter(news.values()))),)
    if set(olds) != set(news):
        raise UsageError(
            f"{old} holds {_list(olds)}, and {new} holds {_list(news)}.",
            remedy="Compare one archive with one: phplayer diff OLD.zip NEW.zip",
        )
    return tuple(contents(olds[kind], news[kind]) for kind in olds)


def _by_kind(path: Path) -> dict[str, Content]:
    found = read(path)
    named = {content.path.name: content for content in found}
    if len(named) < len(found):
        raise UsageError(
            f"{path} holds {len(found)} archives.", remedy="Name a folder in it, or one archive, to compare."
        )
    return named


def _list(named: Iterable[str]) -> str:
    return " and ".join(named)


def contents(old: Content, new: Content) -> Comparison:
    """Compare what two layers hold."""
    files, same = _files(old, new)
    return Comparison(old=old, new=new, differences=tuple(_differences(old, new)), files=files, same_files=same)


def _differences(old: Content, new: Content) -> Iterator[Difference]:
    first, second = old.manifest, new.manifest
    if first is not None and second is not None:
        yield from _of_maps("layer", _fields(first), _fields(second))
    if isinstance(first, RuntimeManifest) and isinstance(second, RuntimeManifest):
        yield from _of_maps("extension", first.extensions, second.extensions)
        yield from _of_maps("source", *({each.name: each.version for each in side.sources} for side in (first, second)))
    if isinstance(first, VendorManifest) and isinstance(second, VendorManifest):
        yield from _of_maps(
            "package", *({each.name: each.version for each in side.packages} for side in (first, second))
        )
    yield from _of_maps("library", _libraries(old), _libraries(new))


def _fields(manifest: Manifest) -> dict[str, str]:
    return {shown: str(getattr(manifest, name)) for name, shown in _FIELDS if hasattr(manifest, name)}


def _libraries(content: Content) -> dict[str, str]:
    """Return each library by its soname, as far as file names tell it, with the package where that is known."""
    present = (entry.path for entry in content.entries if is_library(entry.path))
    return {path.rpartition("/")[2]: content.package_of(path) or "present" for path in present}


def _of_maps(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after:
            yield Difference(what=what, name=name, old=before, new=after)


def _files(old: Content, new: Content) -> tuple[tuple[FileDifference, ...], int]:
    """Return the files that differ, and how many do not. Of entries with the same name the last one counts."""
    before, after = ({entry.path: entry for entry in side.entries} for side in (old, new))
    different = []
    counted: Counter[bool] = Counter()
    for path in sorted({*before, *after}):
        first, second = before.get(path), after.get(path)
        mode = _mode(first, second) if first is not None and second is not None else ""
        same = first is not None and second is not None and (first.crc, first.size) == (second.crc, second.size)
        same = same and not mode
        counted[same] += 1
        if not same:
            different.append(
                FileDifference(
                    path=path,
                    kind=Kind.of(path),
                    old_size=first.size if first else None,
                    new_size=second.size if second else None,
                    old_zipped=first.zipped if first else None,
                    new_zipped=second.zipped if second else None,
                    mode=mode,
                )
            )
    different.sort(key=lambda each: (-abs(each.growth), each.path))
    return tuple(different), counted[True]


def _mode(old: Entry, new: Entry) -> str:
    """Return what a file with the same name is now and was not, or nothing."""
    if old.link != new.link:
        return "a link" if new.link else "no link"
    if old.executable != new.executable:
        return "executable" if new.executable else "not executable"
    return ""
