"""What a sandbox's processes hold, from /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of a group of processes, in KiB."""

    peak: int  # sum of each one's largest resident size
    charged: int  # what cannot be dropped and read again: anonymous memory, and shared memory once


def children(pid: int) -> tuple[int, ...]:
    """Return the processes that a process has started; nothing when it has ended."""
    try:
        return tuple(int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except OSError:
        return ()


def descendants(pid: int) -> tuple[int, ...]:
    """Return the children, oldest first, then theirs; those of a process that ends meanwhile may be missing."""
    found = list(children(pid))
    for each in found:
        found.extend(children(each))
    return tuple(found)


def memory(pids: tuple[int, ...]) -> Memory:
    """Measure processes; those that have ended count nothing."""
    peak, anonymous, shared = 0, 0, 0
    for pid in pids:
        figures = _figures(pid)
        peak += figures.get("VmHWM", 0)
        anonymous += figures.get("RssAnon", 0)
        shared = max(shared, figures.get("RssShmem", 0))
    return Memory(peak=peak, charged=anonymous + shared)


def _figures(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return {}
    wanted = ("VmHWM:", "RssAnon:", "RssShmem:")
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(wanted)}
