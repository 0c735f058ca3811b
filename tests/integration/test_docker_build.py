"""`phplayer build --engine docker` for real: compiled in a container, held against the host, run as a function."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phplayer import catalog, elf, policy
from phplayer.layer import LayerArchive, RuntimeManifest
from phplayer.runtime import Architecture
from tests.conftest import WORK, Built, Phplayer, run_phplayer, small_project, unpack
from tests.integration import docker_function, tiny_extension
from tests.integration.docker_bed import DockerBed
from tests.integration.functions import write

HERE = Architecture.of_this_machine()


@pytest.fixture(scope="module")
def project() -> Path:
    return small_project(WORK / "test" / "small-docker")


@pytest.fixture(scope="module")
def first(bed: DockerBed, project: Path) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(project / "dist", ignore_errors=True)
    return run_phplayer("build", *arguments(bed), cwd=project, env=bed.environment)


@pytest.fixture(scope="module")
def contained(
    first: subprocess.CompletedProcess[str], project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Built:
    """The project with few extensions, built in a container."""
    (dist,) = (project / "dist").iterdir()
    return Built(dist=dist, tree=unpack(dist / "runtime.zip", tmp_path_factory.mktemp("opt")))


def arguments(bed: DockerBed) -> tuple[str, ...]:
    return ("--engine", "docker", "--base-image", bed.image())


def manifest(built: Built) -> RuntimeManifest:
    found = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(found, RuntimeManifest)
    return found


def modules(built: Built) -> str:
    """Return what ``php -m`` says where the layer lies."""
    done = subprocess.run(
        [
            *(built.php, "-c", built.tree / "etc" / "php" / "php.ini"),
            *("-d", f"extension_dir={built.tree / 'lib' / 'php' / 'extensions'}", "-m"),
        ],
        env={"PHP_INI_SCAN_DIR": str(built.tree / "etc" / "php" / "conf.d")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def layout(built: Built) -> dict[str, bool]:
    """Return the layer's files and whether they can be executed; which libraries it carries is the base's matter."""
    return {
        path.relative_to(built.tree).as_posix(): os.access(path, os.X_OK)
        for path in built.tree.rglob("*")
        if path.is_file() and path.parent != built.tree / "lib"
    }


def test_both_engines_make_the_same_of_one_recipe(contained: Built, small: Built) -> None:
    assert modules(contained) == modules(small)
    assert layout(contained) == layout(small)
    here, there = manifest(small), manifest(contained)
    assert (here.engine, there.engine) == ("host", "docker")
    assert there.configure == here.configure
    assert there.extensions == here.extensions
    assert (there.target, there.lambda_runtime, there.sources) == (here.target, here.lambda_runtime, here.sources)


def test_the_base_is_told_from_the_target(
    bed: DockerBed, contained: Built, first: subprocess.CompletedProcess[str]
) -> None:
    assert contained.dist.name == f"php-84-al2023-{HERE}"
    assert manifest(contained).base == "debian"
    assert f"Compiling in {bed.image()}, with Docker" in first.stderr
    assert "Compiled on debian, not on al2023" in first.stderr


def test_the_layer_passes_the_policy_and_names_no_place_of_the_container(contained: Built) -> None:
    target = catalog.load().target("al2023")
    assert policy.check(contained.tree, target=target, architecture=HERE) == ()
    carried = {path.name for path in (contained.tree / "lib").glob("*.so*")}
    assert any(name.startswith("libicui18n.so.") for name in carried)
    assert not carried & {"libcurl.so.4", "libnghttp2.so.14"}, "they are compiled in"
    for path in elf.files(contained.tree):
        assert b"/build/php" not in path.read_bytes(), path


def test_a_second_build_starts_no_container(bed: DockerBed, contained: Built, phplayer: Phplayer) -> None:
    project = contained.dist.parents[1]
    began = bed.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    done = phplayer("build", *arguments(bed), cwd=project, env=bed.environment)
    assert "up to date: nothing to do" in done.stderr
    ended = bed.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    events = bed.docker("events", "--since", began, "--until", ended, "--filter", "event=start").stdout
    assert events == ""
    assert bed.ours() == []


def test_one_more_extension_compiles_nothing_but_itself(
    bed: DockerBed, contained: Built, phplayer: Phplayer, tmp_path: Path
) -> None:
    """It takes a package that the others do not, in an image on top of theirs."""
    source = tiny_extension.write(tmp_path)
    project = small_project(tmp_path / "project")
    command = ("build", *arguments(bed), "--extension-source", f"tiny={source}")
    done = phplayer(*command, cwd=project, env=bed.environment)
    steps = {line.split(" ", 1)[1].partition(":")[0] for line in done.stderr.splitlines() if line.startswith("php84-")}
    assert not {step for step in steps if "tiny" not in step and not step.startswith("pack")}, done.stderr
    (dist,) = (project / "dist").iterdir()
    made = Built(dist=dist, tree=unpack(dist / "runtime.zip", tmp_path / "opt"))
    assert set(modules(made).split()) == {*modules(contained).split(), "tiny"}
    assert manifest(made).extensions == manifest(contained).extensions | {"tiny": "1.2"}
    assert (made.php).read_bytes() == contained.php.read_bytes()
    assert bed.ours() == []


def test_the_layer_answers_under_lambdas_emulator_in_the_base_it_was_made_on(
    bed: DockerBed, contained: Built, tools: Callable[[str], Path], tmp_path: Path
) -> None:
    task = write(tmp_path / "task", {"src/index.php": CODE})
    got = docker_function.answers(
        bed,
        bed.image(),
        rie=docker_function.rie(tools, HERE),
        layer=contained.tree,
        task=task,
        events=[{"name": "world"}, {"name": "again"}],
    )
    assert got == [["Hello, world", "8.4", True], ["Hello, again", "8.4", True]]


CODE = """
    function index($data) {
        $loaded = extension_loaded('curl') && curl_version()['ssl_version'] !== '' && openssl_digest('x', 'sha256');
        return ['Hello, ' . $data['name'], PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION, $loaded];
    }
"""

TEMPLATE = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Php:
    Type: AWS::Serverless::LayerVersion
    Properties:
      LayerName: php
      ContentUri: layer
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: index
      CodeUri: task
      Architectures: [{HERE}]
      Timeout: 20
      Layers: [!Ref Php]
"""


def test_sam_runs_a_function_on_the_layer(
    bed: DockerBed, contained: Built, tools: Callable[[str], Path], tmp_path: Path
) -> None:
    bed.docker("tag", bed.image(), f"public.ecr.aws/lambda/provided:al2023-{HERE}")
    shutil.copytree(contained.tree, tmp_path / "layer")
    write(tmp_path / "task", {"src/index.php": CODE})
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "event.json").write_text('{"name": "SAM"}')
    try:
        done = subprocess.run(
            [tools("sam") / "sam", "local", "invoke", "Hello", "--skip-pull-image", "--event", "event.json"],
            cwd=tmp_path,
            env={
                **os.environ,
                **bed.environment,
                "HOME": str(tmp_path),
                "SAM_CLI_TELEMETRY": "0",
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.strip().splitlines()[-1]) == ["Hello, SAM", "8.4", True], done.stderr
    finally:
        for image in bed.docker("images", "-q", "samcli/*").stdout.split():
            bed.docker("rmi", "-f", image)
