"""Finding and running Composer, with stand-ins for the program itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from phplayer import composer
from phplayer.errors import BuildFailedError, EnvironmentMissingError, UsageError


def program(path: Path, body: str, *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def test_the_one_on_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "composer", 'echo "Composer version 2.8.8 2025-04-04 16:56:46"')
    monkeypatch.setenv("PATH", str(tmp_path))
    found = composer.find_composer()
    assert found == composer.Composer(path=path, version="2.8.8", command=(str(path),))


def test_none_on_path_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "debian"})
    with pytest.raises(EnvironmentMissingError, match="no Composer on PATH") as caught:
        composer.find_composer()
    assert "apt-get install -y --no-install-recommends composer unzip" in caught.value.remedy


def test_a_system_without_a_package_gets_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> dict[str, str]:
        raise OSError

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.freedesktop_os_release", unknown)
    with pytest.raises(EnvironmentMissingError) as caught:
        composer.find_composer()
    assert "getcomposer.org" in caught.value.remedy


def test_a_named_file_is_relative_to_the_project(tmp_path: Path) -> None:
    path = program(tmp_path / "bin/composer.phar", 'echo "Composer version 2.5.5"')
    assert composer.find_composer("bin/composer.phar", relative_to=tmp_path).path == path
    with pytest.raises(UsageError, match=r"composer\.bin names 'gone/composer'"):
        composer.find_composer("gone/composer", relative_to=tmp_path)


def test_a_downloaded_phar_is_run_with_php(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    php = program(tmp_path / "bin/php", 'echo "Composer version 2.5.5 run by $1"')
    phar = program(tmp_path / "composer.phar", "exit 1", mode=0o644)
    monkeypatch.setenv("PATH", str(php.parent))
    assert composer.find_composer(str(phar)).command == (str(php), str(phar))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="not executable"):
        composer.find_composer(str(phar))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('echo "Composer version 1.10.26"', "is Composer 1.10.26; Composer 2 or newer"),
        ("echo broken >&2; exit 127", r"does not run as Composer \(exit code 127\)"),
        ("echo hello", "does not run as Composer"),
    ],
)
def test_what_is_no_composer_is_refused(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(EnvironmentMissingError, match=message):
        composer.find_composer(str(program(tmp_path / "composer", body)))


def test_composer_sees_what_it_needs_and_nothing_else() -> None:
    seen = composer.environment(
        {"HOME": "/home/me", "PATH": "/bin", "https_proxy": "http://proxy", "COMPOSER_AUTH": "{}", "AWS_SECRET": "x",
         "COMPOSER_VENDOR_DIR": "elsewhere", "COMPOSER": "other.json", "LC_ALL": "de_DE.UTF-8"}
    )  # fmt: skip
    assert {"HOME", "PATH", "https_proxy", "COMPOSER_AUTH"} <= set(seen)
    assert not {"AWS_SECRET", "COMPOSER_VENDOR_DIR", "COMPOSER"} & set(seen)
    assert seen["LC_ALL"] == "C.UTF-8"
    assert seen["COMPOSER_MIRROR_PATH_REPOS"] == "1"


def test_a_composer_that_hides_its_extensions_is_reported(tmp_path: Path) -> None:
    fake = program(tmp_path / "composer", "echo nonsense")
    found = composer.Composer(path=fake, version="2.5.5", command=(str(fake),))
    with pytest.raises(EnvironmentMissingError, match="does not tell which extensions"):
        composer.extensions_of(found, scratch=tmp_path / "scratch")


def run(path: Path, scratch: Path, *, secrets: tuple[str, ...] = (), lines: list[str] | None = None) -> Path:
    heard = [] if lines is None else lines
    composer.run(
        composer.Composer(path=path, version="2.5.5", command=(str(path),)),
        ("install",),
        scratch=scratch,
        variables={"COMPOSER_ROOT_VERSION": "7"},
        secrets=secrets,
        runtime="PHP 8.4.24",
        log=scratch / "log",
        on_line=heard.append,
    )
    return scratch / "log"


def test_output_goes_to_the_log_and_the_listener_without_secrets(tmp_path: Path) -> None:
    heard: list[str] = []
    path = program(tmp_path / "composer", 'echo "root $COMPOSER_ROOT_VERSION"; echo "token s3cr3t-token" >&2')
    log = run(path, tmp_path, secrets=("s3cr3t-token",), lines=heard)
    assert heard == ["root 7", "token ***"]
    assert log.read_text() == "$ composer install\nroot 7\ntoken ***\n"


def test_a_failure_carries_the_log(tmp_path: Path) -> None:
    path = program(tmp_path / "composer", "echo what went wrong; exit 3")
    with pytest.raises(BuildFailedError, match="exit code 3") as caught:
        run(path, tmp_path)
    assert caught.value.details == ("what went wrong",)
    assert caught.value.log == tmp_path / "log"


def test_an_interrupt_ends_the_whole_process_group(tmp_path: Path) -> None:
    """The child's child too."""
    path = program(tmp_path / "composer", f"sleep 300 & echo $! > {tmp_path}/pid; echo started; wait")

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        composer.run(
            composer.Composer(path=path, version="2.5.5", command=(str(path),)),
            ("install",),
            scratch=tmp_path,
            variables={},
            secrets=(),
            runtime="PHP 8.4.24",
            log=tmp_path / "log",
            on_line=interrupt,
        )
    sleeper = int((tmp_path / "pid").read_text())
    for _ in range(50):
        if not _alive(sleeper):
            break
        time.sleep(0.05)
    assert not _alive(sleeper)


def _alive(number: int) -> bool:
    """Tell whether the process runs; a zombie that nobody has reaped does not."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{number}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
