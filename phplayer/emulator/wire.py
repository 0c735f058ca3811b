"""HTTP/1.1 between the Runtime API and a runtime: h11's work, on connections that stay in our hands.

Trailers and, in tests, broken connections need that.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from phplayer.emulator.faults import FaultKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import h11

    from phplayer.emulator.faults import Fault

READ = 65536
STREAM_LIMIT = 200 * 1024 * 1024
"""Bytes of a streamed response (Lambda quotas)."""

_HEAD_LIMIT = 16 << 20  # bytes; a trailer may hold a whole error report in base64


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a request says of itself; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that came whole."""

    head: Head
    body: bytes  # no more of it than Lambda takes at most
    size: int  # bytes that came
    first_byte: float | None  # seconds on the monotonic clock when the body began
    trailers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What goes back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def receive(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    on_data: Callable[[Head, bytes], None],
) -> Request | None:
    """Read a whole request, telling of each piece of its body; None when the peer has hung up.

    Raises:
        h11.RemoteProtocolError: the peer does not speak HTTP.
        ConnectionError: the peer broke the connection.

    """
    import h11

    head: Head | None = None
    body, size, first_byte = bytearray(), 0, None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
                writer.write(go_on or b"")
            connection.receive_data(await reader.read(READ))
        elif isinstance(event, h11.Request):
            head = Head(method=event.method.decode(), path=event.target.decode(), headers=_names(event.headers))
        elif isinstance(event, h11.Data) and head is not None:
            first_byte = first_byte or time.monotonic()
            size += len(event.data)
            body += event.data[: max(0, STREAM_LIMIT - len(body))]
            on_data(head, bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Request(
                head=head, body=bytes(body), size=size, first_byte=first_byte, trailers=_names(event.headers)
            )
        else:
            return None


async def send(
    connection: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, fault: Fault | None = None
) -> bool:
    """Send a reply, or what the fault leaves of it; tell whether all of it went out.

    Raises:
        ConnectionError: the peer broke the connection.

    """
    import h11

    kind = fault.kind if fault is not None else None
    headers = [*reply.headers, ("Date", formatdate(usegmt=True)), ("Content-Length", str(len(reply.body)))]
    if kind is FaultKind.CLOSE:
        headers.append(("Connection", "close"))
    reason = HTTPStatus(reply.status).phrase.encode()
    head = connection.send(h11.Response(status_code=reply.status, headers=headers, reason=reason)) or b""
    body = connection.send(h11.Data(data=reply.body)) or b""
    end = connection.send(h11.EndOfMessage()) or b""
    if kind is FaultKind.RESET:
        reset(writer)
        return False
    if kind is FaultKind.TRUNCATED_HEADER:
        writer.write(head[: len(head) // 2])
        return False
    if kind is FaultKind.TRUNCATED_BODY:
        writer.write(head + body[: len(body) // 2])
        return not body
    writer.write(head + body + end)
    await writer.drain()
    return True


def refuse(connection: h11.Connection, writer: asyncio.StreamWriter, error: h11.RemoteProtocolError) -> None:
    """Tell a peer that does not speak HTTP, unless an answer to it has begun."""
    import h11

    if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        status = HTTPStatus(error.error_status_hint)
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        response = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        body = h11.Data(data=f"{status.value} {status.phrase}".encode())
        for event in (response, body, h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection at once: the peer gets ECONNRESET, not an orderly end."""
    with contextlib.suppress(OSError):  # it is broken already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _names(headers: Any) -> dict[str, str]:
    return {name.decode().lower(): value.decode("latin-1") for name, value in headers}


def server_side() -> h11.Connection:
    """Return the protocol's state for a new connection."""
    import h11

    return h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
