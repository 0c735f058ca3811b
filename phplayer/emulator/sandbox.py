"""Runs a program as Lambda would: layers at /opt, the function at /var/task, its environment and no other.

The work in the kernel is done by ``jail.py``, a process of its own. It works as root and as an ordinary user, and
takes every process in the sandbox with it when it dies, as it does when phplayer dies in whatever way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phplayer import cache
from phplayer.emulator import processes
from phplayer.emulator.processes import Memory
from phplayer.errors import EnvironmentMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_JAIL = Path(__file__).with_name("jail.py")
_JAIL_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")  # an interpreter may need them; nothing else is the function's to see
_ENDING = 5.0  # seconds that killing may take before it is done the hard way
_READ = 65536  # bytes: as much as a pipe holds
_SIP = 4096  # bytes taken of the log at a time while there may be more: a flood must not keep the loop from its clocks


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """What to run, and what it sees."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    binds: Mapping[str, Path]  # path inside -> file or folder outside, read-only
    tmp_mb: int = 512  # MB of its /tmp, which is empty at first and gone at last


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the program ended."""

    code: int  # exit status, or minus the number of a signal
    peak_kb: int  # largest resident size of any of its processes

    def __str__(self) -> str:
        """Return the words of Lambda, which is written in Go."""
        if self.code >= 0:
            return f"exit status {self.code}"
        name = signal.strsignal(-self.code)
        return f"signal: {name.lower() if name else -self.code}"


async def first_of(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109  as asyncio.wait
    """Return when one of the futures is done, or after ``timeout`` seconds; cancels none."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


class Sandbox:
    """A running program. Create it with ``start``; what it prints goes to ``on_output`` as it comes."""

    def __init__(self, spec: SandboxSpec, on_output: Callable[[bytes], None]) -> None:
        self._spec = spec
        self._on_output = on_output
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[float] = loop.create_future()  # seconds on the monotonic clock
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self._failure: dict[str, Any] = {}
        self._ending = Ending(code=-9, peak_kb=0)  # unless the jail lives to tell
        self._pending = b""

    @classmethod
    async def start(cls, spec: SandboxSpec, on_output: Callable[[bytes], None]) -> Sandbox:
        """Start the program.

        Raises:
            EnvironmentMissingError: this machine does not allow the namespaces.

        """
        if sys.platform != "linux":
            raise EnvironmentMissingError(
                "Running a function locally needs Linux namespaces, which this system has not.",
                remedy="Run phplayer on Linux, for instance in a virtual machine.",
            )
        sandbox = cls(spec, on_output)
        sandbox._spawn()
        try:
            await first_of(sandbox.started, sandbox.ended)
        except BaseException:
            sandbox.kill()
            raise
        if sandbox._failure:
            sandbox.kill()
            raise _forbidden(sandbox._failure)
        return sandbox

    def _spawn(self) -> None:
        self._status, status = os.pipe()
        self._log, log = os.pipe()
        specification = {
            "parent": os.getpid(),
            "status": status,
            "staging": str(cache.folder("sandbox")),  # covered in each sandbox's own namespace, empty in ours
            "binds": {target: str(source.resolve()) for target, source in self._spec.binds.items()},
            "tmp_bytes": self._spec.tmp_mb << 20,
            "command": self._spec.command,
            "environment": dict(self._spec.environment),
        }
        try:
            # A session of its own: Ctrl-C is for phplayer, which then ends the sandbox in order.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_JAIL)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(status,),
                start_new_session=True,
                env={name: os.environ[name] for name in _JAIL_ENVIRONMENT if name in os.environ},
            )
        finally:
            os.close(status)
            os.close(log)
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        self._process.stdin.write(json.dumps(specification).encode())
        self._process.stdin.close()
        loop = asyncio.get_running_loop()
        os.set_blocking(self._status, False)
        os.set_blocking(self._log, False)
        loop.add_reader(self._status, self._read_status)
        loop.add_reader(self._log, self._hear, _SIP)

    def drain(self) -> None:
        """Hand on what the program has printed so far."""
        self._hear(_READ)

    def _hear(self, most: int) -> bool:
        """Hand on what it has printed, ``most`` bytes at once; tell whether there was any."""
        if self._log < 0:
            return False
        try:
            data = os.read(self._log, most)
        except BlockingIOError:
            return False
        if data:
            self._on_output(data)
        else:
            self._log = _forget(self._log)
        return bool(data)

    def memory(self) -> Memory:
        """Measure the program and its living descendants; after the end, only the peak is known."""
        if self.ended.done():
            return Memory(peak=self.ended.result().peak_kb, charged=0)
        return processes.memory(self._inside())

    def signal(self, number: int) -> None:
        """Send the program a signal, as Lambda does when it ends an environment in order."""
        for pid in self._inside()[:1]:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)

    def _inside(self) -> tuple[int, ...]:
        """Return the program and its descendants: all below process 1 of the namespace."""
        return tuple(pid for first in processes.children(self._process.pid) for pid in processes.descendants(first))

    def kill(self) -> None:
        """End the program and all it started; returns when nothing is left. May be called again."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_ENDING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._read_status()
        self._finish()
        self._log = _forget(self._log)

    def _read_status(self) -> None:
        while self._status >= 0:
            try:
                data = os.read(self._status, _READ)
            except BlockingIOError:
                return
            if not data:
                self._finish()
                return
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, message: dict[str, Any]) -> None:
        if "started" in message:
            self.started.set_result(message["started"] / 1e9)
        elif "exit" in message:
            self._ending = Ending(code=message["exit"], peak_kb=message["peak_kb"])
        else:
            self._failure = message

    def _finish(self) -> None:
        """Nothing is left in the sandbox."""
        self._status = _forget(self._status)
        self._process.wait()
        while self._hear(_READ):
            pass  # nobody is left who could go on and on
        if not self.ended.done():
            self.ended.set_result(self._ending)


def _forget(descriptor: int) -> int:
    if descriptor >= 0:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
    return -1


def _forbidden(failure: Mapping[str, Any]) -> EnvironmentMissingError:
    what, number = failure["error"], failure["errno"]
    reason = os.strerror(number)
    if number == errno.EACCES and what.startswith("/") and not what.startswith("/proc/"):
        return EnvironmentMissingError(
            f"The sandbox, which runs as you, cannot read {what}: {reason}.",
            remedy="Check the owner and the mode of that folder and of those above it.",
        )
    if number not in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EINVAL, errno.ENOSYS):
        return EnvironmentMissingError(
            f"The sandbox could not be set up: {what}: {reason}.", remedy="Check memory and disk space."
        )
    switches = {
        "kernel.unprivileged_userns_clone": ("0", "1"),
        "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
        "user.max_user_namespaces": ("0", "10000"),
    }
    remedy = "Run as root; inside a container, start that with: docker run --privileged"
    for name, (off, on) in switches.items():
        path = Path("/proc/sys", *name.split("."))
        if path.is_file() and path.read_text().strip() == off:
            remedy = f"Allow them with: sudo sysctl -w {name}={on}   (or run as root)"
            break
    return EnvironmentMissingError(
        f"This machine does not allow the namespaces that a local function runs in ({what}: {reason}).", remedy=remedy
    )
