"""Lambda's own emulator (aws-lambda-rie, shipped inside aws-sam-cli) drives the same bootstrap in our sandbox."""

from __future__ import annotations

import asyncio
import http.client
import json
import platform
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phplayer.emulator.function import FunctionSpec, environment
from phplayer.emulator.sandbox import Sandbox, SandboxSpec
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from tests.conftest import Built

SOURCE = """
    function index($data, Phplayer\\Context $context) {
        if ($data === 'throw') throw new DomainException('not today');
        if ($data === 'exit') exit(0);
        if ($data === 'memory') return str_repeat('x', 1 << 40);
        return ['Hello, ' . $data['name'], $context->remainingMs() > 0, strlen($context->requestId)];
    }
"""


@pytest.fixture(scope="module")
def rie(tools: Callable[[str], Path]) -> Path:
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    (found,) = tools("sam").parent.glob(f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}")
    return found


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def post(port: int, event: Any) -> bytes:
    deadline = time.monotonic() + 10
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with closing(connection):
            try:
                connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # it is not listening yet
                continue
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            return connection.getresponse().read()


def under_rie(rie: Path, opt: Path, task: Path, *events: Any) -> tuple[list[Any], str]:
    async def run() -> tuple[list[Any], str]:
        port, api = free_port(), f"127.0.0.1:{free_port()}"
        spec = FunctionSpec(folder=task, layers=opt, handler="index", name="probe")
        flags = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", api)
        log = bytearray()
        sandbox = await Sandbox.start(
            SandboxSpec(
                command=("/rapid/aws-lambda-rie", *flags, "/opt/bootstrap"),
                environment=environment(spec, api=api),
                binds={"/opt": opt, "/var/task": task, "/rapid/aws-lambda-rie": rie},
            ),
            log.extend,
        )
        try:
            answers: list[Any] = []
            for event in events:
                ask: Awaitable[bytes] = asyncio.to_thread(post, port, event)
                answers.append(json.loads(await ask))
        finally:
            sandbox.kill()
        return answers, log.decode(errors="replace")

    return asyncio.run(run())


def test_the_tutorials_function_answers(rie: Path, opt: Path, tmp_path: Path) -> None:
    task = write(tmp_path, {"src/index.php": "function index($data) { return 'Hello, ' . $data['name']; }"})
    answers, log = under_rie(rie, opt, task, {"name": "world"}, {"name": "again"})
    assert answers == ["Hello, world", "Hello, again"], log


def test_failures_are_told_and_the_next_event_is_served(rie: Path, opt: Path, tmp_path: Path) -> None:
    task = write(tmp_path, {"src/index.php": SOURCE})
    world = {"name": "world"}
    answers, log = under_rie(rie, opt, task, world, "throw", world, "exit", world, "memory", world)
    fine = ["Hello, world", True, 36]
    assert [answers[index] for index in (0, 2, 4, 6)] == [fine] * 4, log
    assert [answers[index]["errorType"] for index in (1, 3, 5)] == [
        "DomainException",
        "Function.Exit",
        "Function.OutOfMemory",
    ]
    assert answers[1]["errorMessage"] == "not today"
    assert answers[1]["stackTrace"] == ["/var/task/src/index.php:4 index"]


def test_a_failed_start_is_told(rie: Path, opt: Path, tmp_path: Path) -> None:
    (answer,), log = under_rie(rie, opt, tmp_path, {})
    assert answer["errorType"] == "Runtime.NoSuchHandler", log
    assert "/var/task/src/index.php, which does not exist" in answer["errorMessage"]
