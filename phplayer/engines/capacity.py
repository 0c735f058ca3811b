"""What this machine offers to compilers: processors and memory, within the limits of the control group it runs in."""

from __future__ import annotations

import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def processors() -> float:
    """Return how many processors this process may use; a quota may leave it a part of one."""
    own = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    fields = _read("cpu.max").split() or [_read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us")]
    quota, period = (int(field) if field.isdigit() else 0 for field in fields)  # "max" and "-1" stand for no limit
    return min(own, quota / period) if quota and period else own


def memory() -> int:
    """Return how many bytes of memory this machine, or the control group, has."""
    own = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("memory.max") or _read("memory/memory.limit_in_bytes")
    return min(own, int(limit)) if limit.isdigit() else own


def _read(name: str) -> str:
    try:
        return (_GROUPS / name).read_text().strip()
    except OSError:
        return ""
