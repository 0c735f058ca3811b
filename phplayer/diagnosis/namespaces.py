"""Mount namespaces: local invocation mounts the layer at /opt in one."""

from __future__ import annotations

import subprocess

from phplayer.diagnosis.checks import Check


def allowed() -> Check:
    """Tell whether this user can make a mount namespace."""
    try:
        may = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:  # no Linux
        may = False
    return Check(
        name="mount namespaces (for invoke)",
        ok=may,
        required=False,
        found="allowed",
        remedy="On Linux, allow them: sysctl kernel.unprivileged_userns_clone=1, or run as root.",
    )
