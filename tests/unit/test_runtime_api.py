"""The Runtime API emulator over real sockets, spoken to as a runtime would."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from phplayer.emulator.runtime_api import RESPONSE_LIMIT, Answer, Invocation, RuntimeApi

BASE = "/2018-06-01/runtime/"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Runtime:
    """One keep-alive connection of a runtime."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Reply:
        await self.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n", body)
        return await self.reply()

    async def send(self, head: str, body: bytes = b"") -> None:
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def reply(self) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Reply(status=int(head[0].split()[1]), headers=headers, body=body)


def against_api(scenario: Callable[[RuntimeApi, Callable[[], Awaitable[Runtime]]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with RuntimeApi() as api:
            host, port = api.address.split(":")
            writers: list[asyncio.StreamWriter] = []

            async def connect() -> Runtime:
                reader, writer = await asyncio.open_connection(host, int(port))
                writers.append(writer)
                return Runtime(reader, writer)

            await asyncio.wait_for(scenario(api, connect), 5)
            for writer in writers:
                writer.close()

    asyncio.run(run())


Connect = Callable[[], Awaitable[Runtime]]


def invocation(event: bytes = b"{}", timeout: float = 7.0) -> Invocation:
    return Invocation(event=event, function_arn=ARN, timeout=timeout)


def test_an_event_goes_out_with_its_headers_and_the_answer_comes_back() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        runtime = await connect()
        for event in (b'{"n": 1}', b'"' + b"x" * 6_000_000 + b'"'):
            offered = invocation(event)
            api.offer(offered)
            taken = await runtime.ask("GET", f"{BASE}invocation/next")
            assert (taken.status, taken.body) == (200, event)
            assert taken.headers["lambda-runtime-aws-request-id"] == offered.request_id
            assert taken.headers["lambda-runtime-invoked-function-arn"] == ARN
            assert taken.headers["lambda-runtime-trace-id"].startswith("Root=1-")
            left = int(taken.headers["lambda-runtime-deadline-ms"]) / 1000 - time.time()
            assert 6.5 < left <= 7.0
            done = await runtime.ask("POST", f"{BASE}invocation/{offered.request_id}/response", event[::-1])
            assert (done.status, json.loads(done.body)) == (202, {"status": "OK"})
            assert offered.answered.result() == Answer(body=event[::-1], failed=False)

    against_api(scenario)


def test_a_runtime_waits_for_its_event_and_a_dead_one_takes_none() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        dead = await connect()
        await dead.send(f"GET {BASE}invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        await api.idle.wait()
        dead.writer.close()
        await dead.writer.wait_closed()
        await asyncio.sleep(0.05)
        runtime = await connect()
        waiting = asyncio.create_task(runtime.ask("GET", f"{BASE}invocation/next"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        api.offer(invocation(b"[1]"))
        assert (await waiting).body == b"[1]"

    against_api(scenario)


def test_an_event_withdrawn_is_not_handed_out_and_not_answered() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        gone, here = invocation(b"1"), invocation(b"2")
        for offered in (gone, here):
            api.offer(offered)
        api.withdraw(gone)
        runtime = await connect()
        assert (await runtime.ask("GET", f"{BASE}invocation/next")).body == b"2"
        late = await runtime.ask("POST", f"{BASE}invocation/{gone.request_id}/response", b"x")
        assert (late.status, json.loads(late.body)["errorType"]) == (400, "InvalidRequestID")

    against_api(scenario)


def test_an_error_and_a_failed_start_are_told_apart() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation()
        api.offer(offered)
        runtime = await connect()
        await runtime.ask("GET", f"{BASE}invocation/next")
        report = b'{"errorType": "E"}'
        assert (await runtime.ask("POST", f"{BASE}invocation/{offered.request_id}/error", report)).status == 202
        assert offered.answered.result() == Answer(body=report, failed=True)
        assert not api.init_error.done()
        assert (await runtime.ask("POST", f"{BASE}init/error", report)).status == 202
        assert api.init_error.result() == Answer(body=report, failed=True)

    against_api(scenario)


@pytest.mark.parametrize(
    ("method", "path", "status", "error_type"),
    [
        ("POST", f"{BASE}invocation/unknown/response", 400, "InvalidRequestID"),
        ("POST", f"{BASE}invocation/next", 405, "MethodNotAllowed"),
        ("GET", f"{BASE}init/error", 405, "MethodNotAllowed"),
        ("GET", f"{BASE}nothing", 404, "NotFound"),
        ("GET", "/", 404, "NotFound"),
    ],
)
def test_refusals_have_lambdas_shape(method: str, path: str, status: int, error_type: str) -> None:
    async def scenario(_api: RuntimeApi, connect: Connect) -> None:
        refused = await (await connect()).ask(method, path)
        assert (refused.status, json.loads(refused.body)["errorType"]) == (status, error_type)
        assert json.loads(refused.body)["errorMessage"]

    against_api(scenario)


def test_a_second_answer_and_one_too_large_are_refused() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation()
        api.offer(offered)
        runtime = await connect()
        await runtime.ask("GET", f"{BASE}invocation/next")
        path = f"{BASE}invocation/{offered.request_id}/response"
        large = await runtime.ask("POST", path, b"x" * (RESPONSE_LIMIT + 1))
        assert (large.status, json.loads(large.body)["errorType"]) == (413, "RequestEntityTooLarge")
        assert (await runtime.ask("POST", path, b"x" * RESPONSE_LIMIT)).status == 202
        second = await runtime.ask("POST", path, b"2")
        assert (second.status, json.loads(second.body)["errorType"]) == (403, "InvalidStateTransition")

    against_api(scenario)


@pytest.mark.parametrize("failed", [False, True])
def test_a_streamed_answer_may_fail_in_its_trailers(*, failed: bool) -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation()
        api.offer(offered)
        runtime = await connect()
        await runtime.ask("GET", f"{BASE}invocation/next")
        report = base64.b64encode(b'{"errorType":"E"}').decode()
        trailers = (
            f"Lambda-Runtime-Function-Error-Type: E\r\nLambda-Runtime-Function-Error-Body: {report}\r\n"
            if failed
            else ""
        )
        await runtime.send(
            f"POST {BASE}invocation/{offered.request_id}/response HTTP/1.1\r\nHost: x\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n"
            f"3\r\none\r\n4\r\n two\r\n0\r\n{trailers}\r\n"
        )
        assert (await runtime.reply()).status == 202
        expected = b'{"errorType":"E"}' if failed else b"one two"
        assert offered.answered.result() == Answer(body=expected, failed=failed)

    against_api(scenario)


@pytest.mark.parametrize("data", ["garbage\r\n\r\n", "GET / HTTP/1.1\r\n", ""])
def test_a_peer_that_does_not_speak_http_is_hung_up_on(data: str) -> None:
    async def scenario(_api: RuntimeApi, connect: Connect) -> None:
        peer = await connect()
        await peer.send(data)
        peer.writer.write_eof()
        await peer.reader.read()

    against_api(scenario)
