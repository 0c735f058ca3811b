"""Publishing to 30 regions, 300 ms away each: against one region, and against a loop over the AWS CLI.

moto's server stands for AWS; a proxy in front of it makes each call take its time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from phplayer.aws import regions
from tests import conftest, layers
from tests.integration.aws_endpoint import CREDENTIALS, moto_server, reset
from tests.integration.fault_proxy import Call, Faults, faulty_proxy

LATENCY = 0.3  # seconds for each call
COUNT = 30
REPEATS = 3  # the best of them counts: the machine may have other work


def slow(_call: Call) -> None:
    time.sleep(LATENCY)


class Bench:
    """A project with one built layer, and an endpoint that is far away."""

    def __init__(self, folder: Path, moto: str, url: str) -> None:
        self.folder, self.moto, self.url = folder, moto, url
        self.project = layers.project(folder / "project")
        self.archive = next(self.project.glob("dist/*/runtime.zip"))
        self.archive.with_name("vendor.zip").unlink()
        self.environment = {"PATH": os.environ["PATH"], "CI": "1", "PHPLAYER_CACHE": str(folder / "cache")}
        self.environment |= CREDENTIALS

    def _clear(self) -> None:
        """Empty the endpoint; what it does only at the first calls after that is over before time is taken."""
        reset(self.moto)
        keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
        for _ in range(3):
            boto3.client("sts", region_name="us-east-1", endpoint_url=self.moto, **keys).get_caller_identity()
            boto3.client("lambda", region_name="us-east-1", endpoint_url=self.moto, **keys).list_layers()

    def publish(self, where: tuple[str, ...], *, again: bool = False) -> float:
        """Return the seconds that it takes to publish."""
        if not again:
            self._clear()
            (self.project / "phplayer.lock.json").unlink(missing_ok=True)
        program = str(conftest.SCRIPTS / "phplayer")
        return self._time([program, "publish", "--endpoint-url", self.url, "--region", ",".join(where)], self.project)

    def cli(self, where: tuple[str, ...]) -> float:
        """Return the seconds that a loop over the AWS CLI takes."""
        self._clear()
        aws = str(conftest.tools_bin("awscli") / "aws")
        command = [aws, "--endpoint-url", self.url, "lambda", "publish-layer-version", "--layer-name", "php-84-x86_64"]
        content = ["--zip-file", f"fileb://{self.archive}", "--compatible-runtimes", "provided.al2023"]
        return sum(self._time([*command, *content, "--region", region], self.folder) for region in where)

    def _time(self, command: list[str], cwd: Path) -> float:
        began = time.perf_counter()
        subprocess.run(command, cwd=cwd, env=self.environment, check=True, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    faults = Faults(act=slow)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with moto_server(folder / "moto.log") as moto, faulty_proxy(moto, faults) as url:
            bench = Bench(folder, moto, url)
            where = regions()[:COUNT]
            one = min(bench.publish(where[:1]) for _ in range(REPEATS))
            cli = bench.cli(where)
            all_of_them = min(bench.publish(where) for _ in range(REPEATS))
            before = len(faults.seen)
            again = min(bench.publish(where, again=True) for _ in range(REPEATS))
            calls = (len(faults.seen) - before) / REPEATS
    print(f"one region                       {one:6.2f} s")
    print(
        f"{COUNT} regions                       {all_of_them:6.2f} s  {all_of_them / one:.2f} x one region (aim: 1.5)"
    )
    print(f"{COUNT} regions, loop over AWS CLI     {cli:6.2f} s  {cli / all_of_them:.1f} x as long (aim: 15)")
    print(f"{COUNT} regions, content unchanged    {again:6.2f} s  {calls:.0f} call(s), no upload (aim: 2 s)")


if __name__ == "__main__":
    main()
