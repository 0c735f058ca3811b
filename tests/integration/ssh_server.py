"""A real OpenSSH server, for the time of a test: the client's ProxyCommand starts one for each connection.

So it takes no port and nobody waits for it, and nothing of the user's own ``~/.ssh`` is read or written.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.integration.docker_bed import install


@dataclass(frozen=True)
class SshServer:
    """What ``ssh`` of ``path`` gets to."""

    path: Path  # goes before the rest of PATH
    log: Path
    authorized_keys: Path
    known_hosts: Path


def ssh_server(folder: Path, environment: Mapping[str, str]) -> SshServer:
    """Make keys and configurations; ``environment`` is what programs there find."""
    install({"sshd": "openssh-server", "ssh": "openssh-client"})
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks up the part of it that the network talks to
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    server = SshServer(
        path=folder / "bin",
        log=folder / "sshd.log",
        authorized_keys=folder / "authorized_keys",
        known_hosts=folder / "known_hosts",
    )
    server.authorized_keys.write_text((folder / "user.pub").read_text())
    server.known_hosts.write_text(f"* {(folder / 'host.pub').read_text()}")
    environment = {**environment, "SHLVL": "2"}  # or bash would run ~/.bashrc, whatever that does
    variables = " ".join(f'{name}="{value}"' for name, value in environment.items())
    (folder / "sshd_config").write_text(
        f"HostKey {folder / 'host'}\nAuthorizedKeysFile {server.authorized_keys}\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv {variables}\n"
    )
    (folder / "ssh_config").write_text(
        f"Host *\nIdentityFile {folder / 'user'}\nIdentitiesOnly yes\nUserKnownHostsFile {server.known_hosts}\n"
        "GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nBatchMode yes\nIdentityAgent none\n"
        f"ProxyCommand /usr/sbin/sshd -i -f {folder / 'sshd_config'} -E {server.log}\n"
    )
    server.path.mkdir()
    ssh = server.path / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {shlex.quote(str(folder / "ssh_config"))} "$@"\n')
    ssh.chmod(0o755)
    return server
