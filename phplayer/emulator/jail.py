"""Runs one program in namespaces of its own, then everything in them is gone.

Started as a script (``python -I -S jail.py``), hence only the standard library. The specification comes as JSON on
stdin. Three processes: the outer one makes the namespaces and waits; its child is process 1 of the new PID namespace,
lays out the file system and reaps; its child in turn becomes the program. Each dies with its parent, and when
process 1 dies the kernel kills whatever is left in the namespace.

What happens is told as JSON lines on the file descriptor ``status``: ``{"started": ns}``, ``{"exit": n, "peak_kb": n}``
or ``{"error": what, "errno": n}``; its end-of-file says that nothing is left.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

# <sched.h>, <sys/mount.h>, <sys/prctl.h>
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID = 0x10000000, 0x20000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_NOATIME, _MS_NODIRATIME = 1, 2, 4, 8, 32, 1024, 2048
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_RELATIME, _MS_STRICTATIME = 4096, 16384, 1 << 18, 1 << 21, 1 << 24
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_ST_RELATIME = 4096  # of statvfs

_UID, _GID = 993, 990  # sbx_user1051, who functions run as on Lambda
_HOST_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HOST_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "resolv.conf", "hosts", "nsswitch.conf", "ssl", "pki",
             "ca-certificates", "alternatives", "crypto-policies")  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Make the namespaces, start process 1 in them and wait for it."""
    spec: dict[str, Any] = json.load(sys.stdin.buffer)
    status: int = spec["status"]
    try:
        _die_with_parent()
        if os.getppid() != spec["parent"]:
            return  # it died before it could take us with it
        confined = _unshare()
    except OSError as error:
        _tell(status, {"error": error.filename or "", "errno": error.errno})
        return
    lifeline, held = os.pipe()
    inner = os.fork()
    if inner == 0:
        os.close(held)
        _inner(spec, lifeline, confined=confined)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(inner, signal.SIGKILL))
    os.close(status)
    os.waitpid(inner, 0)  # returns when the kernel has ended every process of the namespace


def _inner(spec: dict[str, Any], lifeline: int, *, confined: bool) -> NoReturn:
    """Be process 1."""
    status: int = spec["status"]
    try:
        _die_with_parent()
        if select.select([lifeline], [], [], 0)[0]:
            os._exit(0)  # the outer process is already dead
        os.close(lifeline)
        _lay_out(Path(spec["staging"]), spec["binds"], spec["tmp_bytes"])
        started = time.monotonic_ns()
        program = os.fork()
        if program == 0:
            _become(spec, confined=confined)
        _tell(status, {"started": started})
        os.closerange(0, 3)  # the log ends when the program's side of it does
        code = _reap(program)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        _tell(status, {"exit": code, "peak_kb": peak})
    except OSError as error:
        _tell(status, {"error": error.filename or "", "errno": error.errno})
    os._exit(0)


def _become(spec: dict[str, Any], *, confined: bool) -> NoReturn:
    """Be the program."""
    arguments: list[str] = spec["command"]
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.closerange(3, 1024)
        os.umask(0o022)
        if not confined:  # root without a user namespace: keep the user, drop the power
            for capability in range(64):
                _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.chdir("/var/task")
        os.execve(arguments[0], arguments, spec["environment"])  # noqa: S606  no shell is the point
    except OSError as error:
        os.write(2, f"{arguments[0]} cannot be executed: {error.strerror}\n".encode())
    os._exit(127)


def _reap(program: int) -> int:
    """Wait for the program, and bury what it leaves; return its status, negative for a signal."""
    while True:
        pid, status = os.wait()
        if pid == program:
            return os.waitstatus_to_exitcode(status)


def _unshare() -> bool:
    """Enter new namespaces; return whether a user namespace is among them.

    A user namespace even for root: inside, the program is an ordinary user without any capability, and yet may read
    what the caller may read.
    """
    rest = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUTS
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | rest) != 0:
        number = ctypes.get_errno()
        if uid != 0:
            raise OSError(number, os.strerror(number), "unshare")
        _call("unshare", _libc.unshare(rest))
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{_UID} {uid} 1"), ("gid_map", f"{_GID} {gid} 1")):
        Path("/proc/self", name).write_text(text)
    return True


def _die_with_parent() -> None:
    _call("prctl", _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def _lay_out(new: Path, binds: dict[str, str], tmp_bytes: int) -> None:
    """Build the file system that the program sees, and make it the root."""
    _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", new, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    _share_host(new)
    for target, source in binds.items():
        _bind(Path(source), new / target.lstrip("/"))
    _devices(new / "dev")
    for name in ("opt", "var/task", "var/runtime", "proc", "tmp"):
        (new / name).mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", new / "tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=1777,size={tmp_bytes}")
    try:
        _mount("proc", new / "proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except OSError as error:
        # A container that hides parts of its own /proc may not mount one. The program does without.
        if error.errno != errno.EPERM:
            raise
    os.chdir(new)
    _call("pivot_root", _libc.pivot_root(b".", b"."))
    _call("umount2", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")
    _mount(None, Path("/"), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _share_host(new: Path) -> None:
    """Show the host's programs and libraries, read-only; of /etc only what these need."""
    for name in _HOST_FOLDERS:
        source = Path("/", name)
        if source.is_symlink():
            (new / name).symlink_to(source.readlink())
        elif source.is_dir():
            _bind(source, new / name)
    etc = new / "etc"
    etc.mkdir()
    for name in _HOST_ETC:
        source = Path("/etc", name)
        if source.exists():
            _bind(source, etc / name)
    (etc / "passwd").write_text(
        f"root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:{_UID}:{_GID}::/home/sbx_user1051:/bin/sh\n"
    )
    (etc / "group").write_text(f"root:x:0:\nsbx_user1051:x:{_GID}:\n")


def _devices(dev: Path) -> None:
    for name in _DEVICES:
        _bind(Path("/dev", name), dev / name, read_only=False)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (dev / name).symlink_to(f"/proc/self/fd/{number}")
    (dev / "fd").symlink_to("/proc/self/fd")


def _bind(source: Path, target: Path, *, read_only: bool = True) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), target, None, _MS_BIND | _MS_REC)
    if read_only:
        _mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _kept_flags(target))


def _kept_flags(path: Path) -> int:
    """Return the flags of a mount that a user namespace may not take away, and so must state again."""
    flags = os.statvfs(path).f_flag
    kept = flags & (_MS_NOSUID | _MS_NODEV | _MS_NOEXEC | _MS_NOATIME | _MS_NODIRATIME)
    if flags & _ST_RELATIME:
        return kept | _MS_RELATIME
    return kept if flags & _MS_NOATIME else kept | _MS_STRICTATIME


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _call(f"mount {target}", result)


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _tell(status: int, message: dict[str, Any]) -> None:
    os.write(status, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
