"""Compilers and libraries of this machine, for the host engine."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from phplayer import recipe
from phplayer.diagnosis.checks import Check, Fix
from phplayer.engines.host import HostEngine
from phplayer.errors import EnvironmentMissingError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.catalog import Base
    from phplayer.runtime import Runtime


def foreign(runtimes: Sequence[Runtime]) -> list[Architecture]:
    """Return the architectures for which this machine does not compile."""
    return sorted({runtime.architecture for runtime in runtimes} - {Architecture.of_this_machine()})


def host(runtimes: Sequence[Runtime]) -> Iterator[Check]:
    """Tell whether this machine compiles for the architectures, and has the packages."""
    others = foreign(runtimes)
    if others:
        yield Check(
            name=f"compiling for {', '.join(others)}",
            ok=False,
            remedy=f"This machine is {Architecture.of_this_machine()}: use Docker, or build where there is the other.",
        )
    try:
        engine = HostEngine()
    except EnvironmentMissingError as error:
        yield Check(name="compiler and libraries", ok=False, remedy=error.remedy)
        return
    packages = {package for runtime in runtimes for package in _of(runtime, engine.base)}
    yield missing(engine, sorted(packages), "compiler and libraries")
    if engine.base.image.ccache:  # where it is empty there is no such package
        ccache = missing(engine, ("ccache",), "ccache")
        told = "Compiling again with other flags is several times faster with it. "
        yield replace(ccache, required=False, remedy=ccache.remedy and told + ccache.remedy)


def _of(runtime: Runtime, base: Base) -> Iterator[str]:
    plan = recipe.plan(runtime, base)
    for part in plan.parts:
        yield from part.packages


def missing(engine: HostEngine, packages: Sequence[str], name: str) -> Check:
    """Tell whether packages are installed."""
    absent = engine.missing(packages)
    if not absent:
        return Check(
            name=name,
            ok=True,
            found=f"{len(packages)} {'package' if len(packages) == 1 else 'packages'} of {engine.base.name}",
        )
    remedy = f"Run: {shlex.join(engine.install_command(absent))}"
    return Check(name=name, ok=False, remedy=remedy, fix=Fix(what="packages", packages=tuple(absent)))
