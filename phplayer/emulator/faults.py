"""Faults of the Runtime API on demand: what a network, or an API in trouble, can do to a runtime.

For tests, as is the account of what was carried out. ``RuntimeApi`` asks its plan of faults about every request; a
plan is any callable.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass


class Route(enum.Enum):
    """The calls that a runtime makes."""

    NEXT = "next"
    RESPONSE = "response"
    ERROR = "error"
    INIT_ERROR = "init/error"


class FaultKind(enum.Enum):
    """What goes wrong."""

    DELAY = "the answer comes late"
    RESET_UNHEARD = "the connection is reset, and the request was not carried out"
    RESET = "the request was carried out, but the connection is reset before the answer"
    TRUNCATED_HEADER = "the answer ends within its headers"
    TRUNCATED_BODY = "the answer ends within its body"
    SERVER_ERROR = "500, and the request was not carried out"
    CLOSE = "the answer is whole and says that the connection will be closed"
    DROP = "the answer is whole, and the connection is closed unannounced"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A call that was carried out, as the API's side sees it."""

    route: Route
    request_id: str  # of the event handed out, or named by the runtime; empty where there is none
    status: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    kind: FaultKind
    seconds: float = 0.0  # of a delay


Faults = Callable[[Route], Fault | None]
"""A plan: asked once for every request, tells what goes wrong with it."""


def none(_route: Route) -> Fault | None:
    """Plan nothing."""
    return None


Witness = Callable[[Exchange], None]
"""Told of every call that was carried out, also if its reply is then lost."""


def ignore(_exchange: Exchange) -> None:
    """Take no notes."""


class Script:
    """The faults in this order for the requests of one route, then none; None in it lets a request pass."""

    def __init__(self, route: Route, *kinds: FaultKind | None, seconds: float = 0.0) -> None:
        self._route = route
        self._kinds = list(kinds)
        self._seconds = seconds

    def __call__(self, route: Route) -> Fault | None:
        """Return the next one."""
        if route is not self._route or not self._kinds:
            return None
        kind = self._kinds.pop(0)
        return kind and Fault(kind=kind, seconds=self._seconds)


class RandomFaults:
    """Faults at random, each kind with a probability of its own; the same seed gives the same ones."""

    def __init__(self, rates: Mapping[FaultKind, float], *, seed: int, seconds: float = 0.02) -> None:
        self._rates = dict(rates)
        self._random = random.Random(seed)  # noqa: S311  nothing secret
        self._seconds = seconds
        self.injected: Counter[FaultKind] = Counter()

    def __call__(self, _route: Route) -> Fault | None:
        """Draw."""
        drawn = self._random.random()
        for kind, rate in self._rates.items():
            drawn -= rate
            if drawn < 0:
                self.injected[kind] += 1
                return Fault(kind=kind, seconds=self._random.random() * self._seconds)
        return None
