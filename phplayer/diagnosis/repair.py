"""Mends what checks found missing, one thing after another, each with the user's yes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from phplayer.diagnosis.checks import Fix
from phplayer.engines.host import HostEngine
from phplayer.errors import EnvironmentMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.diagnosis.checks import Check, Step


def fixes(checks: Sequence[Check]) -> tuple[Fix, ...]:
    """Return what can be mended here; missing packages are one thing."""
    found: dict[str, Fix] = {}
    for check in checks:
        if check.ok or check.fix is None:
            continue
        new, before = check.fix, found.get(check.fix.what, Fix(what=check.fix.what))
        found[new.what] = Fix(
            what=new.what,
            packages=tuple(dict.fromkeys((*before.packages, *new.packages))),
            then=tuple(dict.fromkeys((*before.then, *new.then))),
        )
    return tuple(found.values())


def commands(fix: Fix) -> tuple[tuple[str, ...], ...]:
    """Return the commands that a repair runs, as it runs them."""
    install = (HostEngine().install_command(fix.packages),) if fix.packages else ()
    return (*install, *(_as_administrator(step) for step in fix.then))


def repair(fix: Fix) -> None:
    """Run its commands; what they print goes to stderr.

    Raises:
        EnvironmentMissingError: one failed; those after it were not run.

    """
    if fix.packages:
        _run(HostEngine().install_command(fix.packages))
    for step in fix.then:
        if step.unless is None or not step.unless.exists():
            _run(_as_administrator(step))


def _as_administrator(step: Step) -> tuple[str, ...]:
    return step.arguments if os.geteuid() == 0 else ("sudo", *step.arguments)


def _run(command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise EnvironmentMissingError(
            f"{command[0]} is not there to install and start things with.",
            remedy=f"As root: {shlex.join(command[1:] if command[0] == 'sudo' else command)}",
        )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        raise EnvironmentMissingError(
            f"{shlex.join(command)} ended with status {done.returncode}.",
            remedy="What it printed says why. Run it by hand, then phplayer doctor again.",
        )
