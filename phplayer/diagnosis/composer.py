"""Composer, for projects with a composer.json."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from phplayer import vendor
from phplayer.diagnosis import compilers
from phplayer.diagnosis.checks import Check
from phplayer.engines.host import HostEngine
from phplayer.errors import EnvironmentMissingError, PhplayerError

if TYPE_CHECKING:
    from phplayer.settings import Settings


def find(settings: Settings) -> Check:
    """Tell whether there is a Composer that runs."""
    try:
        found = vendor.find_composer(settings.text("composer.bin"), relative_to=settings.root)
    except PhplayerError as error:
        if not settings.text("composer.bin") and shutil.which("composer") is None:
            try:
                engine = HostEngine()
                if engine.base.composer:
                    return compilers.missing(engine, engine.base.composer, "Composer")
            except EnvironmentMissingError:
                pass  # no base of ours: how to install Composer here is Composer's own documentation
        return Check(name="Composer", ok=False, remedy=error.remedy)
    return Check(name="Composer", ok=True, found=f"{found.version} ({found.path})")
