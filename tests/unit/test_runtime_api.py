"""The Runtime API emulator over real sockets, spoken to as a runtime would."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import time

import pytest

from phplayer.emulator.events import Answer, Caller
from phplayer.emulator.faults import Exchange, FaultKind, RandomFaults, Route, Script
from phplayer.emulator.runtime_api import RESPONSE_LIMIT, RuntimeApi
from tests.runtime_peer import ARN, BASE, Connect, against_api, invocation, take


def test_an_event_goes_out_with_its_headers_and_the_answer_comes_back() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        runtime = await connect()
        for event in (b'{"n": 1}', b'"' + b"x" * 6_000_000 + b'"'):
            offered = invocation(event)
            api.offer(offered)
            before = time.time()
            taken = await runtime.ask("GET", f"{BASE}invocation/next")
            assert (taken.status, taken.body) == (200, event)
            assert taken.headers["lambda-runtime-aws-request-id"] == offered.request_id
            assert taken.headers["lambda-runtime-invoked-function-arn"] == ARN
            trace = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0"
            assert re.fullmatch(trace, taken.headers["lambda-runtime-trace-id"])
            deadline = int(taken.headers["lambda-runtime-deadline-ms"]) / 1000
            assert before - 0.001 <= deadline - 7.0 <= time.time()
            done = await runtime.ask("POST", f"{BASE}invocation/{offered.request_id}/response", event[::-1])
            assert (done.status, json.loads(done.body)) == (202, {"status": "OK"})
            assert offered.answered.result() == Answer(body=event[::-1], failed=False)

    against_api(scenario)


def test_a_runtime_waits_for_its_event_and_a_dead_one_takes_none() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        ask = f"GET {BASE}nothing HTTP/1.1\r\nHost: x\r\n\r\nGET {BASE}invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
        dead, runtime = await connect(), await connect()
        for each in (runtime, dead):
            await each.send(ask)
            assert (await each.reply()).status == 404, "and what came with it is under way"
        dead.writer.write_eof()
        await dead.reader.read()  # it has been noticed
        waiting = asyncio.create_task(runtime.reply())
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
        for request_id in (gone.request_id, "unknown"):
            late = await runtime.ask("POST", f"{BASE}invocation/{request_id}/response", b"x")
            assert (late.status, json.loads(late.body)["errorType"]) == (400, "InvalidRequestID")

    against_api(scenario)


def test_an_error_and_a_failed_start_are_told_apart() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        report = b'{"errorType": "E"}'
        assert (await runtime.ask("POST", f"{path}error", report)).status == 202
        assert offered.answered.result() == Answer(body=report, failed=True)
        assert not api.init_error.done()
        assert (await runtime.ask("POST", f"{BASE}init/error", report)).status == 403, "the start has not failed"
        api.expect_runtime()
        started = await connect()
        assert (await started.ask("POST", f"{BASE}init/error", report)).status == 202
        assert api.init_error.result() == Answer(body=report, failed=True)

    against_api(scenario)


def test_a_second_answer_is_refused() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        assert (await runtime.ask("POST", f"{path}response", b"x" * RESPONSE_LIMIT)).status == 202
        for second, target in (("response", "InvocationResponse"), ("error", "InvocationErrorResponse")):
            refused = await runtime.ask("POST", path + second, b"2")
            report = json.loads(refused.body)
            assert (refused.status, report["errorType"]) == (403, "InvalidStateTransition")
            assert report["errorMessage"] == (
                f"State transition from RuntimeResponseSentState to {target} failed for runtime. "
                "Error: State transition is not allowed"
            )
        assert len(offered.answered.result().body) == RESPONSE_LIMIT

    against_api(scenario)


def test_an_answer_that_is_too_large_is_the_events_error() -> None:
    """As with Lambda's emulator: the caller is told at once, and a report of the runtime's own comes too late."""

    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        large = await runtime.ask("POST", f"{path}response", b"x" * (RESPONSE_LIMIT + 1))
        assert (large.status, json.loads(large.body)["errorType"]) == (413, "RequestEntityTooLarge")
        answer = offered.answered.result()
        assert answer.failed
        assert json.loads(answer.body) == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
        assert (await runtime.ask("POST", f"{path}error", b"{}")).status == 403

    against_api(scenario)


@pytest.mark.parametrize("failed", [False, True])
def test_a_streamed_answer_may_fail_in_its_trailers(*, failed: bool) -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation()
        pieces: list[bytes] = []
        offered.on_data = pieces.append
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
        error_type = "E" if failed else ""
        assert offered.answered.result() == Answer(body=expected, failed=failed, error_type=error_type)
        assert pieces == [b"one", b" two"]
        assert offered.answered.result().first_byte is not None

    against_api(scenario)


def test_what_the_caller_sends_along_arrives_in_headers() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation()
        offered.caller = Caller(
            client_context='{\n "custom": {"name": "\u00fc"}}',
            cognito_identity='{"cognitoIdentityId": "a", "cognitoIdentityPoolId": "b"}',
            tenant_id="tenant-1",
            trace_id="Root=1-2-3;Parent=4;Sampled=1",
        )
        api.offer(offered)
        headers = (await (await connect()).ask("GET", f"{BASE}invocation/next")).headers
        assert json.loads(headers["lambda-runtime-client-context"]) == {"custom": {"name": "\u00fc"}}
        assert json.loads(headers["lambda-runtime-cognito-identity"])["cognitoIdentityPoolId"] == "b"
        assert headers["lambda-runtime-aws-tenant-id"] == "tenant-1"
        assert headers["lambda-runtime-trace-id"] == "Root=1-2-3;Parent=4;Sampled=1"

    against_api(scenario)


def test_a_runtime_that_asks_again_before_its_answer_gets_the_same_event() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        first, second = invocation(b"1"), invocation(b"2")
        for offered in (first, second):
            api.offer(offered)
        replies = [await (await connect()).ask("GET", f"{BASE}invocation/next") for _ in range(2)]
        assert [reply.body for reply in replies] == [b"1", b"1"]
        assert replies[0].headers == replies[1].headers, "the deadline too stays"

    against_api(scenario)


def test_an_unknown_response_mode_is_refused() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        refused = await runtime.ask(
            "POST",
            f"{path}response",
            b"x",
            headers="Lambda-Runtime-Function-Response-Mode: dancing\r\n",
        )
        assert (refused.status, json.loads(refused.body)["errorType"]) == (400, "InvalidFunctionResponseMode")
        assert offered.answered.result().error_type == "Runtime.InvalidResponseModeHeader"

    against_api(scenario)


def test_several_runtimes_work_side_by_side() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        runtimes = [await connect() for _ in range(3)]
        waiting = [asyncio.create_task(runtime.ask("GET", f"{BASE}invocation/next")) for runtime in runtimes]
        offered = [invocation(str(number).encode()) for number in range(3)]
        for each in offered:
            api.offer(each)
        taken = await asyncio.gather(*waiting)
        assert sorted(reply.body for reply in taken) == [b"0", b"1", b"2"]
        for runtime, reply in zip(reversed(runtimes), reversed(taken), strict=True):
            path = f"{BASE}invocation/{reply.headers['lambda-runtime-aws-request-id']}/response"
            assert (await runtime.ask("POST", path, reply.body * 2)).status == 202
            assert (await runtime.ask("POST", path, b"again")).status == 403
        assert [each.answered.result().body for each in offered] == [b"00", b"11", b"22"]
        for each in offered:
            api.withdraw(each)
            path = f"{BASE}invocation/{each.request_id}/error"
            assert (await runtimes[0].ask("POST", path, b"late")).status == 403, "its answer is remembered"
        unknown = await runtimes[0].ask("POST", f"{BASE}invocation/unknown/response")
        assert unknown.status == 400, "with several there is no one state to be in"

    against_api(scenario, concurrency=3)


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    "kind", [FaultKind.RESET, FaultKind.RESET_UNHEARD, FaultKind.TRUNCATED_HEADER, FaultKind.TRUNCATED_BODY]
)
def test_an_event_that_did_not_get_through_is_handed_out_again(kind: FaultKind, concurrency: int) -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation(b"the event")
        api.offer(offered)
        broken = await connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await broken.ask("GET", f"{BASE}invocation/next")
        runtime = await connect()
        assert (await runtime.ask("GET", f"{BASE}invocation/next")).body == b"the event"
        assert (await runtime.ask("POST", f"{BASE}invocation/{offered.request_id}/response", b"1")).status == 202

    against_api(scenario, concurrency=concurrency, faults=Script(Route.NEXT, kind))


def test_an_answer_counts_even_if_its_acknowledgement_is_lost() -> None:
    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered, runtime, path = await take(api, connect)
        path += "response"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await runtime.ask("POST", path, b"1")
        assert offered.answered.result().body == b"1"
        assert (await (await connect()).ask("POST", path, b"1")).status == 403

    against_api(scenario, faults=Script(Route.RESPONSE, FaultKind.RESET))


def test_faults_that_leave_the_reply_whole() -> None:
    kinds = (FaultKind.CLOSE, FaultKind.DROP, FaultKind.DELAY, FaultKind.SERVER_ERROR)

    async def scenario(api: RuntimeApi, connect: Connect) -> None:
        offered = invocation()
        api.offer(offered)
        for kind in kinds:
            runtime = await connect()
            reply = await runtime.ask("GET", f"{BASE}invocation/next")
            assert reply.status == (500 if kind is FaultKind.SERVER_ERROR else 200)
            assert ("connection" in reply.headers) == (kind is FaultKind.CLOSE)
            if kind in (FaultKind.CLOSE, FaultKind.DROP):
                assert await runtime.reader.read() == b""

    against_api(scenario, faults=Script(Route.NEXT, *kinds, seconds=0.01))


def test_random_faults_repeat_with_their_seed() -> None:
    rates = {FaultKind.RESET: 0.2, FaultKind.DELAY: 0.2}
    one, two = (RandomFaults(rates, seed=7) for _ in range(2))
    drawn = [one(Route.NEXT) for _ in range(200)]
    assert drawn == [two(Route.NEXT) for _ in range(200)]
    assert set(one.injected) == set(rates)
    assert None in drawn


def test_a_witness_is_told_what_was_carried_out_even_if_the_reply_is_lost() -> None:
    told: list[Exchange] = []

    async def run() -> str:
        async with RuntimeApi(faults=Script(Route.RESPONSE, FaultKind.RESET), witness=told.append) as api:
            offered = invocation()
            api.offer(offered)
            host, port = api.address.split(":")
            for call in (f"GET {BASE}invocation/next", f"POST {BASE}invocation/{offered.request_id}/response"):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(f"{call} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            return offered.request_id

    request_id = asyncio.run(run())
    assert told == [
        Exchange(route=Route.NEXT, request_id=request_id, status=200),
        Exchange(route=Route.RESPONSE, request_id=request_id, status=202),
    ]
