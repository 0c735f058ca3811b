"""Finds Composer and runs it, with an environment that is spelled out and in a process group that ends as a whole."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import catalog, composer_output
from phplayer.errors import EnvironmentMissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OLDEST_MAJOR = 2  # "platform-overrides" and InstalledVersions are Composer 2's
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL

# All that Composer may see of the caller's environment. COMPOSER_VENDOR_DIR and others like it, which would change
# the result, are not among them.
_PASSED_ON = frozenset(
    {
        "HOME", "PATH", "USER", "LOGNAME", "TMPDIR",
        "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
        "COMPOSER_HOME", "COMPOSER_CACHE_DIR", "COMPOSER_AUTH", "COMPOSER_MEMORY_LIMIT", "COMPOSER_PROCESS_TIMEOUT",
        "COMPOSER_IPRESOLVE", "COMPOSER_MAX_PARALLEL_HTTP", "COMPOSER_DISABLE_NETWORK",
        "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "CGI_HTTP_PROXY",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Composer:
    """A Composer that was found on this machine."""

    path: Path
    version: str
    command: tuple[str, ...]  # how to start it: the file itself, or PHP and the file


def find_composer(bin: str = "", *, relative_to: Path | None = None) -> Composer:  # noqa: A002  the setting's own name
    """Return the Composer named by the setting ``composer.bin``, or the one on PATH.

    A path that is not absolute starts at ``relative_to`` (the folder of phplayer.toml).

    Raises:
        EnvironmentMissingError: there is none, or it does not run; names the package to install.
        UsageError: ``composer.bin`` names a file that is not there or cannot be run.

    """
    command = _command(bin, relative_to) if bin else _on_path()
    answer = subprocess.run(
        [*command, "--version", "--no-ansi", "--no-plugins", "--no-interaction"],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        cwd="/",  # a composer.json of the current folder must have no say
        env=environment(),
    )
    match = re.search(r"Composer (?:version )?(\d+)(\.\d+\.\d+\S*)", answer.stdout)
    if answer.returncode != 0 or match is None:
        raise EnvironmentMissingError(
            f"{command[-1]} does not run as Composer (exit code {answer.returncode}).",
            remedy=_install_remedy(),
            details=composer_output.tail([*answer.stdout.splitlines(), *answer.stderr.splitlines()]),
        )
    version = match[1] + match[2]
    if int(match[1]) < _OLDEST_MAJOR:
        raise EnvironmentMissingError(
            f"{command[-1]} is Composer {version}; Composer {_OLDEST_MAJOR} or newer is needed.",
            remedy=_install_remedy(),
        )
    return Composer(path=Path(command[-1]), version=version, command=command)


def _command(text: str, relative_to: Path | None) -> tuple[str, ...]:
    if "/" not in text:
        found = shutil.which(text)
        path = Path(found or (relative_to or Path.cwd()) / text)
    else:
        path = (relative_to or Path.cwd()) / Path(text).expanduser()
    if not path.is_file():
        raise UsageError(
            f"composer.bin names {text!r}, and there is no such file.",
            remedy="Correct it (--composer, composer.bin in phplayer.toml), or leave it empty for the one on PATH.",
        )
    if os.access(path, os.X_OK):
        return (str(path),)
    php = shutil.which("php")  # a composer.phar as it was downloaded is not executable
    if php is None:
        raise UsageError(
            f"{path} is not executable, and there is no php on PATH to run it with.",
            remedy=f"Run: chmod +x {path}, and install a PHP for Composer. {_install_remedy()}",
        )
    return (php, str(path))


def _on_path() -> tuple[str, ...]:
    found = shutil.which("composer")
    if found is None:
        raise EnvironmentMissingError(
            "There is a composer.json, but no Composer on PATH to make the vendor layer with.",
            remedy=_install_remedy(),
        )
    return (found,)


def _install_remedy() -> str:
    """Say how this system gets Composer."""
    try:
        system = platform.freedesktop_os_release()["ID"]
    except OSError:
        system = ""
    base = catalog.load().base_of(system)
    if base is not None and base.composer:
        return f"Install it: {' '.join((*base.install_command, *base.composer))}, or name one with --composer."
    return "Install Composer 2 and a PHP for it (getcomposer.org), or name one with --composer FILE."


def environment(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what Composer sees: the caller's home, proxies, certificates and credentials, and nothing else."""
    source = os.environ if source is None else source
    passed = {name: value for name, value in source.items() if name in _PASSED_ON}
    return passed | {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "COMPOSER_ALLOW_SUPERUSER": "1",  # scripts and plugins are off unless asked for, also for root
        "COMPOSER_NO_INTERACTION": "1",
        "COMPOSER_NO_AUDIT": "1",
        "COMPOSER_MIRROR_PATH_REPOS": "1",  # copy path repositories: a layer holds no links
        "COMPOSER_DISABLE_XDEBUG_WARN": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def extensions_of(composer: Composer, *, scratch: Path) -> frozenset[str]:
    """Return the platform names (``ext-intl``) of the extensions that Composer's own PHP has.

    Raises:
        EnvironmentMissingError: Composer does not tell.

    """
    scratch.mkdir(parents=True, exist_ok=True)
    answer = subprocess.run(
        [*composer.command, "show", "--platform", "--format=json", "--no-plugins", "--no-ansi"],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=scratch,
        env=environment() | {"COMPOSER_HOME": str(scratch)},  # the user's config.platform would hide extensions
    )
    try:
        platform_packages = json.loads(answer.stdout)["platform"]
        return frozenset(entry["name"] for entry in platform_packages if entry["name"].startswith("ext-"))
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentMissingError(
            f"{composer.path} does not tell which extensions its PHP has.",
            remedy=f"Try: {composer.path} show --platform",
            details=composer_output.tail([*answer.stdout.splitlines(), *answer.stderr.splitlines()]),
        ) from error


def run(
    composer: Composer,
    arguments: tuple[str, ...],
    *,
    scratch: Path,
    variables: Mapping[str, str],
    secrets: tuple[str, ...],
    runtime: str,
    log: Path,
    on_line: Callable[[str], None],
) -> None:
    """Run Composer in the folder ``scratch`` and append what it says to the log, secrets blacked out.

    Whatever ends this call, nothing of Composer's process group is left.

    Raises:
        EnvironmentMissingError: no network, or the disk is full.
        BuildFailedError: Composer failed; with what ``runtime`` (``PHP 8.4.1``) does not offer, if that is why.

    """
    command = [*composer.command, *arguments]
    lines: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ composer {' '.join(arguments)}\n")
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            umask=0o022,
        )
        assert process.stdout is not None  # noqa: S101  it is a pipe
        try:
            with process.stdout:
                for raw in process.stdout:
                    line = composer_output.without(secrets, raw.rstrip("\n"))
                    lines.append(line)
                    file.write(line + "\n")
                    on_line(line)
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    if code != 0:
        raise composer_output.failure(lines, code=code, runtime=runtime, log=log)


def _end(process: subprocess.Popen[str]) -> None:
    """End the whole process group: Composer starts git, unzip and scripts."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            break
    process.wait()
