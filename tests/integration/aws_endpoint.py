"""AWS endpoints on loopback: moto's server (faults go in front of it: ``fault_proxy``)."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.fault_proxy import Call, Faults, faulty_proxy
from tests.ports import free_port

__all__ = ["ACCOUNT", "CREDENTIALS", "Call", "Faults", "faulty_proxy", "moto_server", "reset"]

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ACCOUNT = "123456789012"  # moto's


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """Run moto's server in a process of its own and yield its URL. ``log`` gets what it prints."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"} | CREDENTIALS
    program = Path(sys.executable).with_name("moto_server")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(urlsplit(url).port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(url, server, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def reset(url: str) -> None:
    """Make the server forget everything."""
    _ask(url, "POST", "/moto-api/reset")


def _ask(url: str, method: str, path: str) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request(method, path)
        connection.getresponse().read()
    finally:
        connection.close()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            _ask(url, "GET", "/moto-api/data.json")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"moto_server did not start:\n{log.read_text()}")
