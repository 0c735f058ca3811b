"""The same calls to our Runtime API and to AWS's own (aws-lambda-rie): the same replies, byte for byte.

The test is the runtime; the bootstrap that AWS's emulator starts only sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from phplayer.emulator.events import Invocation
from phplayer.emulator.runtime_api import RESPONSE_LIMIT, RuntimeApi
from phplayer.emulator.sandbox import Sandbox, SandboxSpec
from phplayer.runtime import Architecture
from tests.integration import docker_function
from tests.ports import free_port

BASE = "/2018-06-01/runtime/"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
EVENT = b'{"n": 1}'
ID = "lambda-runtime-aws-request-id"
PATIENCE = 120.0  # seconds; never a measure


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request of the runtime; ``ID`` in its path is that of the last event."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Played:
    """What the runtime was told, and what the callers of its events were."""

    replies: Sequence[Reply]
    payloads: Sequence[bytes]


NEXT = Call(method="GET", path="invocation/next")
RESPONSE = Call(method="POST", path="invocation/ID/response", body=b'"fine"')
ERROR = Call(method="POST", path="invocation/ID/error", body=b'{"errorType":"E","errorMessage":"no"}')
INIT_ERROR = Call(method="POST", path="init/error", body=ERROR.body)
OTHER_RESPONSE = replace(RESPONSE, path="invocation/other/response")
OTHER_ERROR = replace(ERROR, path="invocation/other/error")
LARGE = b"x" * RESPONSE_LIMIT
MODE = "Lambda-Runtime-Function-Response-Mode"

CALLS: Mapping[str, tuple[Call, ...]] = {
    "answers and errors": (NEXT, RESPONSE, NEXT, ERROR, NEXT, replace(RESPONSE, body=b""), NEXT),
    "asking twice": (NEXT, NEXT, RESPONSE, NEXT),
    "an unknown event, at every time": (
        *(OTHER_RESPONSE, OTHER_ERROR, NEXT, OTHER_RESPONSE, OTHER_ERROR, RESPONSE, OTHER_RESPONSE, OTHER_ERROR),
        *(NEXT, RESPONSE),
    ),
    "after a response": (NEXT, RESPONSE, RESPONSE, ERROR, INIT_ERROR, NEXT, RESPONSE),
    "after an error": (NEXT, ERROR, ERROR, RESPONSE, INIT_ERROR, NEXT, RESPONSE),
    "after a failed start": (INIT_ERROR, INIT_ERROR, OTHER_RESPONSE, OTHER_ERROR, NEXT),
    "a failed start that is none": (NEXT, INIT_ERROR, RESPONSE, NEXT),
    "the largest response": (NEXT, replace(RESPONSE, body=LARGE), NEXT),
    "a larger response": (NEXT, replace(RESPONSE, body=LARGE + b"x"), ERROR, RESPONSE, NEXT, RESPONSE),
    "an unknown mode": (NEXT, replace(RESPONSE, headers={MODE: "dancing"}), RESPONSE, ERROR, NEXT),
    "an unknown mode for an unknown event": (NEXT, replace(OTHER_RESPONSE, headers={MODE: "dancing"})),
    "modes": (
        *(NEXT, replace(RESPONSE, headers={MODE: "streaming"}), NEXT, replace(RESPONSE, headers={MODE: ""}), NEXT),
        replace(RESPONSE, headers={MODE: "Streaming"}),
    ),
    "errors of any form": (
        *(NEXT, replace(ERROR, headers={"Lambda-Runtime-Function-Error-Type": "Function.Own"})),
        *(NEXT, replace(ERROR, headers={"Lambda-Runtime-Function-Error-Type": "whatever"})),
        *(NEXT, replace(ERROR, body=b"no JSON"), NEXT),
    ),
    "paths and methods": (
        Call(method="GET", path="nothing"),
        Call(method="GET", path="invocation/next/"),
        Call(method="GET", path="restore/next"),
        Call(method="POST", path="invocation/next", body=b"{}"),
        Call(method="DELETE", path="invocation/next"),
        Call(method="GET", path="init/error"),
        Call(method="GET", path="invocation/other/response"),
        Call(method="PUT", path="invocation/other/error", body=b"{}"),
    ),
}

NOISE: Mapping[str, bytes] = {
    "no HTTP": b"garbage\r\n\r\n",
    "no length at all": b"POST %sinit/error HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n" % BASE.encode(),
    "a length below zero": b"POST %sinit/error HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" % BASE.encode(),
    "two lengths": b"POST %sx HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" % BASE.encode(),
}


@pytest.fixture(scope="module")
def rie(tools: Callable[[str], Path]) -> Path:
    return docker_function.rie(tools, Architecture.of_this_machine())


@pytest.mark.parametrize("name", CALLS)
def test_every_reply_is_that_of_aws(rie: Path, tmp_path: Path, name: str) -> None:
    calls = CALLS[name]
    here = asyncio.run(on_ours(lambda port, payloads: play(port, calls, payloads)))
    there = asyncio.run(on_aws(rie, tmp_path, lambda port, payloads: play(port, calls, payloads)))
    assert here.payloads == there.payloads
    assert len(here.replies) == len(there.replies)
    for call, ours, theirs in zip(calls, here.replies, there.replies, strict=True):
        # It sends no trace, though Lambda does.
        lacking = {"lambda-runtime-trace-id"} if call == NEXT and ours.status == 200 else set()
        assert (call, ours.status, ours.body) == (call, theirs.status, theirs.body)
        assert set(ours.headers) == set(theirs.headers) | lacking
        for header in ("content-type", "content-length", "allow", "x-content-type-options"):
            assert ours.headers.get(header) == theirs.headers.get(header)


@pytest.mark.parametrize("name", NOISE)
def test_what_is_not_http_is_refused_as_by_aws(rie: Path, tmp_path: Path, name: str) -> None:
    async def said(port: int, _payloads: list[bytes]) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            writer.write(NOISE[name])
            return await asyncio.wait_for(reader.read(), PATIENCE)

    (ours, theirs) = (
        asyncio.run(on_ours(said)).partition(b"\r\n"),
        asyncio.run(on_aws(rie, tmp_path, said)).partition(b"\r\n"),
    )
    assert ours == theirs


async def on_ours(scenario: Callable[[int, list[bytes]], Any]) -> Any:
    """Play a scenario on our Runtime API, which always has an event; it is given the port, and what callers got."""
    payloads: list[bytes] = []

    async def call_on_and_on(api: RuntimeApi) -> None:
        while True:
            invocation = Invocation(
                event=EVENT, function_arn="arn:aws:lambda:us-east-1:123456789012:function:f", timeout=60
            )
            api.offer(invocation)
            payloads.append((await invocation.answered).body)
            api.withdraw(invocation)

    async with RuntimeApi() as api:
        caller = asyncio.create_task(call_on_and_on(api))
        try:
            return await scenario(int(api.address.rpartition(":")[2]), payloads)
        finally:
            caller.cancel()


async def on_aws(rie: Path, folder: Path, scenario: Callable[[int, list[bytes]], Any]) -> Any:
    """Play it on AWS's."""
    bootstrap = folder / "bootstrap"
    bootstrap.write_text("#!/bin/sh\necho started\nexec sleep 600\n")
    bootstrap.chmod(0o755)
    port, api = free_port(), free_port()
    payloads: list[bytes] = []
    log, started, over = bytearray(), asyncio.Event(), threading.Event()

    def hear(data: bytes) -> None:
        log.extend(data)
        if b"\nstarted\n" in log:
            started.set()

    sandbox = await Sandbox.start(
        SandboxSpec(
            command=(
                "/rapid/aws-lambda-rie",
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api}", "/var/task/bootstrap"),
            ),
            environment={"_HANDLER": "index", "AWS_LAMBDA_FUNCTION_TIMEOUT": "600", "PATH": "/usr/bin:/bin"},
            binds={"/var/task": folder, "/rapid/aws-lambda-rie": rie},
        ),
        hear,
    )
    caller = asyncio.create_task(asyncio.to_thread(call_on_and_on, port, payloads, over))
    try:
        await asyncio.wait_for(started.wait(), PATIENCE)
        await asyncio.to_thread(await_server, api)
        return await scenario(api, payloads)
    finally:
        over.set()
        sandbox.kill()
        await caller
        print(log.decode(errors="replace"))  # noqa: T201  pytest keeps it for a failure


def await_server(port: int) -> None:
    """Wait until the port takes connections: the bootstrap may be there sooner."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


def call_on_and_on(port: int, payloads: list[bytes], over: threading.Event) -> None:
    while not over.wait(0.01):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        # It does not listen yet, or was ended.
        with closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/2015-03-31/functions/function/invocations", EVENT)
            payloads.append(connection.getresponse().read())


async def play(port: int, calls: Sequence[Call], payloads: list[bytes]) -> Played:
    """Make the calls, and wait until the callers of all events but the last have been told."""
    return await asyncio.to_thread(_play, port, calls, payloads)


def _play(port: int, calls: Sequence[Call], payloads: list[bytes]) -> Played:
    replies: list[Reply] = []
    last, events = "none", set()
    for call in calls:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with closing(connection):
            connection.request(call.method, BASE + call.path.replace("ID", last), call.body, dict(call.headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            replies.append(Reply(status=response.status, headers=headers, body=response.read()))
        if ID in headers:
            last = headers[ID]
            events.add(last)
    deadline = time.monotonic() + PATIENCE
    told = max(len(events) - 1, 0)
    while len(payloads) < told and time.monotonic() < deadline:
        time.sleep(0.01)
    return Played(replies=replies, payloads=payloads[:told])
