"""What the commands need in a project's folder, whether it is there, and how it comes there.

Which checks are made depends on the engine that a build would take. What a build cannot do without is *required*;
the rest tells beforehand what ``publish`` and ``invoke`` would stumble over. Each subject has a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phplayer import matrix
from phplayer import vendor as vendoring
from phplayer.diagnosis import aws, compilers, composer, emulation, engine, namespaces, space
from phplayer.diagnosis.checks import Check, Diagnosis, Fix, Step, failure
from phplayer.diagnosis.repair import commands, fixes, repair
from phplayer.engines import DOCKER, HOST, NAMES

if TYPE_CHECKING:
    from phplayer.settings import Settings

__all__ = ["Check", "Diagnosis", "Fix", "Step", "commands", "examine", "failure", "fixes", "repair"]


def examine(settings: Settings) -> Diagnosis:
    """Look at all that the project's settings need.

    Raises:
        UsageError: the settings are wrong.

    """
    runtimes = matrix.runtimes(settings)
    asked = settings.choice("build.engine", NAMES, "engine")
    foreign = compilers.foreign(runtimes)
    daemon, docker = engine.docker(required=asked == DOCKER or bool(foreign)) if asked != HOST else (None, None)
    chosen = DOCKER if daemon is not None or asked == DOCKER else HOST
    checks = [docker] if docker else []
    if daemon is not None:
        checks.extend(emulation.architectures(daemon, runtimes))
        checks.extend(space.docker_room(daemon))
    if chosen == HOST:
        checks.extend(compilers.host(runtimes))
    checks.extend((space.room(), space.memory(settings, daemon)))
    if vendoring.has_project(settings.root):
        checks.append(composer.find(settings))
    checks.append(namespaces.allowed())
    checks.extend(aws.account(settings))
    return Diagnosis(engine=chosen, checks=tuple(checks))
