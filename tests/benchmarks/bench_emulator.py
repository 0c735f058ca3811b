"""What the emulator itself costs: an event through it and PHP, a cold start, a failure that needs a new runtime."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from phplayer.emulator.function import LocalFunction
from phplayer.emulator.spec import FunctionSpec

SOURCE = "<?php function index($data) { if ($data === 'exit') exit(1); return 'Hello, ' . $data['name']; }"
EVENT = b'{"name":"world"}'


async def timed(function: LocalFunction, event: bytes) -> float:
    """Return the milliseconds from giving an event until its result is there and the runtime asks for the next."""
    begin = time.perf_counter()
    await function.invoke(event)
    return (time.perf_counter() - begin) * 1e3


async def measure(spec: FunctionSpec, events: int, starts: int) -> None:
    async with LocalFunction(spec) as function:
        await function.invoke(EVENT)
        warm = sorted([await timed(function, EVENT) for _ in range(events)])
        cold = []
        for _ in range(starts):
            await function.invoke(b'"exit"')  # the next event needs a new runtime
            cold.append(await timed(function, EVENT))
    print(f"an event, median                {statistics.median(warm):8.2f} ms")
    print(f"an event, 99 of 100 within      {warm[int(len(warm) * 0.99)]:8.2f} ms")
    print(f"an event with a cold start      {statistics.median(cold):8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn-around of the emulator.")
    parser.add_argument("--layer-tree", type=Path, required=True, help="unpacked runtime layer")
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as task:
        (Path(task) / "src").mkdir()
        (Path(task) / "src" / "index.php").write_text(SOURCE)
        spec = FunctionSpec(folder=Path(task), layers=options.layer_tree.resolve(), handler="index", name="bench")
        asyncio.run(measure(spec, options.events, options.starts))


if __name__ == "__main__":
    main()
