"""A runtime's side of the Runtime API, spoken over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from phplayer.emulator.events import Invocation
from phplayer.emulator.faults import Faults, none
from phplayer.emulator.runtime_api import RuntimeApi

BASE = "/2018-06-01/runtime/"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
PATIENCE = 120.0  # seconds; never a measure


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


Connect = Callable[[], Awaitable[Runtime]]


def against_api(
    scenario: Callable[[RuntimeApi, Connect], Awaitable[None]],
    *,
    concurrency: int = 1,
    faults: Faults = none,
) -> None:
    async def run() -> None:
        async with RuntimeApi(concurrency=concurrency, faults=faults) as api:
            host, port = api.address.split(":")
            writers: list[asyncio.StreamWriter] = []

            async def connect() -> Runtime:
                reader, writer = await asyncio.open_connection(host, int(port))
                writers.append(writer)
                return Runtime(reader, writer)

            try:
                await asyncio.wait_for(scenario(api, connect), PATIENCE)
            finally:
                for writer in writers:
                    writer.close()
                await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    asyncio.run(run())


def invocation(event: bytes = b"{}", timeout: float = 7.0) -> Invocation:
    return Invocation(event=event, function_arn=ARN, timeout=timeout)


async def take(api: RuntimeApi, connect: Connect, event: bytes = b"{}") -> tuple[Invocation, Runtime, str]:
    """Offer an event to a runtime of its own, which takes it; return both, and the path below which it answers."""
    offered = invocation(event)
    api.offer(offered)
    runtime = await connect()
    taken = await runtime.ask("GET", f"{BASE}invocation/next")
    assert (taken.status, taken.body) == (200, event)
    return offered, runtime, f"{BASE}invocation/{offered.request_id}/"
