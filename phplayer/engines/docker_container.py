"""Containers: the workspace of a build, and short-lived ones that an image is looked into with.

Files go in and out through the daemon's archives and nothing is mounted from this machine, so the daemon may be
anywhere. The container's only process of its own reads from a connection that this process holds open: when this
process ends, however it ends, the daemon closes the other side, the container ends, and the daemon removes it.
"""

from __future__ import annotations

import os
import secrets
import socket
import tarfile
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from phplayer.engines.docker_daemon import LABEL
from phplayer.engines.docker_streams import hang_up, unpack
from phplayer.engines.lines import lines
from phplayer.errors import BuildFailedError, PhplayerError
from phplayer.events import Noted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from phplayer.engines import EngineOptions
    from phplayer.engines.docker_daemon import Daemon
    from phplayer.events import Listener

USER = 1000
"""Who compiles: nobody's number in the images, and never root's."""

FOLDER = "/build"
CCACHE_FOLDER = "/ccache"

CLIENT_LABEL = f"{LABEL}.client"
"""``host:pid`` of the process that a container works for."""

_KILLED = 128 + 9  # exit status of a program that SIGKILL ended
_SETTLE = 3.0  # seconds in which the daemon notices that a container has ended

_CCACHE_SIZE = "1G"  # some twenty PHPs

_UNTIL_WE_END = ["cat"]  # reads our connection to its end
_FOR_EVER = ["sleep", "infinity"]

# Nothing of the image's environment takes part.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
    "HOME": FOLDER,
}


def client() -> str:
    """Return the label's value for this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class ContainerWorkspace:
    """A folder of a running container."""

    full_disk_remedy = (
        "The disk of the Docker daemon is full: docker system prune frees what nothing uses there. Then run again."
    )

    def __init__(self, daemon: Daemon, container: str, *, ccache: str) -> None:
        self._daemon = daemon
        self._container = container
        self._environment = {**_ENVIRONMENT}
        if ccache:
            self._environment |= {
                "PATH": f"{ccache}:{_ENVIRONMENT['PATH']}",
                "CCACHE_DIR": CCACHE_FOLDER,
                "CCACHE_MAXSIZE": _CCACHE_SIZE,
            }
        self._marks: set[str] = set()

    def put(self, source: Path, name: str) -> None:
        """Copy a file or a folder in; it belongs to the user who compiles, and so do the folders it lies in."""
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for folder in reversed(PurePosixPath(name).parents[:-1]):
                    archive.addfile(_owned(_folder(folder)))
                archive.add(source, arcname=name, filter=_owned)
            packed.seek(0)
            with self._daemon.asked_to(f"copy {name} into the container"):
                self._daemon.api.put_archive(self._container, FOLDER, packed)

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str], on_line: Callable[[str], None]) -> int:
        """Run a program as the user who compiles.

        Raises:
            BuildFailedError: the container ended before the program did.
            EnvironmentMissingError: the daemon did.

        """
        api, what = self._daemon.api, f"run {' '.join(arguments[:2])}"
        variables = {**self._environment, **environment}
        with self._daemon.asked_to(what):
            run = api.exec_create(
                self._container,
                # The daemon would only add to what the image sets, CFLAGS or a proxy for example.
                ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *arguments],
                workdir=FOLDER,
                user=f"{USER}:{USER}",
            )["Id"]
        with closing(self._output(run, what)) as output:
            for line in lines(output):
                on_line(line)
        status = self._status(run, what)
        if status is None or (status == _KILLED and not self._goes_on(what)):
            raise BuildFailedError(
                f"The container ended while it was to {what}: it was stopped or removed from outside, "
                "or the daemon's machine ran out of memory.",
                remedy="Run the same command again; with a smaller --jobs if it was memory (docker events tells).",
            )
        return status

    def _output(self, run: str, what: str) -> Generator[bytes]:
        """Yield what a program prints, on either stream, as it comes."""
        from docker.utils.socket import frames_iter

        with self._daemon.asked_to(what):
            connection = self._daemon.api.exec_start(run, socket=True)
            try:
                for _, data in frames_iter(connection, tty=False):  # type: ignore[no-untyped-call]
                    yield data
            finally:
                hang_up(connection)

    def _status(self, run: str, what: str) -> int | None:
        """Return the program's exit status, None where its container is gone."""
        from docker.errors import NotFound

        with self._daemon.asked_to(what):
            try:
                status: int | None = self._daemon.api.exec_inspect(run)["ExitCode"]
            except NotFound:
                return None
        return status

    def _goes_on(self, what: str) -> bool:
        """Tell whether the container outlives the end of a program in it, which the daemon notices first."""
        from docker.errors import NotFound

        deadline = time.monotonic() + _SETTLE
        while time.monotonic() < deadline:
            with self._daemon.asked_to(what):
                try:
                    if not self._daemon.api.inspect_container(self._container)["State"]["Running"]:
                        return False
                except NotFound:
                    return False
            time.sleep(0.2)
        return True

    def exists(self, name: str) -> bool:
        """Tell whether a step is marked as done: a container begins empty, so only this build can have marked it."""
        return name in self._marks

    def mark(self, name: str) -> None:
        """Remember a step that is done."""
        self._marks.add(name)

    def get(self, name: str, into: Path) -> None:
        """Copy a file or a folder out."""
        with closing(self._archive(name)) as pieces:
            unpack(pieces, into)

    def _archive(self, name: str) -> Generator[bytes]:
        with self._daemon.asked_to(f"copy {name} out of the container"):
            yield from self._daemon.api.get_archive(self._container, f"{FOLDER}/{name}")[0]


