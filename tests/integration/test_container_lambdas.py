"""The main scenarios in containers, layers at /opt as Lambda puts them: ministack behind boto3, and ``sam local``."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import docker_function
from tests.integration.aws_endpoint import CREDENTIALS
from tests.integration.docker_bed import DockerBed
from tests.integration.functions import layer, write
from tests.integration.scenarios import SCENARIOS, Outcome, read
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.conftest import Built

HERE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
MAIN = {name: scenario for name, scenario in SCENARIOS.items() if scenario.everywhere}
NAMES = {name: f"Function{number}" for number, name in enumerate(MAIN)}
START = 120.0  # seconds in which a server answers, at the latest

# What was built on this machine wants its C library or a newer one: the image is made of this machine's own files.
PROGRAMS = ("sh", "cat", "chmod", "cp", "kill", "ls", "mkdir", "mv", "sleep")
LIBRARIES = ("libdl.so.2", "libnss_dns.so.2", "libnss_files.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2")
BASE = "FROM scratch\nADD root /\nENV LAMBDA_TASK_ROOT=/var/task LD_LIBRARY_PATH=/lib64:/usr/lib64:/opt/lib\n"

# Lambda's image has an entry point that starts the emulator around the bootstrap; ministack relies on it.
AROUND = """
FROM {base}
COPY rie /usr/local/bin/aws-lambda-rie
ENTRYPOINT ["/bin/sh", "-c", "exec /usr/local/bin/aws-lambda-rie /opt/bootstrap"]
"""


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


@pytest.fixture(scope="module")
def image(bed: DockerBed, built: Built, tools: Callable[[str], Path]) -> str:
    """Return a base that stands for Lambda's own image."""
    name = "public.ecr.aws/lambda/provided:al2023"
    with tempfile.TemporaryDirectory(prefix="image-", dir=bed.home) as temporary:
        folder = Path(temporary)
        root(folder / "root", built.php)
        bed.build(f"{name}-{HERE}", folder, BASE)  # SAM brings its own emulator
        shutil.rmtree(folder / "root")
        shutil.copy2(docker_function.rie(tools, HERE), folder / "rie")
        bed.build(name, folder, AROUND.format(base=f"{name}-{HERE}"))
    return name


