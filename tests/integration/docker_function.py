"""A function in a container, laid out as Lambda does: layer at /opt, code at /var/task, its emulator around them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.integration.docker_bed import DockerBed
from tests.ports import free_port

_START = 120.0  # seconds in which an emulated processor starts PHP


def rie(tools: Callable[[str], Path], architecture: str) -> Path:
    """Return Lambda's emulator for that architecture, from the wheel of SAM."""
    (found,) = tools("sam").parent.glob(f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture}")
    return found


def answers(bed: DockerBed, image: str, *, rie: Path, layer: Path, task: Path, events: list[Any]) -> list[Any]:
    """Return what a function, whose handler is ``index``, answers to the events."""
    port = free_port()
    created = bed.docker(
        *("create", "--network", "host", "--env", "_HANDLER=index"),
        *("--env", "LAMBDA_TASK_ROOT=/var/task", "--env", "LD_LIBRARY_PATH=/lib64:/usr/lib64:/opt/lib"),
        *("--env", "AWS_LAMBDA_FUNCTION_TIMEOUT=120", image, "/rie"),
        *(
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
        ),
        "/opt/bootstrap",
    )
    container = created.stdout.strip()
    try:
        bed.docker("cp", f"{layer}/.", f"{container}:/opt")
        bed.docker("cp", task, f"{container}:/var/task")
        bed.docker("cp", rie, f"{container}:/rie")
        bed.docker("start", container)
        try:
            return [json.loads(post(port, event)) for event in events]
        except Exception as error:
            logs = bed.docker("logs", container)
            raise AssertionError(logs.stdout + logs.stderr) from error
    finally:
        bed.docker("rm", "-f", container)


def post(port: int, event: Any) -> bytes:
    """Invoke the function that an emulator of Lambda's has at a port, once it listens."""
    deadline = time.monotonic() + _START
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START)
        with closing(connection):
            try:
                connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            return connection.getresponse().read()
