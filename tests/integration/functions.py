"""Functions made of a few files, run by the real bootstrap in the real sandbox."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phplayer import bootstrap
from phplayer.emulator.function import FunctionSpec, InvokeResult, LocalFunction
from phplayer.runtime import BootstrapMode
from tests.integration.fake_api import assert_no_complaint


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files; PHP gets its opening tag."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        php = name.endswith((".php", ".inc")) and not text.startswith("<?php")
        path.write_text(f"<?php\n{text}" if php else text)
    return folder


def serve(
    opt: Path,
    folder: Path,
    *events: Any,
    handler: str = "index",
    timeout: float = 10.0,
    memory_mb: int = 1024,
    environment: Mapping[str, str] | None = None,
) -> list[InvokeResult]:
    """Serve events, one after the other, by one function."""

    async def run() -> list[InvokeResult]:
        spec = FunctionSpec(
            folder=folder,
            layers=opt,
            handler=handler,
            name="probe",
            timeout=timeout,
            memory_mb=memory_mb,
            environment=environment or {},
        )
        async with LocalFunction(spec) as function:
            return [await function.invoke(json.dumps(event).encode()) for event in events]

    results = asyncio.run(run())
    assert_no_complaint("".join(result.logs for result in results), Path("/opt"))
    return results


def layer(
    built_tree: Path,
    into: Path,
    extra: Mapping[str, str] | None = None,
    *,
    mode: BootstrapMode = BootstrapMode.FUNCTION,
) -> Path:
    """Return a copy of a layer tree with today's bootstrap, and further files as a vendor layer would bring them."""
    shutil.copytree(built_tree, into, copy_function=_link)
    for name in ("bootstrap", "phplayer"):
        path = into / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    bootstrap.write(mode, into)
    return write(into, extra or {})


def shell(folder: Path, script: str) -> Path:
    """Give a function a bootstrap of its own, which goes before that of the layers."""
    path = folder / "bootstrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return folder


def command_of(pid: int) -> str:
    """Return the command line of a process; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def living_in(function: Path) -> list[int]:
    """Processes that see this function's folder as their /var/task."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                str(function) in (folder / "mountinfo").read_text()
                and "/var/task" in (folder / "mountinfo").read_text()
            ):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def _link(source: str, target: str) -> None:
    """Hard links where the file system has them: PHP is large."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
