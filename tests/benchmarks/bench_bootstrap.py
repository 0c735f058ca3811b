"""Init time and time per invocation of the bootstrap, beside what people write without it and what is possible.

    python tests/benchmarks/bench_bootstrap.py --layer-tree DIR [--vendor DIR]

``--layer-tree`` is an unpacked runtime layer; ``--vendor`` a Composer vendor folder with Guzzle 7 (printed by
``python -m tests.integration.guzzle CACHE``). The same server in C stands for the Runtime API throughout; a client in
C that does nothing with an event is the floor, and a raw socket in PHP that cannot fail the least that PHP takes.

All run on one core, and contestants take turns. What counts is a contestant's processor time, in the kernel and out of
it, which other programs on a busy machine disturb little; the wall time beside it is the turn-around that a caller
sees, with the server's share. The start is taken off. Figures are medians; what counts are the ratios of one run.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARM = 50
CALL = """
    require getenv('LAMBDA_TASK_ROOT') . '/src/index.php';
    for ($began = hrtime(true), $n = 0; $n < 100000; ++$n) {
        json_encode(index(json_decode('{"name":"world"}', true, 512, JSON_THROW_ON_ERROR)), JSON_THROW_ON_ERROR);
    }
    echo (hrtime(true) - $began) / 1e3 / 100000;
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Microseconds."""

    processor: float  # of the contestant
    wall: float  # from handing out an event until the next one is asked for


def run(server: Path, command: Sequence[str | Path], environment: dict[str, str], count: int) -> Cost:
    """Serve a contestant so many events after some to get warm: its processor time in all, the wall time of one."""
    with subprocess.Popen([server, "serve", str(WARM), str(count)], stdout=subprocess.PIPE, text=True) as api:
        assert api.stdout is not None
        address = f"127.0.0.1:{api.stdout.readline().strip()}"
        environment = {**environment, "AWS_LAMBDA_RUNTIME_API": address}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        # What it has to say at the end, when the server is gone, is of no interest.
        process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            wall = float(api.stdout.readline())
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # one contestant starts others
            process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(processor=(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e6, wall=wall)


def per_invocation(server: Path, command: Sequence[str | Path], environment: dict[str, str], count: int) -> Cost:
    """Return what an event costs, without the start."""
    start = run(server, command, environment, 1)
    whole = run(server, command, environment, count + 1)
    return Cost(processor=(whole.processor - start.processor) / count, wall=whole.wall)


def processor_ms(run: Callable[[], object]) -> float:
    """Return the milliseconds of processor time that the processes started and ended by ``run`` took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def until_first_request(command: Sequence[str | Path], environment: dict[str, str]) -> None:
    """Start a bootstrap and kill it when it asks for its first event: there its start ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)  # what ends before it asks would be waited for
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with subprocess.Popen(command, env={**environment, "AWS_LAMBDA_RUNTIME_API": address}) as process:
            connection, _ = server.accept()
            with connection:
                asked = connection.recv(3)
                process.kill()
            assert asked == b"GET", "the start failed: it is reported by POST"


def starts(php: Path, bootstrap: Sequence[str | Path], environment: dict[str, str], count: int) -> None:
    """Compare a start, until the first event is asked for, with PHP's own."""
    empty, inits = [], []
    for _ in range(count):
        empty.append(processor_ms(lambda: subprocess.run([php, "-n", "-r", ""], env=environment, check=True)))
        inits.append(processor_ms(lambda: until_first_request(bootstrap, environment)))
    ours, bare = statistics.median(inits), statistics.median(empty)
    print(f"php -n -r ''                         {bare:8.1f} ms of processor time")
    print(f"bootstrap, start to first request    {ours:8.1f} ms   {ours / bare:.2f}x (aim: at most 1.2x)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Init time and time per invocation of the bootstrap.")
    parser.add_argument("--layer-tree", type=Path, required=True, help="unpacked runtime layer")
    parser.add_argument("--vendor", type=Path, help="vendor folder with Guzzle 7")
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=10000, help="per round")
    options = parser.parse_args()
    tree = options.layer_tree.resolve()
    php = tree / "bin" / "php"
    # As on Lambda, with the layer's own configuration; only the paths differ from /opt.
    flags = ["-c", str(tree / "etc" / "php" / "php.ini"), "-d", f"extension_dir={tree / 'lib' / 'php' / 'extensions'}"]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as task:
        server = Path(task) / "runtime_api"
        subprocess.run(["cc", "-O2", "-o", server, HERE / "runtime_api.c"], check=True)
        (Path(task) / "src").mkdir()
        (Path(task) / "src" / "index.php").write_text(
            "<?php\nfunction index($data)\n{\n    return 'Hello, ' . $data['name'];\n}\n"
        )
        environment = {
            "BENCH_VENDOR": str(options.vendor.resolve()) if options.vendor else "",
            "LAMBDA_TASK_ROOT": task,
            "PATH": os.environ["PATH"],
            "PHP_INI_SCAN_DIR": str(tree / "etc" / "php" / "conf.d"),
            "_HANDLER": "index",
        }
        bootstrap: list[str | Path] = [php, *flags, tree / "bootstrap"]
        starts(php, bootstrap, environment, options.starts)
        contestants: dict[str, tuple[list[str | Path], int]] = {
            "floor: a C client that does nothing": ([server, "floor"], options.events),
            "PHP and a raw socket, no features": ([php, *flags, HERE / "bare_bootstrap.php"], options.events),
            "bootstrap": (bootstrap, options.events),
            "one curl handle": ([php, *flags, HERE / "reused_bootstrap.php"], options.events),
            "new curl handle per call": ([php, *flags, HERE / "curl_bootstrap.php"], options.events // 3),
            "PHP restarted per event": ([php, *flags, HERE / "restart_bootstrap.php", *flags], 30),
        }
        if options.vendor:
            guzzle: list[str | Path] = [php, *flags, HERE / "guzzle_bootstrap.php"]
            contestants["tutorial: new Guzzle client per call"] = (guzzle, options.events // 10)
        costs: dict[str, list[Cost]] = {name: [] for name in contestants}
        calls = []
        for _ in range(options.rounds):
            call = subprocess.run([php, *flags, "-r", CALL], env=environment, capture_output=True, check=True)
            calls.append(float(call.stdout))
            for name, (command, count) in contestants.items():
                costs[name].append(per_invocation(server, command, environment, count))
    processor = {name: statistics.median(cost.processor for cost in each) for name, each in costs.items()}
    wall = {name: statistics.median(cost.wall for cost in each) for name, each in costs.items()}
    ours = processor["bootstrap"]
    print("\nus per invocation           of processor time    to the bootstrap's    turn-around")
    for name in contestants:
        print(f"  {name:38} {processor[name]:8.1f}   {processor[name] / ours:7.2f}x   {wall[name]:8.1f}")
    least = processor["floor: a C client that does nothing"] + statistics.median(calls)
    bare = processor["PHP and a raw socket, no features"]
    print(f"  {'floor and the PHP call itself':38} {least:8.1f}   the bootstrap takes {ours / least:.2f}x (aim: 1.25x)")
    print(f"  {'':38} {'':8}   and {ours / bare:.2f}x of PHP and a raw socket")


if __name__ == "__main__":
    main()
