"""Rules about what Lambda takes: bytes, layers, and files that hide one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer.policy.findings import Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.policy.content import LayerFile
    from phplayer.policy.findings import Finding
    from phplayer.policy.scene import Scene

ZIPPED_SIZE = Rule(
    name="zipped-size",
    severity=Severity.NOTE,
    summary="the zip is over 50 MB, the most that a call to Lambda takes",
    remedy="It goes through S3, where you may put objects; or make it smaller.",
)
UNPACKED_SIZE = Rule(
    name="unpacked-size",
    severity=Severity.ERROR,
    summary="unpacked, the layer alone or with the others is over 262,144,000 bytes",
    remedy="Leave out what is not needed: extensions, locales, debugging information, packages for development.",
)
TOO_MANY_LAYERS = Rule(
    name="too-many-layers",
    severity=Severity.ERROR,
    summary="a function takes five layers",
    remedy="Put the content of several layers into one.",
)
HIDDEN_FILE = Rule(
    name="hidden-file",
    severity=Severity.WARNING,
    summary="a file is hidden by a different one that another layer has at the same path",
    remedy="Give one of them another path, or change the order of the layers.",
)

RULES = (ZIPPED_SIZE, UNPACKED_SIZE, TOO_MANY_LAYERS, HIDDEN_FILE)


def check(scene: Scene) -> Iterator[Finding]:
    """Find what is over a limit, and files of one path in several layers."""
    policy, layer = scene.policy, scene.layer
    if layer.zipped is not None and layer.zipped > policy.zipped_direct:
        yield ZIPPED_SIZE.finding(
            layer.name, f"is {layer.zipped:,} bytes zipped; a call takes {policy.zipped_direct:,}, more goes through S3"
        )
    unpacked = sum(each.unpacked for each in scene.layers)
    if unpacked > policy.unpacked:
        count = len(scene.layers) - 1
        together = f"with {count} other{'s' if count > 1 else ''} " if count else ""
        yield UNPACKED_SIZE.finding(
            layer.name, f"is {together}{unpacked:,} bytes unpacked; Lambda takes {policy.unpacked:,}"
        )
    if len(scene.layers) > policy.layers:
        yield TOO_MANY_LAYERS.finding(
            layer.name, f"is one of {len(scene.layers)} layers; a function takes {policy.layers}"
        )
    seen: dict[str, tuple[str, LayerFile]] = {}
    for each in scene.layers:
        for path, file in each.files.items():
            if path in seen:
                name, hidden = seen[path]
                if (file.checksum, file.size, file.link) != (hidden.checksum, hidden.size, hidden.link):
                    yield HIDDEN_FILE.finding(path, f"of {name} is hidden by that of {each.name}")
            seen[path] = (each.name, file)