def root(into: Path, php: Path) -> None:
    """Lay out a system that is just large enough for shells, C and C++."""
    for name in ("usr/bin", "usr/lib", "usr/lib64", "usr/local/bin", "etc", "opt", "tmp", "var/task", "var/runtime"):
        (into / name).mkdir(parents=True)
    (into / "tmp").chmod(0o1777)
    for name in ("bin", "lib", "lib64"):
        (into / name).symlink_to(f"usr/{name}")
    (into / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    programs = [Path(str(shutil.which(name))) for name in PROGRAMS]
    needed = {library for program in (*programs, php) for library in libraries(program)}
    c_library = next(path for path in needed if path.name == "libc.so.6")
    further = (c_library.with_name(name) for name in LIBRARIES)
    for path in {*programs, *needed, *(path for path in further if path.exists())}:
        target = into / ("usr" if path.parts[1] != "usr" else "") / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def libraries(program: Path) -> list[Path]:
    """Return the libraries of this machine that a program loads."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    words = (word for line in done.stdout.splitlines() for word in line.split() if word.startswith("/"))
    return [
        path
        for path in map(Path, words)
        if path.is_relative_to("/lib") or path.is_relative_to("/lib64") or path.is_relative_to("/usr/lib")
    ]


@contextmanager
def server(command: list[str | Path], port: int, environment: Mapping[str, str], cwd: Path) -> Iterator[None]:
    """Run a server until the block ends; it must answer before. What it logged is shown with a failure."""
    log = cwd / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        print(log.read_text()[-20000:])  # noqa: T201  pytest keeps it for a failure
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def clean(bed: DockerBed, *filters: str) -> None:
    """Remove containers that a server of the tests left."""
    for line in bed.docker("ps", "-aq", *filters).stdout.split():
        bed.docker("rm", "-f", line)


def zipped(folder: Path) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(folder)))
                entry.external_attr = path.stat().st_mode << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return data.getvalue()


def aws_lambda(port: int) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  of no account
        config=Config(read_timeout=300, retries={"max_attempts": 0}),
    )


def played(client: Any, name: str) -> list[Outcome]:
    outcomes = []
    for event in MAIN[name].events:
        payload = client.invoke(FunctionName=NAMES[name], Payload=json.dumps(event).encode())["Payload"].read()
        print(payload[:2000])  # noqa: T201  pytest keeps it for a failure
        outcomes.append(read(payload))
    return outcomes


@pytest.fixture(scope="module")
def ministack(
    bed: DockerBed, image: str, opt: Path, tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Give a client of an endpoint that has the functions."""
    folder, port = tmp_path_factory.mktemp("ministack"), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **CREDENTIALS,
        **bed.environment,
        "LAMBDA_EXECUTOR": "docker",
        "LAMBDA_STRICT": "1",
        "MINISTACK_HOST": "127.0.0.1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_DOCKER_TIMEOUT": "120",
        "TMPDIR": str(folder),
    }
    with server([tools("ministack") / "ministack"], port, environment, folder):
        client = aws_lambda(port)
        published = client.publish_layer_version(LayerName="php", Content={"ZipFile": zipped(opt)})
        for name, scenario in MAIN.items():
            client.create_function(
                FunctionName=NAMES[name],
                Runtime="provided.al2023",
                Role="arn:aws:iam::000000000000:role/any",
                Handler=scenario.handler,
                Code={"ZipFile": zipped(write(folder / NAMES[name], {"README": "", **scenario.files}))},
                Layers=[published["LayerVersionArn"]],
                Timeout=scenario.timeout,
                MemorySize=scenario.memory_mb,
            )
        yield client
    clean(bed, "--filter", f"ancestor={image}")


@pytest.mark.parametrize("name", MAIN)
def test_in_ministack(ministack: Any, name: str) -> None:
    assert played(ministack, name) == list(MAIN[name].outcomes)


@pytest.fixture(scope="module")
def sam(
    bed: DockerBed, image: str, opt: Path, tools: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Give a client of ``sam local start-lambda``."""
    folder, port = tmp_path_factory.mktemp("sam"), free_port()
    shutil.copytree(opt, folder / "layer")
    resources: dict[str, Any] = {
        "Php": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"LayerName": "php", "ContentUri": "layer"}}
    }
    for name, scenario in MAIN.items():
        write(folder / NAMES[name], {"README": "", **scenario.files})
        properties = {
            "Runtime": "provided.al2023",
            "Handler": scenario.handler,
            "CodeUri": NAMES[name],
            "Architectures": [HERE],
            "Timeout": scenario.timeout,
            "MemorySize": scenario.memory_mb,
            "Layers": [{"Ref": "Php"}],
        }
        resources[NAMES[name]] = {"Type": "AWS::Serverless::Function", "Properties": properties}
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}
    (folder / "template.json").write_text(json.dumps(template))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **bed.environment,
        **CREDENTIALS,
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(folder),
        "SAM_CLI_TELEMETRY": "0",
    }
    command: list[str | Path] = [
        *(tools("sam") / "sam", "local", "start-lambda", "--skip-pull-image", "--warm-containers", "LAZY"),
        *("--host", "127.0.0.1", "--port", str(port), "--template", "template.json"),
    ]
    try:
        with server(command, port, environment, folder):
            yield aws_lambda(port)
    finally:
        with contextlib.suppress(AssertionError):
            for found in bed.docker("images", "-q", "samcli/*").stdout.split():
                clean(bed, "--filter", f"ancestor={found}")
                bed.docker("rmi", "-f", found)


@pytest.mark.parametrize("name", MAIN)
def test_in_sam(sam: Any, name: str) -> None:
    assert played(sam, name) == list(MAIN[name].outcomes)
