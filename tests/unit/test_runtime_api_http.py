"""The HTTP of the Runtime API: slow peers, pipelines, bodies without a length, and what is no HTTP."""

from __future__ import annotations

import json

import pytest

from phplayer.emulator.runtime_api import RuntimeApi
from tests.runtime_peer import BASE, Connect, against_api, invocation, take

NEXT = f"GET {BASE}invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("garbage\r\n\r\n", "400 Bad Request"),
        (f"GET {BASE}invocation/next HTTP/1.1\r\n\r\n", "400 Bad Request"),  # without a host
        (f"POST {BASE}init/error HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", "400 Bad Request"),
        (f"POST {BASE}init/error HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented"),
    ],
)
def test_what_is_not_http_is_refused(data: str, status: str) -> None:
    async def scenario(_api: RuntimeApi, connect: Connect) -> None:
        peer = await connect()
        await peer.send(data)
        head, _, body = (await peer.reader.read()).decode().partition("\r\n\r\n")
        assert head.splitlines()[0] == f"HTTP/1.1 {status}"
        assert "connection: close" in head.lower()
        assert body == status

    against_api(scenario)


@pytest.mark.parametrize(
    "data", ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", ""]
)
def test_a_peer_that_stops_halfway_is_hung_up_on(data: str) -> None:
    async def scenario(_api: RuntimeApi, connect: Connect) -> None:
        peer = await connect()
        await peer.send(data)
        peer.writer.write_eof()
        await peer.reader.read()

    against_api(scenario)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{BASE}invocation/next", 405),
        ("GET", f"{BASE}init/error", 405),
        ("GET", f"{BASE}nothing", 404),
        ("GET", "/", 404),
    ],
)
def test_a_wrong_path_or_method_leaves_the_connection_open(method: str, path: str, status: int) -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        peer = await connect()
        assert (await peer.ask(method, path)).status == status
        api.offer(invocation(b"[1]"))
        assert (await peer.ask("GET", f"{BASE}invocation/next")).body == b"[1]"

    against_api(scenario)


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        path += "response"
        await runtime.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await runtime.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await runtime.send("", b"yes")
        assert (await runtime.reply()).status == 202
        assert offered.answered.result().body == b"yes"

    against_api(scenario)


def test_a_pipeline_is_served_in_order() -> None:
    """The second and third request come before the first has its reply, and are kept."""

    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation(b"[1]")
        runtime = await connect()
        path = f"{BASE}invocation/{offered.request_id}/response"
        answer = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nyes"
        await runtime.send(NEXT + answer + NEXT)
        await api.idle.wait()
        api.offer(offered)
        assert (await runtime.reply()).body == b"[1]"
        assert (await runtime.reply()).status == 202
        assert (await offered.answered).body == b"yes"
        api.offer(invocation(b"[2]"))
        assert (await runtime.reply()).body == b"[2]"

    against_api(scenario)


def test_a_slow_client_is_waited_for() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        path += "response"
        other = await connect()
        for byte in f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n":
            assert not offered.answered.done()
            await runtime.send(byte)
            assert (await other.ask("GET", f"{BASE}nothing")).status == 404, "others are served meanwhile"
        assert (await runtime.reply()).status == 202
        assert offered.answered.result().body == b"yes"

    against_api(scenario)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_answer_without_a_length_is_empty(version: str) -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        path += "response"
        await runtime.send(f"POST {path} HTTP/{version}\r\nHost: x\r\n\r\n")
        reply = await runtime.reply()
        assert (reply.status, json.loads(reply.body)) == (202, {"status": "OK"})
        assert offered.answered.result().body == b""
        if version == "1.0":
            assert await runtime.reader.read() == b"", "there the connection ends with the reply"

    against_api(scenario)


def test_an_answer_cut_off_is_none() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        path += "response"
        await runtime.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        runtime.writer.write_eof()
        await runtime.reader.read()
        assert not offered.answered.done()
        again = await connect()
        assert (await again.ask("POST", path, b"whole")).status == 202
        assert offered.answered.result().body == b"whole"

    against_api(scenario)


def test_a_sole_runtime_that_asks_again_gets_the_event_on_its_new_connection() -> None:
    """Its old one is of no use, whether or not the end of it is seen already."""

    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        lost, runtime = await connect(), await connect()
        for each in (lost, runtime):
            await each.send(f"GET {BASE}nothing HTTP/1.1\r\nHost: x\r\n\r\n{NEXT}")
            assert (await each.reply()).status == 404, "and what came with it is under way"
        api.offer(invocation(b"[1]"))
        assert (await runtime.reply()).body == b"[1]"

    against_api(scenario)
