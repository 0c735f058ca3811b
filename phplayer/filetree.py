"""The files of a layer as a tree of folders, with sizes summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from phplayer.inspection import Entry, Kind

_DEEPEST = 40  # folders; what lies deeper is shown as one name, for a zip can nest without end


@dataclass(frozen=True, kw_only=True)
class Node:
    """A folder, or a file where it has no children; the largest child comes first."""

    name: str
    path: str
    size: int  # bytes, unpacked
    zipped: int  # bytes
    files: int
    kind: Kind | None  # of a file
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the tree as it is printed."""

    guide: str  # the branches to the left of the name
    name: str
    node: Node | None  # none where the row stands for what was left out
    size: int
    zipped: int


class _Folder:
    def __init__(self) -> None:
        self.folders: dict[str, _Folder] = {}
        self.entries: list[tuple[str, Entry]] = []


def build(entries: Iterable[Entry], *, name: str) -> Node:
    """Return the tree of some files."""
    root = _Folder()
    for entry in entries:
        parts = [part for part in entry.path.split("/") if part not in {"", "."}] or [entry.path]
        parts = [*parts[:_DEEPEST], "/".join(parts[_DEEPEST:])] if len(parts) > _DEEPEST else parts
        folder = root
        for part in parts[:-1]:
            folder = folder.folders.setdefault(part, _Folder())
        folder.entries.append((parts[-1], entry))
    return _node(root, name=name, path="")


def _node(folder: _Folder, *, name: str, path: str) -> Node:
    prefix = f"{path}/" if path else ""
    children = [_node(each, name=f"{printable(part)}/", path=prefix + part) for part, each in folder.folders.items()]
    children += [
        Node(name=printable(part), path=entry.path, size=entry.size, zipped=entry.zipped, files=1, kind=entry.kind)
        for part, entry in folder.entries
    ]
    children.sort(key=lambda child: (-child.zipped, -child.size, child.name))
    return Node(
        name=name,
        path=path,
        size=sum(child.size for child in children),
        zipped=sum(child.zipped for child in children),
        files=sum(child.files for child in children),
        kind=None,
        children=tuple(children),
    )


def lines(node: Node, *, depth: int, limit: int) -> Iterator[Line]:
    """Yield the rows of a tree ``depth`` folders deep, with at most ``limit`` rows in each folder (0: all)."""
    yield Line(guide="", name=node.name, node=node, size=node.size, zipped=node.zipped)
    yield from _below(node, depth=depth, limit=limit, indent="")


def _below(node: Node, *, depth: int, limit: int, indent: str) -> Iterator[Line]:
    if depth <= 0:
        return
    # One row that says "1 more" would take the place of that one.
    shown = node.children if not limit or len(node.children) <= limit + 1 else node.children[:limit]
    rest = node.children[len(shown) :]
    for number, child in enumerate(shown):
        last = number == len(shown) - 1 and not rest
        yield Line(
            guide=f"{indent}{'└─' if last else '├─'} ",
            name=child.name,
            node=child,
            size=child.size,
            zipped=child.zipped,
        )
        yield from _below(child, depth=depth - 1, limit=limit, indent=indent + ("   " if last else "│  "))
    if rest:
        files = sum(child.files for child in rest)
        yield Line(
            guide=f"{indent}└─ ",
            name=f"… {len(rest)} more ({files} file{'' if files == 1 else 's'})",
            node=None,
            size=sum(child.size for child in rest),
            zipped=sum(child.zipped for child in rest),
        )
