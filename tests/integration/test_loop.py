"""The loop over many events: memory, workers, logs, and HTTP in whatever pieces it arrives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.fake_api import PATIENCE, FakeApi
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Built

ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{"status":"OK"}'


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def function(folder: Path, source: str) -> Path:
    return write(folder, {"src/index.php": source})


class Wire:
    """One connection of the bootstrap, in our hands."""

    def __init__(self, opt: Path, folder: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.process = subprocess.Popen(
            [opt / "bin" / "php", "-n", opt / "bootstrap"],
            env={
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._listener.getsockname()[1]}",
                "LAMBDA_TASK_ROOT": str(folder),
                "PATH": os.environ["PATH"],
                "_HANDLER": "index",
            },
            stdin=subprocess.DEVNULL,
        )
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(PATIENCE)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self._connection.close()
        self._listener.close()

    def request(self) -> bytes:
        """Return the body of the next request."""
        while True:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if end:
                at = head.find(b"Content-Length:")
                length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
                if len(rest) >= length:
                    self._data = rest[length:]
                    return rest[:length]
            received = self._connection.recv(1 << 20)
            assert received, "the bootstrap hung up"
            self._data += received

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._connection.sendall(piece)


def event(body: bytes, *, chunks: Sequence[int] = (), upper: bool = False) -> bytes:
    """Return a response to `next`; with ``chunks``, in chunks of those sizes and the rest in one."""
    head = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\n"
    head = head.upper() if upper else head
    if not chunks:
        return head + b"content-LENGTH:%d\r\n\r\n%b" % (len(body), body)
    framed = b""
    for size in (*chunks, len(body)):
        piece, body = body[:size], body[size:]
        framed += b"%X\r\n%b\r\n" % (len(piece), piece) if piece else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def test_memory_is_flat_over_a_hundred_thousand_events(opt: Path, tmp_path: Path) -> None:
    source = """
        function index($data) {
            $held = new stdClass(); $held->self = $held;
            return [memory_get_usage(), (int) explode(' ', file_get_contents('/proc/self/statm'))[1] * 4096];
        }
    """
    reply, usage, resident = event(b'{"name":"world"}'), [], []
    with Wire(opt, function(tmp_path, source)) as wire:
        wire.request()
        for _ in range(100_000):
            wire.send(reply)
            used, pages = json.loads(wire.request())
            usage.append(used)
            resident.append(pages)
            wire.send(ACCEPTED)
            wire.request()
    assert usage[-1] - usage[1000] < 100_000
    assert resident[-1] - resident[1000] < 1 << 20


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text("abc\u00e9", min_size=1), inner, min_size=1),
    max_leaves=20,
)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_events_arrive_whole_in_whatever_pieces(opt: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Any JSON, any framing, cut anywhere: it comes back as it was."""
    with Wire(opt, function(tmp_path, "function index($data) { return $data; }")) as wire:
        wire.request()
        for value in data.draw(st.lists(JSON, min_size=20, max_size=20)):
            body = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode()
            chunks = data.draw(st.lists(st.integers(1, 20), max_size=8))
            raw = event(body, chunks=chunks, upper=data.draw(st.booleans()))
            cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
            wire.send(*(raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)))
            assert repr(json.loads(wire.request())) == repr(value), "a number too is of the type that it was"
            wire.send(ACCEPTED)
            wire.request()


def test_six_megabytes_go_both_ways_in_either_framing(opt: Path, tmp_path: Path) -> None:
    text = "ab\u00e9\\\n" * 780_000
    body = json.dumps(text, ensure_ascii=False).encode()
    assert 6_000_000 < len(body) < 6 << 20
    with Wire(opt, function(tmp_path, "function index($data) { return $data; }")) as wire:
        wire.request()
        for chunks in ([], [32768] * (len(body) // 32768)):
            raw = event(body, chunks=chunks)
            sender = threading.Thread(target=wire.send, args=(raw,))
            sender.start()
            assert json.loads(wire.request()) == text
            sender.join()
            wire.send(ACCEPTED)
            wire.request()


LOGS = """
    function index($how) {
        echo "first\\nsecond\\npart";
        trigger_error("two\\nlines", E_USER_WARNING);
        trigger_error('old', E_USER_DEPRECATED);
        @trigger_error('suppressed');
        Phplayer\\Log::write('INFO', "mine\\r\\nown", ['n' => 1]);
        throw new Exception("bad\\nnews");
    }
"""


def test_the_log_as_text(opt: Path, tmp_path: Path) -> None:
    ran = FakeApi(events=[1]).run(opt, function(tmp_path, LOGS))
    path = f"{tmp_path}/src/index.php"
    # Read with newline="\n": a carriage return is no line end here, nor in CloudWatch.
    first, second, part, *rest, failure = ran.log.rstrip("\n").split("\n")
    assert [first, second] == ["first", "second"]
    assert part.startswith("part")
    said = part + "\n" + "\n".join(rest)
    assert f"PHP Warning:  two\rlines in {path} on line 5" in said
    assert "PHP Deprecated:  old" in said
    assert 'mine\rown {"n":1}' in said
    assert "suppressed" not in said
    assert json.loads(failure)["errorMessage"] == "bad\nnews"


def test_the_log_as_json(opt: Path, tmp_path: Path) -> None:
    settings = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    ran = FakeApi(events=[1]).run(opt, function(tmp_path, LOGS), environment=settings)
    records: list[dict[str, Any]] = [json.loads(line) for line in ran.log.splitlines()]
    assert [record["level"] for record in records] == ["INFO", "INFO", "WARN", "INFO", "INFO", "ERROR"]
    assert {record["requestId"] for record in records} == {"0"}
    assert all(record["timestamp"].endswith("Z") for record in records)
    messages = [record.get("message") for record in records]
    assert messages == ["first", "second", "two\nlines", "mine\r\nown", "part", None]
    assert records[-1]["errorType"] == "Exception"


def test_a_log_level_hides_what_is_below_it_but_no_failure(opt: Path, tmp_path: Path) -> None:
    settings = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "FATAL"}
    ran = FakeApi(events=[1]).run(opt, function(tmp_path, LOGS), environment=settings)
    (record,) = [json.loads(line) for line in ran.log.splitlines()]
    assert record["errorMessage"] == "bad\nnews"


def test_the_context_holds_all_that_lambda_says(opt: Path, tmp_path: Path) -> None:
    source = "function index($d, $c) { return [$c, getenv('_X_AMZN_TRACE_ID'), $_SERVER['_X_AMZN_TRACE_ID']]; }"
    headers = {
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:f:live",
        "Lambda-Runtime-Trace-Id": "Root=1-2-3",
        "lambda-runtime-client-context": '{"client":{"app_title":"t"}}',
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i"}',
        "Lambda-Runtime-Aws-Tenant-Id": "blue",
    }
    ran = FakeApi(events=[1], headers=headers).run(
        opt, function(tmp_path, source), environment={"AWS_LAMBDA_FUNCTION_VERSION": "7"}
    )
    context, exported, server = ran.told[0].json
    assert exported == server == context["traceId"] == "Root=1-2-3"
    assert context["functionArn"].endswith(":live")
    assert (context["functionName"], context["functionVersion"], context["tenantId"]) == ("probe", "7", "blue")
    assert context["clientContext"]["client"]["app_title"] == "t"
    assert context["identity"]["cognitoIdentityId"] == "i"
