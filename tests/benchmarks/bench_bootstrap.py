"""Init time and time per invocation of the bootstrap, beside what people write without it.

    python tests/benchmarks/bench_bootstrap.py --layer-tree DIR [--vendor DIR]

``--layer-tree`` is an unpacked runtime layer; ``--vendor`` a Composer vendor folder with Guzzle 7 (printed by
``python -m tests.integration.guzzle CACHE``). The same server, one thread with blocking sockets, stands for the
Runtime API throughout. Contestants take turns, so that a busy machine disturbs all alike; the figures are medians,
and what counts are the ratios of one run. Invocations are timed as the scheduler places server and PHP, where waking
an idle core can outweigh all else, and with both on one core, where only their work counts.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
EVENT = b'{"name":"world"}'
NEXT = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    b"Lambda-Runtime-Deadline-Ms: 1542409706888\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-2:123456789012:function:custom-runtime\r\n"
    b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(EVENT), EVENT)
)
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"OK"}'


class Api:
    """The Runtime API at its barest: answers `next` and `response`, on one connection or on many."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(30)
        self._connection: socket.socket | None = None
        self._data = b""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def request(self) -> bytes:
        """Wait for a whole request, on this connection or, when it is closed, on the next one."""
        while True:
            head, end, body = self._data.partition(b"\r\n\r\n")
            if end:
                lower = head.lower()
                at = lower.find(b"content-length:")
                length = int(lower[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
                if len(body) >= length:
                    self._data = body[length:]
                    return head
            received = self._connection.recv(65536) if self._connection is not None else b""
            if not received:
                self.hang_up()
                self._connection, _ = self._listener.accept()
                self._connection.settimeout(30)
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._data += received

    def reply(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(data)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._data = None, b""

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


@contextmanager
def started(command: Sequence[str | Path], environment: dict[str, str], api: Api) -> Iterator[float]:
    """Start a bootstrap and wait until it asks for an event; give the milliseconds that took."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    try:
        api.request()
        yield (time.perf_counter() - begin) * 1e3
    finally:
        process.kill()
        process.wait()
        api.hang_up()


def per_invocation(api: Api, count: int) -> float:
    """Return the microseconds from handing out an event until the next one is asked for."""
    begin = time.perf_counter()
    for _ in range(count):
        api.reply(NEXT)
        api.request()
        api.reply(ACCEPTED)
        api.request()
    return (time.perf_counter() - begin) / count * 1e6


def bare(command: Sequence[str | Path]) -> float:
    """Return the milliseconds that a program takes to run."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description="Init time and time per invocation of the bootstrap.")
    parser.add_argument("--layer-tree", type=Path, required=True, help="unpacked runtime layer")
    parser.add_argument("--vendor", type=Path, help="vendor folder with Guzzle 7")
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2000, help="per round")
    options = parser.parse_args()
    php = options.layer_tree.resolve() / "bin" / "php"
    # As on Lambda, with the layer's own configuration; only the paths differ from /opt.
    configured: list[str | Path] = [
        *(php, "-c", php.parents[1] / "etc" / "php" / "php.ini"),
        *("-d", f"extension_dir={php.parents[1] / 'lib' / 'php' / 'extensions'}"),
    ]
    bootstrap: list[str | Path] = [*configured, options.layer_tree.resolve() / "bootstrap"]
    api = Api()
    all_processors = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as task:
        (Path(task) / "src").mkdir()
        (Path(task) / "src" / "index.php").write_text(
            "<?php\nfunction index($data)\n{\n    return 'Hello, ' . $data['name'];\n}\n"
        )
        environment = {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "BENCH_VENDOR": str(options.vendor.resolve()) if options.vendor else "",
            "LAMBDA_TASK_ROOT": task,
            "PHP_INI_SCAN_DIR": str(php.parents[1] / "etc" / "php" / "conf.d"),
            "_HANDLER": "index",
        }
        empty, inits = [], []
        for _ in range(options.starts):
            empty.append(bare([php, "-n", "-r", ""]))
            with started(bootstrap, environment, api) as init:
                inits.append(init)
        ratio = statistics.median(inits) / statistics.median(empty)
        print(f"php -n -r ''                    {statistics.median(empty):8.1f} ms")
        print(f"bootstrap, start to first next  {statistics.median(inits):8.1f} ms   {ratio:.2f}x (aim: under 1.5x)")

        contestants = {"bootstrap": bootstrap, "new curl handle per call": [*configured, HERE / "curl_bootstrap.php"]}
        if options.vendor:
            contestants["tutorial: new Guzzle client per call"] = [*configured, HERE / "guzzle_bootstrap.php"]
        for title, processors in (("as scheduled", all_processors), ("on one core", {min(all_processors)})):
            os.sched_setaffinity(0, processors)
            print(f"\nus per invocation, {title}")
            times: dict[str, list[float]] = {name: [] for name in contestants}
            for _ in range(options.rounds):
                for name, command in contestants.items():
                    with started(command, environment, api):
                        per_invocation(api, 50)
                        times[name].append(per_invocation(api, options.events))
            ours = statistics.median(times["bootstrap"])
            for name, measured in times.items():
                aim = " (aim: at least 5x)" if "Guzzle" in name else ""
                median = statistics.median(measured)
                print(f"  {name:38} {median:8.1f}   {median / ours:.1f}x{aim}")
        os.sched_setaffinity(0, all_processors)
    api.close()


if __name__ == "__main__":
    main()
