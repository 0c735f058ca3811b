"""Base images and toolchain images in a real daemon, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from phplayer.engines import docker_base, docker_daemon, docker_leftovers
from phplayer.engines.docker_base import base_image
from phplayer.engines.docker_daemon import Daemon
from phplayer.errors import EnvironmentMissingError
from phplayer.events import Event, PhaseStarted, unheard
from phplayer.runtime import Architecture
from tests.integration import standin
from tests.integration.docker_bed import NATIVE, DockerBed
from tests.integration.registry import registry

pytestmark = pytest.mark.usefixtures("daemon")

FOREIGN = next(each for each in Architecture if each != Architecture.of_this_machine())


def test_the_toolchain_image_is_made_once(bed: DockerBed) -> None:
    said: list[Event] = []
    first = standin.engine(bed.image(), said.append)
    first.require(())
    said.clear()
    again = standin.engine(bed.image(), said.append)
    assert again.fingerprint(()) == first.fingerprint(())
    assert not [event for event in said if isinstance(event, PhaseStarted)]
    assert again.fingerprint(("make",)) != first.fingerprint(())


def test_a_package_that_the_base_lacks_leaves_no_half_image(bed: DockerBed) -> None:
    with pytest.raises(EnvironmentMissingError, match="could not be made from phplayer-bed") as caught:
        standin.engine(bed.image()).require(("no-such-package-at-all",))
    assert any("no-such-package-at-all" in line for line in caught.value.details)
    assert "lack a package" in caught.value.remedy
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_a_base_image_that_does_not_exist_is_refused_before_anything_else(bed: DockerBed) -> None:
    with pytest.raises(EnvironmentMissingError, match=r"localhost:1/none:1 is not in the Docker daemon") as caught:
        standin.engine("localhost:1/none:1")
    assert "--base-image" in caught.value.remedy


def test_a_system_without_known_packages_is_refused(bed: DockerBed, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('ID=other\nPRETTY_NAME="Other Linux 3"\n')
    bed.build("phplayer-bed:other", tmp_path, "FROM scratch\nADD os-release /usr/lib/os-release\n")
    with pytest.raises(EnvironmentMissingError, match="is Other Linux 3") as caught:
        standin.engine("phplayer-bed:other")
    assert "debian" in caught.value.remedy


def test_an_architecture_that_is_not_emulated_is_refused_with_the_fix(bed: DockerBed, tmp_path: Path) -> None:
    """A program that no machine here runs stands for one that lacks its emulator."""
    (tmp_path / "os-release").write_text("ID=debian\n")
    (tmp_path / "true").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x15\x00" + bytes(44))
    (tmp_path / "true").chmod(0o755)
    bed.build(
        "phplayer-bed:foreign",
        tmp_path,
        "FROM scratch\nADD os-release /usr/lib/os-release\nADD true /bin/true\nENV PATH=/bin\n",
        {"amd64": "arm64", "arm64": "amd64"}[NATIVE],
    )
    with pytest.raises(EnvironmentMissingError, match="cannot compile for") as caught:
        standin.engine("phplayer-bed:foreign", architecture=FOREIGN)
    assert "binfmt --install" in caught.value.remedy
    native = Architecture.of_this_machine()
    with pytest.raises(EnvironmentMissingError, match=f"is for {FOREIGN} in the Docker daemon, not for {native}, and"):
        standin.engine("phplayer-bed:foreign")


# -- one name, several architectures -------------------------------------------------------------------------------


@pytest.fixture
def daemon_holding_none() -> Daemon:
    """The daemon, without what a test that was cut off left."""
    daemon = docker_daemon.connect()
    sweep_held(daemon)
    return daemon


def test_the_architectures_of_one_name_do_not_replace_one_another(bed: DockerBed, daemon_holding_none: Daemon) -> None:
    daemon = daemon_holding_none
    with registry(tuple(docker_daemon.PLATFORMS.values())) as name:
        reference = f"{name}:1"
        first = {each: base_image(daemon, reference, each, unheard) for each in Architecture}
    said: list[Event] = []
    again = {each: base_image(daemon, reference, each, said.append) for each in Architecture}
    assert again == first
    assert said == [], "the registry is gone: nothing was pulled"
    for architecture, image in first.items():
        shown = bed.docker("image", "inspect", "--format", "{{.Architecture}}", image.identity).stdout.strip()
        assert shown == docker_daemon.PLATFORMS[architecture]
    named = bed.docker("image", "inspect", "--format", "{{.Id}}", reference).stdout.strip()
    assert named == first[next(iter(Architecture))].identity, "a name stays with what it stood for"
    assert not [each for each in docker_leftovers.find(daemon) if each.name.startswith(docker_base.HELD)]
    assert sweep_held(daemon) == len(Architecture)
    bed.docker("rmi", reference)


def sweep_held(daemon: Daemon) -> int:
    """Remove the names that base images are held by, as ``clean --all`` does; return how many there were."""
    found = docker_leftovers.find(daemon, everything=True)
    return len(docker_leftovers.sweep(daemon, tuple(each for each in found if each.name.startswith(docker_base.HELD))))


def test_the_digest_of_an_index_gives_each_architecture_its_image(bed: DockerBed, daemon_holding_none: Daemon) -> None:
    daemon = daemon_holding_none
    with registry(tuple(docker_daemon.PLATFORMS.values())) as name:
        pulled = bed.docker("pull", f"{name}:1").stdout
        (digest,) = (line.removeprefix("Digest: ") for line in pulled.splitlines() if line.startswith("Digest: "))
        bed.docker("rmi", f"{name}:1")
        reference = f"{name}@{digest}"
        identities = [base_image(daemon, reference, each, unheard).identity for each in (*Architecture, *Architecture)]
    assert len(set(identities)) == len(Architecture)
    assert sweep_held(daemon) == len(Architecture)
    for identity in set(identities):
        bed.docker("rmi", "-f", identity, check=False)  # the digest, if one has it still


def test_a_registry_without_the_architecture_is_refused_naming_both(
    bed: DockerBed, daemon_holding_none: Daemon
) -> None:
    daemon, native = daemon_holding_none, Architecture.of_this_machine()
    with registry((NATIVE,)) as name:
        base_image(daemon, f"{name}:1", native, unheard)
        with pytest.raises(EnvironmentMissingError, match=f"is for {native} in the Docker daemon, not for {FOREIGN}"):
            base_image(daemon, f"{name}:1", FOREIGN, unheard)
    assert sweep_held(daemon) == 1
    bed.docker("rmi", f"{name}:1")