def _folder(path: PurePosixPath) -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(path))
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


def _owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give a member of an archive to the user who compiles."""
    member.uid = member.gid = USER
    member.uname = member.gname = ""
    return member


@contextmanager
def workspace(
    daemon: Daemon, image: str, name: str, *, options: EngineOptions, ccache: tuple[str, str], listener: Listener
) -> Iterator[ContainerWorkspace]:
    """Run a container of that image for one build, and remove it however the block ends.

    ``ccache`` is the folder of compilers that go through it and the volume of its cache, or two empty strings.
    With ``keep_container`` it stays, and the listener is told how to enter it.
    """
    name = f"phplayer-{name}-{secrets.token_hex(3)}"
    api, keep = daemon.api, options.keep_container
    compilers, volume = ccache
    limits: dict[str, Any] = {}
    if options.memory:
        limits["mem_limit"] = limits["memswap_limit"] = options.memory
    if options.cpus:
        limits["nano_cpus"] = int(options.cpus * 1e9)
    if volume:
        limits["binds"] = {volume: {"bind": CCACHE_FOLDER, "mode": "rw"}}
    labels = {LABEL: "kept" if keep else "workspace", CLIENT_LABEL: client()}
    lease = None
    try:
        with daemon.asked_to("start a container"):
            api.create_container(
                image,
                _FOR_EVER if keep else _UNTIL_WE_END,
                name=name,
                entrypoint=[],  # that of images for functions is Lambda's start-up
                labels=labels,
                user=f"{USER}:{USER}",
                working_dir=FOLDER,
                stdin_open=not keep,
                use_config_proxy=False,
                host_config=api.create_host_config(
                    auto_remove=not keep,
                    network_mode="none",  # a compile takes nothing from the network
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                    **limits,
                ),
            )
            if not keep:
                lease = api.attach_socket(name, {"stdin": 1, "stream": 1})
            api.start(name)
        yield ContainerWorkspace(daemon, name, ccache=compilers)
    finally:
        if keep:
            listener(
                Noted(
                    message=f"The container is kept. Enter it: docker exec -it {name} sh. "
                    f"Remove it: docker rm -f {name}."
                )
            )
        else:
            remove(daemon, name)
        if lease is not None:
            hang_up(lease)


@contextmanager
def scratch(daemon: Daemon, image: str, command: Sequence[str]) -> Iterator[str]:
    """Make a container to look into an image with, and remove it."""
    container = ""
    try:
        with daemon.asked_to("make a container"):
            container = daemon.api.create_container(
                image,
                list(command),
                entrypoint=[],
                use_config_proxy=False,
                labels={LABEL: "scratch", CLIENT_LABEL: client()},
                host_config=daemon.api.create_host_config(network_mode="none"),
            )["Id"]
        yield container
    finally:
        if container:
            remove(daemon, container)


def read_file(daemon: Daemon, image: str, path: str) -> bytes:
    """Return the content of a file of an image."""
    with (
        scratch(daemon, image, ["true"]) as container,
        tempfile.TemporaryDirectory() as folder,
        daemon.asked_to(f"read {path}"),
    ):
        stream, _ = daemon.api.get_archive(container, path)
        unpack(stream, Path(folder))
        return (Path(folder) / path.rsplit("/", 1)[-1]).read_bytes()


def remove(daemon: Daemon, container: str) -> None:
    """Remove a container, running or not.

    One that is gone already, or a daemon that is, is no error: what is left then is found by its label.
    """
    with suppress(PhplayerError), daemon.asked_to("remove a container"):
        daemon.api.remove_container(container, force=True, v=True)
