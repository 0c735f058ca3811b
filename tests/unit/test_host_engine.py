from __future__ import annotations

import os
import platform
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from phplayer import catalog
from phplayer.engines import host
from phplayer.engines.lines import LONGEST
from phplayer.errors import EnvironmentMissingError
from tests.recipes import recipe


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> host.HostEngine:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path))
    return host.HostEngine()


def test_a_missing_package_is_named_with_the_command_that_installs_it(engine: host.HostEngine) -> None:
    with pytest.raises(EnvironmentMissingError) as caught:
        engine.require(("tar", "no-such-package-at-all"))
    assert "no-such-package-at-all" in caught.value.message
    assert "tar" not in caught.value.message.split(": ")[1]
    assert caught.value.remedy.endswith(f"{' '.join(engine.base.install_command)} no-such-package-at-all")


def test_an_ordinary_user_is_told_to_use_sudo(engine: host.HostEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert engine.install_command(("x",))[0] == "sudo"


def test_a_virtual_package_counts_as_installed_with_its_provider(engine: host.HostEngine) -> None:
    assert engine.missing(("awk",)) == ()


def test_the_fingerprint_covers_what_the_packages_depend_on(engine: host.HostEngine) -> None:
    names = {line.partition("=")[0] for line in host._InstalledDebs.read().closure(("libxml2-dev",))}
    assert {"libxml2-dev", "libxml2", "libc6", "zlib1g"} <= names
    assert engine.fingerprint(("libxml2-dev",)) == engine.fingerprint(("libxml2-dev",))
    assert engine.fingerprint(("libxml2-dev",)) != engine.fingerprint(("make",))


def test_another_system_is_told_which_packages_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "arch", "PRETTY_NAME": "Arch Linux"})
    with pytest.raises(EnvironmentMissingError) as caught:
        host.HostEngine()
    assert "Arch Linux" in caught.value.message
    assert "gcc" in caught.value.remedy


def test_a_derivative_counts_as_what_it_is_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "pop", "ID_LIKE": "ubuntu debian"})
    assert host.HostEngine().base == catalog.load().bases["debian"]


def test_steps_see_nothing_of_the_users_environment(engine: host.HostEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-O0 -g")
    lines: list[str] = []
    with engine.workspace("k", recipe()) as workspace:
        assert workspace.run(["env"], environment={"A": "1"}, on_line=lines.append) == 0
    assert "A=1" in lines
    assert not any(line.startswith("CFLAGS") for line in lines)


def test_a_step_that_never_ends_its_line_does_not_fill_our_memory(engine: host.HostEngine) -> None:
    lengths: list[int] = []
    with engine.workspace("k", recipe()) as workspace:
        script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; exit 3"
        assert workspace.run(["sh", "-c", script], environment={}, on_line=lambda line: lengths.append(len(line))) == 3
    assert (max(lengths), sum(lengths)) == (LONGEST, 1_000_000)


def test_a_workspace_is_kept_to_go_on_from_unless_it_ended_well(engine: host.HostEngine, tmp_path: Path) -> None:
    def interrupted() -> None:
        with engine.workspace("k", recipe()) as workspace:
            workspace.mark("unpack.done")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with engine.workspace("k", recipe()) as workspace:
        assert workspace.exists("unpack.done")
    assert list((tmp_path / "work").iterdir()) == []


def test_nothing_that_a_step_started_outlives_an_interruption(engine: host.HostEngine) -> None:
    def interrupt(line: str) -> None:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        pids.append(int(line))

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt), engine.workspace("k", recipe()) as workspace:
        workspace.run(["sh", "-c", "sleep 300 & echo $!; wait"], environment={}, on_line=interrupt)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _alive(pids[0]):
        time.sleep(0.05)
    assert not _alive(pids[0])


def _alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.startswith("Z")


def test_ccache_comes_before_the_compilers_where_it_is_installed_and_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "masquerade").mkdir()
    monkeypatch.setattr(host, "_CCACHE_COMPILERS", (str(tmp_path / "nowhere"), str(tmp_path / "masquerade")))
    assert "CCACHE_DIR" not in environment_of_a_step(host.HostEngine())
    (tmp_path / "masquerade" / "gcc").symlink_to("/bin/true")
    used = environment_of_a_step(host.HostEngine())
    assert used["PATH"].startswith(f"{tmp_path}/masquerade:")
    assert used["CCACHE_DIR"] == str(tmp_path / "cache" / "ccache")
    assert used["CCACHE_BASEDIR"] == str(tmp_path / "cache" / "work")
    assert "masquerade" not in environment_of_a_step(host.HostEngine(ccache=False))["PATH"]


def environment_of_a_step(engine: host.HostEngine) -> dict[str, str]:
    lines: list[str] = []
    with engine.workspace("k", recipe()) as workspace:
        workspace.run(["env"], environment={}, on_line=lines.append)
    return dict(line.split("=", 1) for line in lines)
