"""A Docker daemon of the tests' own, and the images that it has: Debian bullseye, as no registry can be relied on.

Everything lies in ``.work/dockerd``, so the second run has the images and the ccache of the first. Takes root.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from phplayer.sources import debian_mirrors
from tests.conftest import WORK
from tests.integration import native_compiler

HOME = WORK / "dockerd"
RELEASE = "bullseye"  # glibc 2.31, older than Lambda's
NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
_WAIT = 60.0  # seconds in which a daemon starts
_PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap", "iptables": "iptables"}
_EMULATOR = {"qemu-aarch64-static": "qemu-user-static", "update-binfmts": "binfmt-support"}


@dataclass
class DockerBed:
    """A running daemon."""

    home: Path  # what stays
    run: Path  # sockets and pids; a short path, since a socket's is limited to 108 bytes
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def socket(self) -> Path:
        return self.run / "docker.sock"

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self.socket}"}

    def start(self) -> None:
        """Start the daemon and wait until it answers; it ends with this process."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM"),
                    *("dockerd", "--host", f"unix://{self.socket}", "--data-root", self.home / "data"),
                    *("--exec-root", self.run / "exec", "--pidfile", self.run / "pid"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _WAIT
        while self.docker("version", check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"dockerd does not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End it as an administrator does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """End it as a lack of memory does, and its containerd with it; the containers go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None
        # Where nobody takes in orphans the dead containerd would pass for a living one.
        for name in ("pid", "docker.sock", "exec/containerd/containerd.pid"):
            (self.run / name).unlink(missing_ok=True)

    def docker(
        self, *arguments: str | Path, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Docker's own client, with the classic builder: BuildKit is not everywhere."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment, "DOCKER_BUILDKIT": "0"},
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"docker {arguments}: {done.stderr}"
        return done

    def ours(self) -> list[str]:
        """Return the containers that phplayer made, running or not."""
        return self.docker(
            "ps", "-a", "--filter", "label=phplayer", "--format", "{{.Names}} {{.Status}}"
        ).stdout.splitlines()

    def unnamed_images(self) -> list[str]:
        """Return the images that phplayer began."""
        filters = ("--filter", "dangling=true", "--filter", "label=phplayer")
        return self.docker("images", "-q", *filters).stdout.split()

    def clear(self) -> None:
        """Remove the containers that phplayer made."""
        for line in self.ours():
            self.docker("rm", "-f", line.split()[0])

    def image(self, architecture: str = NATIVE) -> str:
        """Return the name of the image of that architecture (by Debian's name), made if need be."""
        name = f"phplayer-bed:{RELEASE}-{architecture}{'-native-cc' if _is_accelerated(architecture) else ''}"
        if self.docker("image", "inspect", name, check=False).returncode != 0:
            if architecture != NATIVE:
                emulate_arm64()
            with tempfile.TemporaryDirectory(prefix="image-", dir=self.home) as folder:
                _root(Path(folder), architecture)
                self.build(name, Path(folder), "FROM scratch\nADD root.tar /\n", architecture)
        return name

    def build(self, name: str, folder: Path, dockerfile: str, architecture: str = NATIVE) -> None:
        (folder / "Dockerfile").write_text(dockerfile)
        self.docker("build", "--platform", f"linux/{architecture}", "-t", name, folder)


@contextlib.contextmanager
def running() -> Iterator[DockerBed]:
    """Start the daemon; another test session that has it is waited for."""
    install(_PACKAGES)
    HOME.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(HOME / "lock", timeout=3600), tempfile.TemporaryDirectory(prefix="dockerd-") as run:
        bed = DockerBed(home=HOME, run=Path(run), log=HOME / "dockerd.log")
        bed.log.unlink(missing_ok=True)
        try:
            bed.start()
            bed.image()
            bed.clear()  # of a session that was killed
            yield bed
        finally:
            bed.stop()
            _unmount_below(Path(run))


def emulate_arm64() -> None:
    """Let the kernel run arm64 programs."""
    install(_EMULATOR)
    formats = Path("/proc/sys/fs/binfmt_misc")
    if not (formats / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", formats], check=True)
    if not (formats / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=True)


def install(programs: dict[str, str]) -> None:
    """Install the packages of programs that are not there."""
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if missing:
        assert os.geteuid() == 0, f"these tests take root, and: apt-get install {' '.join(missing)}"
        _quietly(["apt-get", "install", "-y", "--no-install-recommends", *missing])


def _unmount_below(folder: Path) -> None:
    """Unmount what a daemon that was killed left: it would keep the folder from being removed."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True):
        subprocess.run(["umount", "-l", point], check=True)


def _is_accelerated(architecture: str) -> bool:
    return (NATIVE, architecture) == ("amd64", "arm64")


def _root(folder: Path, architecture: str) -> None:
    """Make root.tar of a minimal Debian."""
    root = folder / "root"
    _debootstrap(root, architecture)
    if _is_accelerated(architecture):
        _debootstrap(folder / "native", NATIVE, f"--include={','.join(native_compiler.PACKAGES)}")
        native_compiler.move(folder / "native", root)
        shutil.rmtree(folder / "native")
    for unneeded in (*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")):
        unneeded.unlink()
    _quietly(["tar", "-C", str(root), "-cf", str(folder / "root.tar"), "."])
    shutil.rmtree(root)


def _debootstrap(root: Path, architecture: str, *options: str) -> None:
    _quietly(
        [
            *("debootstrap", f"--arch={architecture}", "--variant=minbase", *options),
            *(RELEASE, str(root), debian_mirrors()[0]),
        ]
    )


def _quietly(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
