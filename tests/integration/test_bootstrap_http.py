"""The bootstrap's HTTP against an API that answers in every way that HTTP allows, and some that it does not."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.fake_api import PATIENCE, assert_no_complaint
from tests.integration.functions import layer, write

if TYPE_CHECKING:
    from tests.conftest import Built

ID = "Lambda-Runtime-Aws-Request-Id: one\r\n"
EVENT = b'{"name":"world"}'
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{"status":"OK"}'
PLAIN = f"HTTP/1.1 200 OK\r\n{ID}Content-Length: {len(EVENT)}\r\n\r\n".encode() + EVENT


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


@dataclass
class Script:
    """What the API does: each element answers one request; None hangs up instead."""

    replies: list[bytes | None]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def serve(self, listener: socket.socket) -> None:
        """Answer until the script is at its end; then the API is gone."""
        remaining = iter(self.replies)
        while len(self.requests) < len(self.replies):
            connection, _ = listener.accept()
            self.connections += 1
            connection.settimeout(10)
            with connection:
                while (request := _request(connection)) is not None:
                    self.requests.append(request)
                    reply = next(remaining)
                    if reply is None:
                        break
                    connection.sendall(reply)
                    if b"close" in reply.partition(b"\r\n\r\n")[0] or len(self.requests) == len(self.replies):
                        break
        listener.close()


def _request(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (received := connection.recv(65536)):
            return None
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def api(script: Script) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=script.serve, args=(listener,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive(), f"only {len(script.requests)} requests came: {script.requests}"


Run = Callable[[Script], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(opt: Path, tmp_path: Path) -> Run:
    """Run the bootstrap until the script is at its end. Without a php.ini: nothing may depend on ours."""
    write(tmp_path, {"src/index.php": "function index($data) { return 'Hello, ' . $data['name']; }"})

    def run(script: Script) -> subprocess.CompletedProcess[str]:
        with api(script) as address:
            done = subprocess.run(
                [opt / "bin" / "php", "-n", opt / "bootstrap"],
                env={"AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": "index", "LAMBDA_TASK_ROOT": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert_no_complaint(done.stdout + done.stderr, opt)
            return done

    return run


def answers(script: Script) -> list[bytes]:
    return [request.partition(b"\r\n\r\n")[2] for request in script.requests if request.startswith(b"POST")]


CHUNKED = f"HTTP/1.1 200 OK\r\n{ID}Transfer-Encoding: Chunked\r\n\r\n".encode()
EVENTS = {
    "content length": PLAIN,
    "header names in any case": PLAIN.replace(b"Lambda-Runtime", b"lAMBDA-rUNTIME").replace(b"Length: ", b"LENGTH:\t "),
    "one chunk": CHUNKED + b"10\r\n" + EVENT + b"\r\n0\r\n\r\n",
    "many chunks, extensions, trailers": CHUNKED
    + b"".join(b"01;x=y\r\n%c\r\n" % byte for byte in EVENT)
    + b"0000\r\nX-T: 1\r\n\r\n",
    "until close": f"HTTP/1.0 200 OK\r\n{ID}Connection: close\r\n\r\n".encode() + EVENT,
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "no reason phrase": PLAIN.replace(b"200 OK", b"200"),
}


@pytest.mark.parametrize("form", EVENTS)
def test_an_event_is_read_however_http_frames_it(run: Run, form: str) -> None:
    script = Script([EVENTS[form], ACCEPTED])
    done = run(script)
    assert answers(script) == [b'"Hello, world"']
    assert done.returncode == 1, "the API is gone: the end must not look like success"
    assert "cannot be used any more" in done.stderr


def test_events_share_one_connection(run: Run) -> None:
    script = Script([PLAIN, ACCEPTED] * 50)
    run(script)
    assert len(answers(script)) == 50
    assert script.connections == 1


def test_a_connection_closed_between_events_is_made_anew(run: Run) -> None:
    closing = ACCEPTED.replace(b"Content", b"Connection: close\r\nContent", 1)
    script = Script([PLAIN, closing, None, PLAIN, ACCEPTED])
    run(script)
    assert answers(script) == [b'"Hello, world"'] * 2
    assert script.connections == 3


def test_an_answer_is_repeated_when_the_connection_breaks_before_it_is_accepted(run: Run) -> None:
    script = Script([PLAIN, None, ACCEPTED])
    run(script)
    assert answers(script) == [b'"Hello, world"'] * 2


@pytest.mark.parametrize(
    "reply",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        PLAIN.replace(b"Length: 16", b"Length: -1"),
        PLAIN.replace(b"Length: 16", b"Length: 99999999999999999999"),
        CHUNKED + b"zz\r\n",
        CHUNKED + b"2\r\nabcd",
        CHUNKED.replace(b"Chunked", b"gzip") + EVENT,
    ],
)
def test_what_is_not_http_is_asked_for_again(run: Run, reply: bytes) -> None:
    closes = reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if reply.startswith(b"HTTP") else reply
    script = Script([closes, PLAIN, ACCEPTED])
    run(script)
    assert answers(script) == [b'"Hello, world"']


def test_a_body_cut_short_is_asked_for_again(run: Run) -> None:
    cut = PLAIN.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)[:-5]
    script = Script([cut, PLAIN, ACCEPTED])
    run(script)
    assert answers(script) == [b'"Hello, world"']


def test_an_api_that_is_gone_ends_php_after_a_bounded_number_of_attempts(run: Run) -> None:
    script = Script([None] * 6)
    done = run(script)
    assert done.returncode == 1
    assert len(script.requests) == 6


@pytest.mark.parametrize(
    ("status", "going_on"), [("400 Bad Request", True), ("403 Forbidden", True), ("500 Oops", False)]
)
def test_a_refused_answer(run: Run, status: str, *, going_on: bool) -> None:
    refusal = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    script = Script([PLAIN, refusal, *([PLAIN, ACCEPTED] if going_on else [])])
    done = run(script)
    assert len(answers(script)) == (2 if going_on else 1)
    assert status[:3] in done.stderr
    assert done.returncode == 1


def test_a_response_that_is_too_large_becomes_an_error(run: Run) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large"
    script = Script([PLAIN, refusal, ACCEPTED, PLAIN, ACCEPTED])
    run(script)
    error = script.requests[2]
    assert error.startswith(b"POST /2018-06-01/runtime/invocation/one/error ")
    assert b"\r\nLambda-Runtime-Function-Error-Type: Function.ResponseSizeTooLarge\r\n" in error
    assert json.loads(answers(script)[1])["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(answers(script)) == 3


def test_an_event_that_is_not_json_is_a_failure(run: Run) -> None:
    script = Script([PLAIN.replace(b'"name"', b'"nam\xff"'), ACCEPTED, PLAIN, ACCEPTED])
    run(script)
    assert json.loads(answers(script)[0])["errorType"] == "JsonException"
    assert answers(script)[1] == b'"Hello, world"'


def test_a_failed_start_is_told_once_and_ends_php(opt: Path, tmp_path: Path) -> None:
    script = Script([ACCEPTED])
    with api(script) as address:
        done = subprocess.run(
            [opt / "bin" / "php", "-n", opt / "bootstrap"],
            env={"AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": "none.none", "LAMBDA_TASK_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert script.requests[0].startswith(b"POST /2018-06-01/runtime/init/error ")
    assert b"Lambda-Runtime-Function-Error-Type: Runtime.NoSuchHandler\r\n" in script.requests[0]
    assert done.returncode == 1
    assert json.loads(done.stderr)["errorType"] == "Runtime.NoSuchHandler"


def test_outside_of_lambda_it_says_so(opt: Path) -> None:
    command: list[str | Path] = [opt / "bin" / "php", "-n", opt / "bootstrap"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AWS_LAMBDA_RUNTIME_API is not set" in done.stderr


def test_classes_are_found_as_the_tokenizer_finds_them(opt: Path, built: Built, tmp_path: Path) -> None:
    """The scanner reads without the tokenizer; on real code both must agree."""
    code = {
        "heredoc.php": "$a = <<<X\n  class No {}\n  X . 'class No {}' . \"class No {}\"; class Yes {}",
        "anonymous.php": "$a = new class extends B {}; $b = Foo::class; class Yes2 extends Foo {}",
        "comments.php": "// class No {} ?> class Html {} <?php # class No {}\n#[A('class')] final class Yes3 {}",
        "names.php": "namespace A\\B { interface I {} } namespace { trait T {} } namespace C; enum E: string {}",
        "enum.php": "function enum() {} enum(); class enum2 { const enum = 1; function class() {} } enum F {}",
        "member.php": "$x->class; $x?->trait; X::interface(); class Yes4 {} __halt_compiler(); class No {}",
        "gap.php": "abstract class /* no */ Gap // here\n { } interface\nJ extends Gap\\X {}",
    }
    write(tmp_path, code)
    probe = """
        require $argv[1];
        foreach (array_slice($argv, 2) as $file) {
            $code = file_get_contents($file);
            $tokens = array_values(array_filter(PhpToken::tokenize($code), fn ($t) => !$t->isIgnorable()));
            [$namespace, $expected] = ['', []];
            foreach ($tokens as $i => $token) {
                if ($token->is(T_HALT_COMPILER)) break;
                $next = $tokens[$i + 1] ?? null;
                if ($token->is(T_NAMESPACE)) $namespace = $next->text === '{' ? '' : $next->text . '\\\\';
                $declares = $token->is([T_CLASS, T_INTERFACE, T_TRAIT, T_ENUM]) && $next?->is(T_STRING);
                if ($declares && !$tokens[max(0, $i - 1)]->is([T_NEW, T_FUNCTION, T_DOUBLE_COLON])) {
                    $expected[] = $namespace . $next->text;
                }
            }
            echo json_encode([basename($file), $expected, Phplayer\\ClassScanner::classes($code)]), "\\n";
        }
    """
    (tmp_path / "probe").write_text("<?php\n" + probe)
    scanner = opt / "phplayer" / "ClassScanner.php"
    ours = sorted((opt / "phplayer").glob("*.php"))
    command: list[str | Path] = [
        opt / "bin" / "php",
        "-n",
        tmp_path / "probe",
        scanner,
        *sorted(tmp_path.glob("*.php")),
        *ours,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(code) + len(ours)
    for name, expected, found in rows:
        assert found == expected, name
        assert found or name == "bootstrap", name


LARGE = f"function index($data) {{ return $data ? str_repeat('x', {8 << 20}) : 'small'; }}"
SMALL = f"HTTP/1.1 200 OK\r\n{ID}Content-Length: 2\r\n\r\n[]".encode()
EARLY = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large"


@pytest.mark.parametrize("said", [EARLY, EARLY[:20], b""], ids=["413", "cut short", "nothing"])
def test_a_response_refused_while_it_is_sent_becomes_an_error(opt: Path, tmp_path: Path, said: bytes) -> None:
    """The API hangs up in the middle of the body, with a word of the reason or without."""
    write(tmp_path, {"src/index.php": LARGE})
    seen: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        events = iter([PLAIN, SMALL])
        while True:
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE)
            with connection:
                while head := _head(connection):
                    seen.append(head.split(b" HTTP")[0])
                    if b"/response" in seen[-1] and b"Content-Length: 7\r\n" not in head:
                        connection.sendall(said)
                        break  # what was not read makes the kernel reset the connection
                    if seen[-1].startswith(b"GET"):
                        if (event := next(events, None)) is None:
                            listener.close()
                            return
                        connection.sendall(event)
                    else:
                        connection.sendall(ACCEPTED)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        done = subprocess.run(
            [opt / "bin" / "php", "-n", opt / "bootstrap"],
            env={
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
                "_HANDLER": "index",
                "LAMBDA_TASK_ROOT": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        thread.join(PATIENCE)
    requests = [request.rpartition(b"/")[2] for request in seen]
    attempts = requests.index(b"error") - 1
    assert requests[attempts + 1 :] == [b"error", b"next", b"response", b"next"], done.stderr
    assert attempts == (1 if said == EARLY else 6)
    assert "Function.ResponseSizeTooLarge" in done.stderr


def _head(connection: socket.socket) -> bytes:
    """Return the head of a request; of its body, no more than came with it is taken if it is small."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (received := connection.recv(1)):
            return b""
        data += received
    length = next((int(line[15:]) for line in data.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
    if length < 1 << 20:
        while length:
            length -= len(connection.recv(length))
    return data
