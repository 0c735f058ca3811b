"""What of the docker engine needs no daemon; the rest is in integration/test_docker_*.py."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from docker import APIClient

from phplayer import catalog, engines, recipe
from phplayer.catalog import Base, libraries
from phplayer.catalog.files import Image
from phplayer.engines import (
    EngineOptions,
    capacity,
    choose,
    docker_base,
    docker_context,
    docker_daemon,
    docker_image,
    docker_ssh,
    docker_streams,
)
from phplayer.engines.docker_context import EndpointError
from phplayer.engines.docker_daemon import Daemon
from phplayer.errors import UsageError
from phplayer.runtime import Architecture, BootstrapMode
from tests.serving import Handler, serving

KNOWN = catalog.load()
DATA = Path(__file__).parent / "data"


def all_packages(base: Base) -> list[str]:
    """Return the names of all packages that a build on this base can ask for."""
    own = (name for library in libraries.load().values() for name in library.packages.get(base.name, ()))
    system = (name for names in base.packages.values() for name in names)
    return sorted({*base.toolchain, *base.phpize, *base.icu_tools, *system, *own})


# -- the Dockerfile ------------------------------------------------------------------------------------------------


def test_every_package_of_amazon_linux_was_looked_up() -> None:
    listed = [line for line in (DATA / "al2023-packages.txt").read_text().splitlines() if not line.startswith("#")]
    base = KNOWN.bases["al2023"]
    assert listed == sorted({*all_packages(base), *base.composer, *base.docker, *base.emulation, *base.image.packages})


def test_the_dockerfile_of_amazon_linux_is_the_one_that_was_reviewed() -> None:
    base = KNOWN.bases["al2023"]
    runtime = KNOWN.runtime(
        php=KNOWN.default_php,
        extensions=("curl", "mbstring"),
        target=KNOWN.default_target,
        architecture=Architecture.X86_64,
        bootstrap=BootstrapMode.FUNCTION,
    )
    plan = recipe.plan(runtime, base)
    assert docker_image.dockerfile(base, plan.packages) == (DATA / "al2023.Dockerfile").read_text()


@pytest.mark.parametrize("base", KNOWN.bases.values(), ids=lambda base: base.name)
def test_hadolint_finds_nothing_in_the_dockerfile(base: Base, tools: Callable[[str], Path]) -> None:
    text = docker_image.dockerfile(base, all_packages(base))
    done = subprocess.run(
        [tools("hadolint") / "hadolint", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_only_the_table_of_the_base_makes_the_dockerfiles_differ() -> None:
    """What was tested on Debian is what runs on Amazon Linux, but for the package manager."""
    texts = {name: docker_image.dockerfile(base, ()).splitlines() for name, base in KNOWN.bases.items()}
    common = set(texts["al2023"]) & set(texts["debian"])
    assert {"FROM ${BASE}", "ARG TAG=", "USER 1000:1000", "WORKDIR /build"} <= common
    assert any("/ccache" in line for line in texts["debian"])
    assert not any("/ccache" in line for line in texts["al2023"])


def test_the_digest_decides_what_is_pulled_where_it_is_known() -> None:
    assert Image(name="a/b:1").reference == "a/b:1"
    assert Image(name="a/b:1", digest="sha256:00").reference == "a/b:1@sha256:00"


# -- choosing ------------------------------------------------------------------------------------------------------


def test_an_unknown_engine_is_refused_with_the_nearest() -> None:
    runtime = KNOWN.runtime(
        php=KNOWN.default_php,
        extensions=(),
        target=KNOWN.default_target,
        architecture=Architecture.of_this_machine(),
        bootstrap=BootstrapMode.FUNCTION,
    )
    with pytest.raises(UsageError, match="Unknown engine 'doker'") as caught:
        choose(EngineOptions(engine="doker"), runtime, print)
    assert "Did you mean 'docker'?" in caught.value.remedy


@pytest.mark.parametrize(
    ("processors", "memory", "expected"),
    [(8, 64_000_000_000, 8), (8, 3_000_000_000, 4), (0.5, 64_000_000_000, 1), (4, 100_000_000, 1)],
)
def test_memory_and_processors_both_limit_the_compilers(processors: float, memory: int, expected: int) -> None:
    assert engines.compilers(processors=processors, memory=memory) == expected


@pytest.mark.parametrize(
    ("files", "processors", "memory"),
    [
        ({"cpu.max": "50000 100000\n", "memory.max": "1000000\n"}, 0.5, 1_000_000),
        (
            {"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "9"},
            0.25,
            9,
        ),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ({}, None, None),
    ],
)
def test_limits_of_the_control_group_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], processors: float | None, memory: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(capacity, "_GROUPS", tmp_path)
    assert capacity.processors() == (processors or len(os.sched_getaffinity(0)))
    assert capacity.memory() == (memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


# -- streams -------------------------------------------------------------------------------------------------------


def test_an_archive_in_pieces_is_unpacked_with_its_modes_and_links(tmp_path: Path) -> None:
    def members() -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        program = tarfile.TarInfo("tree/php")
        program.mode, program.size = 0o755, 5
        yield program, b"#!php"
        link = tarfile.TarInfo("tree/link")
        link.type, link.linkname = tarfile.SYMTYPE, "php"
        yield link, b""

    docker_streams.unpack(in_pieces(members(), size=100), tmp_path)
    assert os.access(tmp_path / "tree" / "php", os.X_OK)
    assert (tmp_path / "tree" / "link").read_text() == "#!php"


@pytest.mark.parametrize("name", ["../out", "/out"])
def test_an_archive_cannot_write_beside_the_folder(tmp_path: Path, name: str) -> None:
    into = tmp_path / "into"
    into.mkdir()
    member = tarfile.TarInfo(name)
    member.size = 1
    try:
        docker_streams.unpack(in_pieces(iter([(member, b"x")]), size=10_000), into)
    except tarfile.FilterError:
        pass
    else:
        assert (into / "out").is_file(), "a leading slash is taken off"
    assert not (tmp_path / "out").exists()
    assert not Path("/out").exists()


def in_pieces(members: Iterator[tuple[tarfile.TarInfo, bytes]], *, size: int) -> Iterator[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    data = packed.getvalue()
    return (data[start : start + size] for start in range(0, len(data), size))


# -- what a daemon says --------------------------------------------------------------------------------------------


def wrapped(error: Exception) -> Exception:
    """Wrap an error as the SDK does: in the arguments of its HTTP library's, in one of its own."""
    outer = RuntimeError(f"Error while fetching server API version: {error}")
    outer.__cause__ = ConnectionError("Connection aborted.", error)
    return outer


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), "there is no socket at /x.sock", "set DOCKER_HOST"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission denied at /x.sock", "usermod -aG docker"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "no daemon listens at /x.sock", "systemctl start"),
        (TimeoutError("timed out"), "does not answer within", "restart it"),
        (EndpointError("there is no context 'x'"), "there is no context 'x'", "docker context ls"),
    ],
)
def test_why_no_daemon_can_be_used_is_found_below_the_sdks_wrapping(
    error: Exception, message: str, remedy: str
) -> None:
    wrapping = error if isinstance(error, EndpointError) else wrapped(error)
    missing = docker_daemon._missing("unix:///x.sock", wrapping)
    assert message in missing.message
    assert remedy in missing.remedy
    assert missing.remedy.endswith("or compile on this machine with --engine host.")


