"""What is known of processes of this machine."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """Tell whether a process of that number exists, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
