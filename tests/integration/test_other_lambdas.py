"""Every scenario on our emulator and on AWS's own (aws-lambda-rie, shipped inside aws-sam-cli)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phplayer.emulator.function import LocalFunction
from phplayer.emulator.sandbox import Sandbox, SandboxSpec
from phplayer.emulator.spec import FunctionSpec, environment
from phplayer.runtime import Architecture, BootstrapMode
from tests.integration import docker_function
from tests.integration.fake_api import assert_no_complaint
from tests.integration.functions import layer, write
from tests.integration.scenarios import SCENARIOS, Outcome, Scenario, read
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.conftest import Built

Layers = Mapping[BootstrapMode, Path]


@pytest.fixture(scope="module")
def rie(tools: Callable[[str], Path]) -> Path:
    return docker_function.rie(tools, Architecture.of_this_machine())


@pytest.fixture(scope="module")
def opts(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Layers:
    folder = tmp_path_factory.mktemp("layers")
    modes = {scenario.mode for scenario in SCENARIOS.values()}
    return {mode: layer(built.tree, folder / mode.value, mode=mode) for mode in modes}


def described(scenario: Scenario, opts: Layers, task: Path) -> FunctionSpec:
    return FunctionSpec(
        folder=write(task, scenario.files),
        layers=opts[scenario.mode],
        handler=scenario.handler,
        name="probe",
        timeout=scenario.timeout,
        memory_mb=scenario.memory_mb,
        environment=scenario.environment,
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_here(opts: Layers, tmp_path: Path, name: str) -> None:
    scenario = SCENARIOS[name]

    async def run() -> list[Outcome]:
        async with LocalFunction(described(scenario, opts, tmp_path)) as function:
            results = [await function.invoke(json.dumps(event).encode()) for event in scenario.events]
        assert_no_complaint("".join(result.logs for result in results), Path("/opt"))
        return [("error", result.error.type) if result.error else read(result.payload) for result in results]

    assert asyncio.run(run()) == list(scenario.outcomes)


@pytest.mark.parametrize("name", SCENARIOS)
def test_under_rie(rie: Path, opts: Layers, tmp_path: Path, name: str) -> None:
    scenario = SCENARIOS[name]
    outcomes, log = asyncio.run(under_rie(rie, described(scenario, opts, tmp_path), scenario.events))
    expected = [scenario.rie.get(number, outcome) for number, outcome in enumerate(scenario.outcomes)]
    assert outcomes == expected, log
    assert_no_complaint(log, Path("/opt"))
    if all(kind == "answer" for kind, _ in scenario.outcomes):
        assert "Invoke failed" not in log, "nothing that was answered may count as failed"


async def under_rie(rie: Path, spec: FunctionSpec, events: tuple[Any, ...]) -> tuple[list[Outcome], str]:
    """Run RIE where Lambda's own processes would be: in the sandbox, around the bootstrap."""
    port, api = free_port(), f"127.0.0.1:{free_port()}"
    flags = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", api)
    log = bytearray()
    sandbox = await Sandbox.start(
        SandboxSpec(
            command=("/rapid/aws-lambda-rie", *flags, "/opt/bootstrap"),
            environment={**environment(spec, api=api), "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(spec.timeout))},
            binds={"/opt": spec.layers, "/var/task": spec.folder, "/rapid/aws-lambda-rie": rie},
        ),
        log.extend,
    )
    try:
        outcomes = []
        for event in events:
            asked: Awaitable[bytes] = asyncio.to_thread(docker_function.post, port, event)
            outcomes.append(read(await asked))
    finally:
        sandbox.kill()
    return outcomes, log.decode(errors="replace")
