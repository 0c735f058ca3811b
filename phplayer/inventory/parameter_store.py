"""Writes LayerVersionArns to Parameter Store, in the region of each. A value that is there already is not written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from phplayer.events import unheard
from phplayer.inventory import regionwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws import Aws
    from phplayer.events import Listener
    from phplayer.inventory.regionwise import Failure
    from phplayer.parameters import Parameter


class Happened(StrEnum):
    """What became of a parameter."""

    UNCHANGED = "unchanged"
    WRITTEN = "written"
    WOULD_WRITE = "would write"


@dataclass(frozen=True, kw_only=True)
class Written:
    """A parameter and what became of it."""

    parameter: Parameter
    happened: Happened


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What became of all parameters, by region and name."""

    parameters: tuple[Written, ...]
    failures: tuple[Failure, ...]
    regions: int


def write(wanted: Sequence[Parameter], aws: Aws, *, dry_run: bool = False, listen: Listener = unheard) -> Writing:
    """Have each parameter hold its value; with ``dry_run`` only read."""

    def settle(region: str) -> tuple[list[Written], Failure | None]:
        mine = [parameter for parameter in wanted if parameter.region == region]
        there = aws.parameters.values(region, [parameter.name for parameter in mine])

        def put(parameter: Parameter) -> Written:
            if there.get(parameter.name) == parameter.value:
                return Written(parameter=parameter, happened=Happened.UNCHANGED)
            if dry_run:
                return Written(parameter=parameter, happened=Happened.WOULD_WRITE)
            aws.parameters.put(region, parameter.name, parameter.value)
            return Written(parameter=parameter, happened=Happened.WRITTEN)

        return regionwise.one_by_one(mine, put, where=region)

    regions = tuple(dict.fromkeys(parameter.region for parameter in wanted))
    done = regionwise.each(regions, settle, listen=listen)
    return Writing(
        parameters=tuple(written for mine, _ in done.results for written in mine),
        failures=(*done.failures, *(failure for _, failure in done.results if failure is not None)),
        regions=len(regions),
    )
