"""Builds with a stand-in recipe in processes of their own, and waiting for what they do in the daemon."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.conftest import ROOT


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def client(image: str, folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a build in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.standin", folder, image],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], said: str) -> None:
    """Read what a build says up to that line."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == said:
            return
    raise AssertionError(f"it never said {said!r}: {process.communicate()}")
