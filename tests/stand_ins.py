"""Builds that stand in for real ones, as functions of a module, so that other processes find them.

What one does is the name of its layer, ``layer.name``; what it leaves behind lies in its project's folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from phplayer import catalog
from phplayer.batch import Request
from phplayer.building import BuildResult
from phplayer.engines import EngineOptions
from phplayer.errors import BuildFailedError, EnvironmentMissingError
from phplayer.events import Listener, Noted, PhaseFinished, PhaseStarted
from phplayer.runtime import Architecture, BootstrapMode, Runtime
from phplayer.settings import Settings


class UnportableError(Exception):
    """Cannot be made again from its arguments, as many exceptions of libraries."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"for {reason}")


_RAISED: dict[str, Exception] = {
    "fail": BuildFailedError("It broke.", remedy="Mend it.", log=Path("/logs/build.log"), details=("last line",)),
    "lack": EnvironmentMissingError("No compiler.", remedy="Install one."),
    "full": OSError(28, "No space left on device", "/cache/x"),
    "unportable": UnportableError(reason="the test"),
}


def runtime(php: str, architecture: Architecture = Architecture.X86_64) -> Runtime:
    known = catalog.load()
    return known.runtime(
        php=php,
        extensions=("minimal",),
        target=known.default_target,
        architecture=architecture,
        bootstrap=BootstrapMode.FUNCTION,
    )


def request(folder: Path, php: str, does: str, **more: Any) -> Request:
    settings = Settings.load(start=folder, environment={}, flags={"layer.name": does})
    return Request(settings=settings, runtime=runtime(php), options=EngineOptions(), source=None, jobs=1, **more)


def build(request: Request, listener: Listener) -> BuildResult:
    """Do what the layer's name says."""
    folder, does, subject = request.settings.root, request.settings.text("layer.name"), request.runtime.identifier
    listener(PhaseStarted(subject=subject, phase="compile"))
    (folder / f"{subject}.started").write_text(str(os.getpid()))
    if does == "meet":  # ends only when another one runs beside it
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*.started"))) < 2:
            assert time.monotonic() < deadline, "nobody came"
            time.sleep(0.02)
    elif does == "alone":  # fails when another one runs beside it
        (folder / "busy").mkdir()
        time.sleep(0.2)
        (folder / "busy").rmdir()
    elif does in _RAISED:
        raise _RAISED[does]
    elif does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif does == "hang":  # as an engine does: a program that must not outlive the build, and a folder to remove
        process = subprocess.Popen(["sleep", "300"], start_new_session=True)
        (folder / f"{subject}.sleep").write_text(str(process.pid))
        try:
            for _ in range(3000):
                listener(Noted(message="working"))
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
            (folder / f"{subject}.cleaned").touch()
    listener(PhaseFinished(subject=subject, phase="compile", seconds=0.1, outcome="done"))
    return BuildResult(runtime=request.runtime, folder=folder, layers=(), seconds=0.1)