def test_a_full_disk_of_the_daemon_is_told_from_other_refusals() -> None:
    assert "docker system prune" in docker_daemon.refused("x", "write /a: no space left on device").remedy
    assert "prune" not in docker_daemon.refused("x", "no such container").remedy


def test_a_context_of_dockers_client_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    with pytest.raises(docker_daemon.DaemonMissingError, match="elsewhere"):
        docker_daemon.connect()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("root@h: Permission denied (publickey).", "ssh-copy-id"),
        ("Host key verification failed.", "once by hand"),
        ("sh: 1: docker: not found", "Install Docker's client there"),
        ("bash: line 1: docker: command not found", "Install Docker's client there"),
        ("Got permission denied while trying to connect to the Docker daemon socket", "group docker there"),
        ("ssh: connect to host h port 22: Connection refused", "Mend what ssh says"),
    ],
)
def test_what_ssh_says_has_a_remedy(said: str, remedy: str) -> None:
    missing = docker_daemon._unreached("ssh://h", said)
    assert f"ssh://h is not reached: {said}" in missing.message
    assert remedy in missing.remedy


# -- where it is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ssh://h", ["--", "h", "docker system dial-stdio"]),
        ("ssh://me@h:2222", ["-l", "me", "-p", "2222", "--", "h", "docker system dial-stdio"]),
        ("ssh://h/run/my docker.sock", ["--", "h", "docker --host 'unix:///run/my docker.sock' system dial-stdio"]),
        ("ssh://-oProxyCommand=x", ["--", "-oproxycommand=x", "docker system dial-stdio"]),
    ],
)
def test_what_an_address_names_is_what_ssh_is_asked_for(address: str, expected: list[str]) -> None:
    assert list(docker_ssh.Target.parse(address).dial())[-len(expected) :] == expected


@pytest.mark.parametrize(("address", "why"), [("ssh://", "names no host"), ("ssh://h:x", "no port that could be")])
def test_an_address_that_names_nothing_is_refused(address: str, why: str) -> None:
    with pytest.raises(EndpointError, match=why):
        docker_ssh.Target.parse(address)


def test_a_context_over_tls_brings_its_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    digest = hashlib.sha256(b"far").hexdigest()
    meta, pems = tmp_path / "contexts/meta" / digest, tmp_path / "contexts/tls" / digest / "docker"
    for folder in (meta, pems):
        folder.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": "tcp://h:2376"}}}))
    assert docker_context.endpoint().tls is None
    for name in ("ca", "cert", "key"):
        (pems / f"{name}.pem").touch()
    found = docker_context.endpoint()
    assert (found.address, found.origin) == ("tcp://h:2376", "context far")
    assert found.tls is not None
    assert (found.tls.ca_cert, found.tls.verify) == (str(pems / "ca.pem"), True)
    assert found.tls.cert == (str(pems / "cert.pem"), str(pems / "key.pem"))


def test_dockers_configuration_that_is_broken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(docker_daemon.DaemonMissingError, match=r"config\.json cannot be read"):
        docker_daemon.connect()


# -- one name, several architectures -------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "expected"), [("1.49", list(Architecture)), ("1.41", [Architecture.X86_64])])
def test_an_image_is_asked_for_by_its_architecture_where_a_name_holds_several(
    version: str, expected: list[Architecture]
) -> None:
    """A daemon with containerd's image store: without a platform it tells of its own."""

    class Daemons(Handler):
        def get(self) -> None:
            asked = parse_qs(urlsplit(self.path).query).get("platform", ['{"architecture": "amd64"}'])[0]
            found = json.loads(asked)["architecture"]
            self.send(200, json.dumps({"Id": f"sha256:{found}", "Architecture": found}).encode())

    with serving(Daemons) as url:
        api = APIClient(base_url=url.replace("http://", "tcp://"), version=version)
        daemon = Daemon(
            api=api, address=url, origin="", version="", platform="amd64", processors=1, memory=1_000_000_000
        )
        found = [each for each in Architecture if docker_base.local(daemon, "base:1", each)]
        api.close()
    assert found == expected
