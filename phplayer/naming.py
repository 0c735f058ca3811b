"""What the layers of a build are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer import vendor
from phplayer.errors import UsageError
from phplayer.layer import MANIFEST_PATHS, LayerName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.runtime import Runtime
    from phplayer.settings import Settings


def layer_name(settings: Settings, runtime: Runtime, kind: str) -> LayerName:
    """Return the name under which a layer of this kind, ``runtime`` or ``vendor``, will be published.

    A runtime layer of another bootstrap mode than the usual one has it at the end of its name, unless ``{mode}``
    puts it elsewhere.

    Raises:
        UsageError: the pattern in the settings is wrong.

    """
    pattern = settings.text(f"layer.{kind}")
    suffix = runtime.bootstrap.suffix if kind == "runtime" and "{mode}" not in pattern else ""
    try:
        return LayerName(
            pattern.format(
                name=settings.text("layer.name"),
                php=runtime.php.short,
                arch=runtime.architecture,
                mode=runtime.bootstrap,
            )
            + suffix
        )
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(
            f"layer.{kind} = {pattern!r} has a placeholder that is none.",
            remedy="Known: {name}, {php}, {arch}, {mode}.",
        ) from error


def check_names(settings: Settings, runtimes: Sequence[Runtime]) -> None:
    """Refuse several builds whose layers would have one name, of which only one could be published.

    Raises:
        UsageError: says which setting tells them apart.

    """
    kinds = [kind for kind in MANIFEST_PATHS if kind != "vendor" or vendor.has_project(settings.root)]
    for kind in kinds:
        of_name: dict[str, list[str]] = {}
        for runtime in runtimes:
            of_name.setdefault(layer_name(settings, runtime, kind), []).append(runtime.identifier)
        for name, identifiers in of_name.items():
            if len(identifiers) > 1:
                raise UsageError(
                    f"The {kind} layers of {', '.join(identifiers)} would all be named {name}.",
                    remedy=f'Tell them apart in phplayer.toml: [layer] {kind} = "{{name}}-{kind}-{{php}}-{{arch}}"',
                )
