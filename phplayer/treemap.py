"""A layer's content as one HTML page: a treemap to wander through and the same as a table.

The page loads nothing from anywhere and its policy forbids that it does. What comes from the layer reaches it as
escaped text or as JSON that cannot end its script element.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from phplayer import __version__, filetree, resources
from phplayer.inspection import Kind
from phplayer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.filetree import Node
    from phplayer.inspection import Content

_ROWS = 500  # of the table; the rest is summed up in a last one
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page(contents: Sequence[Content]) -> str:
    """Return the page about one or more layers."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(resources.template("report", "treemap.html.j2").read_text(encoding="utf-8"))
    layers = [_layer(content) for content in contents]
    return template.render(
        layers=layers, data=_script(layers), kinds=[kind.value for kind in Kind], version=__version__
    )


def _script(layers: list[dict[str, Any]]) -> str:
    """Return JSON that may stand in a script element."""
    text = json.dumps([layer["tree"] for layer in layers], ensure_ascii=False, separators=(",", ":"))
    return "".join(_ESCAPES.get(each, each) for each in text)


def _layer(content: Content) -> dict[str, Any]:
    manifest = content.manifest
    facts = {} if manifest is None else {"layer": manifest.layer, "PHP": manifest.php, "for": _machine(manifest)}
    largest = sorted(content.entries, key=lambda entry: (-entry.zipped, entry.path))
    shown, rest = largest[:_ROWS], largest[_ROWS:]
    kinds = {kind: [entry for entry in content.entries if entry.kind is kind] for kind in Kind}
    return {
        "name": printable(str(content.path)),
        "facts": facts,
        "zipped": content.size,
        "unpacked": content.unpacked,
        "files": len(content.entries),
        "packed": content.packed,
        "warnings": content.warnings,
        "tree": _tree(filetree.build(content.entries, name=printable(content.path.name)), content),
        "kinds": sorted(
            (
                {
                    "kind": kind.value,
                    "number": list(Kind).index(kind),
                    "files": len(entries),
                    "zipped": sum(entry.zipped for entry in entries),
                    "size": sum(entry.size for entry in entries),
                }
                for kind, entries in kinds.items()
                if entries
            ),
            key=lambda row: -int(row["zipped"]),
        ),
        "rows": [
            {
                "path": printable(entry.path),
                "kind": entry.kind.value,
                "number": list(Kind).index(entry.kind),
                "from": content.package_of(entry.path),
                "zipped": entry.zipped,
                "size": entry.size,
            }
            for entry in shown
        ],
        "rest": {
            "files": len(rest),
            "zipped": sum(entry.zipped for entry in rest),
            "size": sum(entry.size for entry in rest),
        },
    }


def _machine(manifest: Any) -> str:
    return f"{manifest.lambda_runtime}, {manifest.architecture}"


def _tree(node: Node, content: Content) -> dict[str, Any]:
    """Return a node as the page's script reads it: n(ame), s(ize), z(ipped), f(iles), k(ind), o(rigin), c(hildren)."""
    made: dict[str, Any] = {"n": node.name, "s": node.size, "z": node.zipped}
    if node.kind is not None:
        origin = content.package_of(node.path)
        return made | {"k": list(Kind).index(node.kind)} | ({"o": origin} if origin else {})
    return made | {"f": node.files, "c": list(_children(node, content))}


def _children(node: Node, content: Content) -> Iterator[dict[str, Any]]:
    for child in node.children:
        yield _tree(child, content)
