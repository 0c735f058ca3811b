"""Properties of the Runtime API emulator's HTTP side, whatever a runtime sends and however it is cut up."""

from __future__ import annotations

import asyncio
import contextlib
import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phplayer.emulator.runtime_api import RuntimeApi
from tests.runtime_peer import BASE, Connect, against_api, invocation, take

# The same examples in every run: a failure in CI must be there on the next run too.
settings.register_profile(
    "sockets", deadline=None, max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck)
)
SOCKETS = settings.get_profile("sockets")


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
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        head = f"POST {path}response HTTP/1.1\r\n{cased('Host', upper)}: x\r\n"
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
            await runtime.send("", data[begin:cut])
            await asyncio.sleep(0)
            begin = max(begin, min(cut, len(data)))
        assert (await runtime.reply()).status == 202
        assert offered.answered.result().body == body

    against_api(scenario)


@SOCKETS
@given(noise=st.binary(max_size=2000) | st.text(max_size=200).map(lambda text: f"GET {text}\r\n\r\n".encode()))
@example(noise=b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n")
@example(noise=b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n")
@example(noise=f"GET {BASE}invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 3)
@example(noise=b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n")
@example(noise=b"\r\n\r\n\r\n")
def test_noise_ends_its_connection_and_costs_no_event(noise: bytes) -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        noisy = await connect()
        noisy.writer.write(noise)
        noisy.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await noisy.reader.read()
        offered, runtime, path = await take(api, connect, b"[1]")
        assert (await runtime.ask("POST", f"{path}response", b"2")).status == 202
        assert offered.answered.result().body == b"2"

    against_api(scenario)


CALLS = st.lists(st.sampled_from(["next", "response", "error", "other", "init/error"]), max_size=12)


@SOCKETS
@given(calls=CALLS)
@example(calls=["init/error", "init/error", "response"])
@example(calls=["next", "next", "response", "error", "next"])
def test_the_states_are_lambdas_in_any_order_of_calls(calls: list[str]) -> None:
    """A model of the one runtime: not started, or never will, or working on an event, or done with it."""

    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        runtime = await connect()
        state, current = "started", ""
        for call in calls:
            if call == "next":
                if state != "running":
                    api.offer(invocation())
                taken = await runtime.ask("GET", f"{BASE}invocation/next")
                assert taken.status == (403 if state == "init/error" else 200)
                if taken.status != 200:
                    continue
                again = state == "running"
                assert not again or taken.headers["lambda-runtime-aws-request-id"] == current
                state, current = "running", taken.headers["lambda-runtime-aws-request-id"]
                continue
            path = call if call == "init/error" else f"invocation/{'other' if call == 'other' else current or 'none'}/"
            path += {"error": "error", "init/error": ""}.get(call, "response")
            reply = await runtime.ask("POST", BASE + path, b"{}")
            if call == "init/error":
                expected = 202 if state == "started" else 403
                state = "init/error" if expected == 202 else state
            elif call == "other" or not current:
                expected = 400
            else:
                expected = 202 if state == "running" else 403
            assert reply.status == expected
            if expected == 202 and call != "init/error":
                state = "done"
            assert ("errorType" in json.loads(reply.body)) == (expected != 202)

    against_api(scenario)
