"""The budget of a layer: how large its zip may be, and who takes the most of it where it is larger.

An archive is packed beside its place and takes it when it is within the budget. One that is not stays beside: it can
be looked into, it is not published, and it takes its place without any work once the budget is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phplayer import inspection
from phplayer.errors import BuildFailedError
from phplayer.inspection import Kind
from phplayer.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from phplayer.inspection import Content, Entry
    from phplayer.layer import LayerArchive
    from phplayer.settings import Settings

SETTINGS = {"runtime": "layer.max_size", "vendor": "layer.max_vendor_size"}
"""The setting that limits each kind of layer."""

_MEGABYTE = 1_000_000  # bytes
_NAMED = 10  # contributors that a refusal names
_VENDOR_DEPTH = 2  # vendor/NAME/PACKAGE/...
_ALONE = {Kind.PHP, Kind.EXTENSION, Kind.LIBRARY}  # kinds of which each file counts for itself


@dataclass(frozen=True, kw_only=True)
class Contributor:
    """What takes room in a layer: a library, an extension, a Composer package, all of a kind."""

    name: str
    zipped: int  # bytes
    size: int  # bytes, unpacked


def aside(path: Path) -> Path:
    """Return where an archive waits that has not been found to be within its budget."""
    return path.with_name(f"{path.stem}.over-budget{path.suffix}")


def admit(found: LayerArchive, path: Path, settings: Settings) -> LayerArchive:
    """Put the archive in its place if it is within the budget.

    Raises:
        BuildFailedError: it is not; it was put aside, and what stood in its place before is still there unless it
            was this one.
        UsageError: the budget is no size.

    """
    setting = SETTINGS[found.kind]
    limit = settings.size(setting)
    waiting = aside(path)
    if limit and found.size > limit:
        if found.path != waiting:
            found.path.replace(waiting)
        raise _refusal(replace(found, path=waiting), settings, setting, limit)
    if found.path != path:
        found.path.replace(path)
    waiting.unlink(missing_ok=True)
    return replace(found, path=path)


def contributors(content: Content) -> tuple[Contributor, ...]:
    """Return what takes room in a layer, the largest first."""
    sums: dict[str, tuple[int, int]] = {}
    for entry in content.entries:
        name = _contributor(entry, content)
        zipped, size = sums.get(name, (0, 0))
        sums[name] = (zipped + entry.zipped, size + entry.size)
    made = (Contributor(name=name, zipped=zipped, size=size) for name, (zipped, size) in sums.items())
    return tuple(sorted(made, key=lambda each: (-each.zipped, each.name)))


def _contributor(entry: Entry, content: Content) -> str:
    if entry.kind in _ALONE:
        package = content.package_of(entry.path)
        name = printable(entry.path.rpartition("/")[2])
        return f"{entry.kind} {name} ({package})" if package else f"{entry.kind} {name}"
    if entry.kind is Kind.PACKAGE:
        parts = entry.path.partition("vendor/")[2].split("/")[:_VENDOR_DEPTH]
        if len(parts) == _VENDOR_DEPTH and parts[0] != "composer":
            return f"{entry.kind} {printable('/'.join(parts))}"
        return "Composer's autoloader"
    return entry.kind.value


def _refusal(found: LayerArchive, settings: Settings, setting: str, limit: int) -> BuildFailedError:
    content = inspection.read_zip(found.path)
    lines = ["  zipped   unpacked  share  what"]
    lines += [
        f"{_size(each.zipped):>9} {_size(each.size):>10} {100 * each.zipped / found.size:4.0f} %  {each.name}"
        for each in contributors(content)[:_NAMED]
    ]
    return BuildFailedError(
        f"The {found.kind} layer is {_size(found.size)} zipped, {found.size - limit:,} bytes over its budget of "
        f"{_size(limit)} ({setting}, from {settings.origins[setting]}).",
        remedy=f"Leave out what is not needed, or raise {setting}. The archive is kept for a look, not for publishing: "
        f"phplayer inspect {found.path}",
        details=tuple(lines),
    )


def _size(size: int) -> str:
    return f"{size / _MEGABYTE:.2f} MB" if size >= _MEGABYTE else f"{size / 1000:.2f} kB"
