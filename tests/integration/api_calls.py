"""A proxy that notes which permissions the requests to AWS take, by botocore's own models of the services."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import botocore.session

from tests.serving import running

PASSED_OVER = {"sts:GetCallerIdentity"}  # needs no permission

PERMISSIONS = {
    "lambda:GetLayerVersionByArn": "lambda:GetLayerVersion",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
}
"""Operations whose permission has another name (AWS's Service Authorization Reference)."""


def permissions(method: str, target: str, headers: Mapping[str, str], body: bytes) -> set[str]:
    """Return the permissions that a request takes: its operation's, and those that it implies."""
    operation = operation_of(method, target, headers, body)
    if operation in PASSED_OVER:
        return set()
    found = {PERMISSIONS.get(operation, operation)}
    if operation.startswith("lambda:"):
        content = json.loads(body) if body else {}
        if "S3Bucket" in content.get("Content", {}):
            found.add("s3:GetObject")  # Lambda reads it in the caller's name
        if content.get("Layers"):
            found.add("lambda:GetLayerVersion")
        if content.get("Role"):
            found.add("iam:PassRole")
    return found


def operation_of(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return ``service:Operation``."""
    scope = re.search(r"Credential=[^/]+/\d+/[a-z0-9-]+/([a-z0-9-]+)/", headers.get("Authorization", ""))
    assert scope is not None, f"not signed: {method} {target}"
    service = scope[1]
    if "X-Amz-Target" in headers:
        return f"{service}:{headers['X-Amz-Target'].rpartition('.')[2]}"
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        return f"{service}:{parse_qs(body.decode())['Action'][0]}"
    path, keys = urlsplit(target).path, {name for name, _ in parse_qsl(urlsplit(target).query, keep_blank_values=True)}
    fitting = [
        (len(needed), len(template), name)
        for name, verb, template, needed, header in _operations(service)
        if verb == method
        and needed <= keys
        and (not header or header in headers)
        and _pattern(template).fullmatch(path.rstrip("/") or "/")
    ]
    assert fitting, f"{service} has no operation for {method} {target}"
    return f"{service}:{max(fitting)[2]}"


@cache
def _operations(service: str) -> tuple[tuple[str, str, str, frozenset[str], str], ...]:
    """Return each operation's name, method, path, the keys that its query must have, and the header that a copy has."""
    model: Any = botocore.session.Session().get_service_model(service)
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        uri = urlsplit(operation.http["requestUri"])
        needed = {key for key, _ in parse_qsl(uri.query, keep_blank_values=True)}
        members = operation.input_shape.members if operation.input_shape is not None else {}
        required = operation.input_shape.required_members if operation.input_shape is not None else ()
        needed |= {
            members[each].serialization["name"]
            for each in required
            if members[each].serialization.get("location") == "querystring"
        }
        header = "x-amz-copy-source" if "CopySource" in required else ""
        found.append((str(name), str(operation.http["method"]), uri.path, frozenset(needed), header))
    return tuple(found)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\+?\})", template.rstrip("/") or "/")
    return re.compile(
        "".join(
            (".+" if part.endswith("+}") else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts
        )
    )


class Recorder:
    """A proxy that notes the permissions which the requests through it take. Thread-safe."""

    def __init__(self, behind: str) -> None:
        self.behind = urlsplit(behind)
        self.used: set[str] = set()
        self.refused: set[str] = set()  # parts of paths that are answered with AccessDenied
        self.lock = Lock()

    def take(self) -> set[str]:
        """Return what was used since the last time."""
        with self.lock:
            used, self.used = self.used, set()
        return used


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    recorder: Recorder


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _forward(self) -> None:
        assert isinstance(self.server, _Server)
        recorder, body = self.server.recorder, self._body()
        needed = permissions(self.command, self.path, dict(self.headers.items()), body)
        with recorder.lock:
            recorder.used |= needed
        if any(part in self.path for part in recorder.refused):
            self._answer(403, [("x-amzn-ErrorType", "AccessDeniedException")], b'{"Message": "no"}')
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        connection = HTTPConnection(str(recorder.behind.hostname), recorder.behind.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        hop_by_hop = {"content-length", "transfer-encoding", "connection", "server", "date"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop_by_hop]
        self._answer(answer.status, kept, data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _forward  # noqa: N815  the names are http.server's

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return data

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle_expect_100(self) -> bool:
        return True  # answered where the body is read


@contextmanager
def recording(recorder: Recorder) -> Iterator[str]:
    """Serve the proxy and yield its URL."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.recorder = recorder
    with running(server) as url:
        yield url
