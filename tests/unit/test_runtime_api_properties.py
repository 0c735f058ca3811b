"""Properties of the Runtime API emulator's HTTP side, whatever a runtime sends and however it is cut up."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phplayer.emulator.events import Invocation
from phplayer.emulator.runtime_api import RuntimeApi

BASE = "/2018-06-01/runtime/"
PATIENCE = 120.0  # seconds; never a measure
# The same examples in every run: a failure in CI must be there on the next run too.
settings.register_profile(
    "sockets", deadline=None, max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck)
)
SOCKETS = settings.get_profile("sockets")

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def on_an_api(scenario: Callable[[RuntimeApi, Callable[[], Awaitable[Connection]]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with RuntimeApi() as api:
            host, port = api.address.split(":")
            writers = []

            async def connect() -> Connection:
                reader, writer = await asyncio.open_connection(host, int(port))
                writers.append(writer)
                return reader, writer

            try:
                await asyncio.wait_for(scenario(api, connect), PATIENCE)
            finally:
                for writer in writers:
                    writer.close()
                await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    asyncio.run(run())


async def reply(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def ask(connection: Connection, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    reader, writer = connection
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return await reply(reader)


def invocation(event: bytes = b"{}") -> Invocation:
    return Invocation(event=event, function_arn="arn:aws:lambda:us-east-1:123456789012:function:f", timeout=60)


def cased(text: str, upper: int) -> str:
    """Write a header's name in a case of its own."""
    return "".join(letter.upper() if upper >> place & 1 else letter.lower() for place, letter in enumerate(text))


@SOCKETS
@given(
    body=st.binary(max_size=3000),
    chunks=st.none() | st.lists(st.integers(1, 500), max_size=8),
    cuts=st.lists(st.integers(0, 4000), max_size=6),
    upper=st.integers(0, 2**40),
)
def test_an_answer_arrives_however_it_is_framed_and_cut(
    body: bytes, chunks: list[int] | None, cuts: list[int], upper: int
) -> None:
    async def scenario(api: RuntimeApi, connect: Callable[[], Awaitable[Connection]]) -> None:
        offered = invocation()
        api.offer(offered)
        connection = await connect()
        await ask(connection, "GET", f"{BASE}invocation/next")
        head = f"POST {BASE}invocation/{offered.request_id}/response HTTP/1.1\r\n{cased('Host', upper)}: x\r\n"
        if chunks is None:
            data = f"{head}{cased('Content-Length', upper)}: {len(body)}\r\n\r\n".encode() + body
        else:
            data = f"{head}{cased('Transfer-Encoding', upper)}: chunked\r\n\r\n".encode()
            rest = body
            for size in [*chunks, len(body)]:
                piece, rest = rest[:size], rest[size:]
                data += b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
            data += b"0\r\n\r\n"
        begin = 0
        for cut in [*sorted(cuts), len(data)]:
            connection[1].write(data[begin:cut])
            await connection[1].drain()
            await asyncio.sleep(0)
            begin = max(begin, min(cut, len(data)))
        assert (await reply(connection[0]))[0] == 202
        assert offered.answered.result().body == body

    on_an_api(scenario)


@SOCKETS
@given(noise=st.binary(max_size=2000) | st.text(max_size=200).map(lambda text: f"GET {text}\r\n\r\n".encode()))
@example(noise=b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n")
@example(noise=b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n")
@example(noise=f"GET {BASE}invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 3)
@example(noise=b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n")
@example(noise=b"\r\n\r\n\r\n")
def test_noise_ends_its_connection_and_costs_no_event(noise: bytes) -> None:
    async def scenario(api: RuntimeApi, connect: Callable[[], Awaitable[Connection]]) -> None:
        reader, writer = await connect()
        writer.write(noise)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        offered = invocation(b"[1]")
        api.offer(offered)
        connection = await connect()
        status, headers, event = await ask(connection, "GET", f"{BASE}invocation/next")
        assert (status, event) == (200, b"[1]")
        path = f"{BASE}invocation/{headers['lambda-runtime-aws-request-id']}/response"
        assert (await ask(connection, "POST", path, b"2"))[0] == 202
        assert offered.answered.result().body == b"2"

    on_an_api(scenario)


CALLS = st.lists(st.sampled_from(["next", "response", "error", "other", "init/error"]), max_size=12)


@SOCKETS
@given(calls=CALLS)
@example(calls=["init/error", "init/error", "response"])
@example(calls=["next", "next", "response", "error", "next"])
def test_the_states_are_lambdas_in_any_order_of_calls(calls: list[str]) -> None:
    """A model of the one runtime: not started, or never will, or working on an event, or done with it."""

    async def scenario(api: RuntimeApi, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        state, current = "started", ""
        for call in calls:
            if call == "next":
                if state != "running":
                    api.offer(invocation())
                status, headers, _ = await ask(connection, "GET", f"{BASE}invocation/next")
                assert status == (403 if state == "init/error" else 200)
                if status != 200:
                    continue
                again = state == "running"
                assert not again or headers["lambda-runtime-aws-request-id"] == current
                state, current = "running", headers["lambda-runtime-aws-request-id"]
                continue
            path = call if call == "init/error" else f"invocation/{'other' if call == 'other' else current or 'none'}/"
            path += {"error": "error", "init/error": ""}.get(call, "response")
            status, _, body = await ask(connection, "POST", BASE + path, b"{}")
            if call == "init/error":
                expected = 202 if state == "started" else 403
                state = "init/error" if expected == 202 else state
            elif call == "other" or not current:
                expected = 400
            else:
                expected = 202 if state == "running" else 403
            assert status == expected
            if expected == 202 and call != "init/error":
                state = "done"
            assert ("errorType" in json.loads(body)) == (expected != 202)

    on_an_api(scenario)
