"""The output folder: ``dist/<name>-<php>-<target>-<arch>/`` and the archives in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer.errors import NothingSelectedError
from phplayer.layer import LayerArchive

if TYPE_CHECKING:
    from pathlib import Path

    from phplayer.runtime import Runtime
    from phplayer.settings import Settings

RUNTIME_ZIP = "runtime.zip"
VENDOR_ZIP = "vendor.zip"


def folder(settings: Settings, runtime: Runtime) -> Path:
    """Return where the archives of this runtime go."""
    name = f"{settings.text('layer.name')}-{runtime.php.short}-{runtime.target.name}-{runtime.architecture}"
    name += runtime.bootstrap.suffix
    return settings.path("build.output") / name


def archives(settings: Settings) -> tuple[LayerArchive, ...]:
    """Return every archive that was built: for each folder the runtime, then the vendor layer if there is one.

    Raises:
        NothingSelectedError: nothing was built yet.
        UsageError: a zip there is not a layer archive.

    """
    output = settings.path("build.output")
    found = [
        LayerArchive.read(path)
        for runtime in sorted(output.glob(f"*/{RUNTIME_ZIP}"))
        for path in (runtime, runtime.with_name(VENDOR_ZIP))
        if path.is_file()
    ]
    if not found:
        raise NothingSelectedError(f"Nothing has been built in {output}.", remedy="Run: phplayer build")
    return tuple(found)
