"""Ports for servers that must be told theirs before they start."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_LOWEST = 15000
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now and is no other server's by the time it is used.

    It lies below the range that the kernel gives out to outgoing connections, which would take it in between.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(min(_LOWEST, first_ephemeral - 1), first_ephemeral)  # noqa: S311  nothing secret
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:  # taken
                continue
        return port
