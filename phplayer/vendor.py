"""The vendor layer: a project's production dependencies, installed by Composer for the runtime that was built.

It holds dependencies only. The project's own classes belong to the function and are found below LAMBDA_TASK_ROOT;
an autoloader moved to /opt/vendor would look for them in /opt.

Composer works in a scratch folder, on edited copies of the project's two files (``vendor_scratch.py``). What it leaves
is settled: no links, no VCS data, no credentials. The same files come out of any folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import composer as tool
from phplayer import composer_output, vendor_scratch
from phplayer.composer import Composer, find_composer
from phplayer.dependencies import MANIFEST, Project, check, has_project, read_project, table
from phplayer.errors import BuildFailedError
from phplayer.events import PhaseAdvanced, PhaseFinished, PhaseStarted, Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phplayer.events import Listener
    from phplayer.layer import PackageRecord
    from phplayer.runtime import PhpVersion

__all__ = ["Composer", "Project", "check", "digest", "find_composer", "has_project", "install", "read_project"]

_FORMAT = "1"  # part of every key: raise it when the layer comes out differently from the same input
_PHASE = "composer install"
_VCS = (".git", ".hg", ".svn")
_CREDENTIALS_IN_URL = re.compile(r"(https?:(?:\\?/){2})[^/@\s\"\\]+@")


def digest(
    project: Project,
    *,
    composer: Composer,
    php: PhpVersion,
    extensions: Mapping[str, str],
    scripts: bool,
    plugins: bool,
) -> str:
    """Return the SHA-256, in hexadecimal, of all that the vendor layer is made from."""
    total = hashlib.sha256()
    parts = (
        _FORMAT,
        composer.version,
        str(php),
        json.dumps(dict(sorted(extensions.items()))),
        json.dumps(vendor_scratch.manifest(project), sort_keys=True),
        project.lock_sha256,
        vendor_scratch.root_version(),
        f"scripts={scripts} plugins={plugins}",
    )
    for part in parts:
        total.update(part.encode() + b"\0")
    for package in project.packages:
        if package.local is not None:
            _hash_into(total, package.name, package.local, _files_below(package.local))
    if scripts or plugins:  # then anything in the project can matter
        _hash_into(total, ".", project.root, list(project.files()))
    return total.hexdigest()


def _files_below(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found: list[Path] = []
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in _VCS]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in (*names, *links)]
    return sorted(found)


def _hash_into(total: hashlib._Hash, name: str, root: Path, files: list[Path]) -> None:
    for path in files:
        link = path.is_symlink()
        content = bytes(path.readlink()) if link else path.read_bytes()
        kind = "link" if link else ("program" if os.access(path, os.X_OK) else "file")
        total.update(f"{name}\0{path.relative_to(root).as_posix()}\0{kind}\0{len(content)}\0".encode())
        total.update(content)


def install(  # noqa: PLR0913  one value each; the build pipeline has them apart
    project: Project,
    *,
    into: Path,
    composer: Composer,
    php: PhpVersion,
    extensions: Mapping[str, str],
    scripts: bool,
    plugins: bool,
    listener: Listener,
    log: Path,
) -> tuple[PackageRecord, ...]:
    """Install the production dependencies as ``into/vendor`` and return what they are.

    Raises:
        EnvironmentMissingError: no network, or the disk is full.
        BuildFailedError: Composer refuses the runtime's PHP or extensions, or fails otherwise; the log tells more.

    """
    began = time.monotonic()
    subject = project.manifest.get("name") or project.root.name
    listener(PhaseStarted(subject=subject, phase=_PHASE))
    into.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix=".composer-", dir=into.parent, ignore_cleanup_errors=True) as temporary:
        scratch = Path(temporary) / "project"
        overrides = vendor_scratch.overrides(composer, php, extensions, scratch=Path(temporary) / "platform")
        vendor_scratch.lay_out(project, scratch, overrides, whole=scripts or plugins)
        arguments = ["--no-ansi", "--no-interaction", "--no-dev", *([] if plugins else ["--no-plugins"])]
        if table(project.manifest, "config", of=MANIFEST).get("apcu-autoloader"):
            # Composer's own prefix would be a random one.
            arguments.append(f"--apcu-autoloader-prefix={vendor_scratch.suffix(project)}")

        def composer_run(*command: str) -> None:
            tool.run(
                composer,
                (*command, *arguments),
                scratch=scratch,
                variables=_variables(Path(temporary)),
                secrets=composer_output.secrets(project.root),
                runtime=f"PHP {php}",
                log=log,
                on_line=_reporter(subject, len(project.packages), listener),
            )

        stripped = vendor_scratch.manifest(project)
        if scripts:  # they may use the project's own classes: these leave the autoloader in a second pass
            own = {key: project.manifest[key] for key in vendor_scratch.OWN_KEYS if key in project.manifest}
            vendor_scratch.write(scratch / MANIFEST, stripped | own)
            composer_run("install", "--no-progress", "--prefer-dist")
            vendor_scratch.write(scratch / MANIFEST, stripped)
            composer_run("dump-autoload", "--optimize", "--no-scripts")
        else:
            vendor_scratch.write(scratch / MANIFEST, stripped)
            composer_run("install", "--no-progress", "--prefer-dist", "--optimize-autoloader", "--no-scripts")
        _settle(project, scratch / "vendor", log)
        shutil.rmtree(into / "vendor", ignore_errors=True)
        (scratch / "vendor").rename(into / "vendor")
    count = len(project.packages)
    listener(
        PhaseFinished(
            subject=subject,
            phase=_PHASE,
            seconds=time.monotonic() - began,
            outcome=f"{count} package{'' if count == 1 else 's'}",
        )
    )
    return tuple(package.record for package in project.packages)


def _variables(temporary: Path) -> dict[str, str]:
    variables = {"COMPOSER_ROOT_VERSION": vendor_scratch.root_version()}
    if not os.environ.get("HOME") and not os.environ.get("COMPOSER_HOME"):
        variables["COMPOSER_HOME"] = str(temporary / "home")  # Composer does not start without
    return variables


def _reporter(subject: str, total: int, listener: Listener) -> Callable[[str], None]:
    done = 0

    def report(line: str) -> None:
        nonlocal done
        if line.startswith("  - Installing ") and done < total:
            done += 1
            listener(PhaseAdvanced(subject=subject, phase=_PHASE, done=done, total=total, unit="packages"))
        elif "The lock file is not up to date" in line:
            listener(
                Warned(
                    message="composer.lock is older than composer.json; the layer holds what the lock says. "
                    "To bring it up to date: composer update --no-install"
                )
            )

    return report


def _settle(project: Project, vendor: Path, log: Path) -> None:
    """Make Composer's result fit for a layer.

    Raises:
        BuildFailedError: a package lies outside the vendor folder, or links to something there.

    """
    installed = vendor / "composer" / "installed.json"
    packages = json.loads(installed.read_text(encoding="utf-8"))["packages"]
    for entry in packages:
        if entry.get("install-path") is None:  # a metapackage has no files
            continue
        place = Path(os.path.normpath(vendor / "composer" / entry["install-path"]))
        if not place.is_relative_to(vendor):
            raise BuildFailedError(
                f"{entry['name']} installs itself as {os.path.relpath(place, vendor.parent)}, outside of vendor/: "
                "a vendor layer cannot hold it.",
                remedy="Leave that package (and composer.plugins) to the function's own code.",
                log=log,
            )
        for name in _VCS:  # packages that Composer clones keep their repository, with its address
            shutil.rmtree(place / name, ignore_errors=True)
    for package in project.packages:
        if package.local is not None and package.local.is_dir():
            (vendor / package.name / "auth.json").unlink(missing_ok=True)  # copied along with a path repository
    text = installed.read_text(encoding="utf-8")
    installed.write_text(_CREDENTIALS_IN_URL.sub(r"\1", text), encoding="utf-8")
    _replace_links(vendor, log)


def _replace_links(vendor: Path, log: Path) -> None:
    """Put a copy where there is a link to somewhere in the tree."""
    links = [Path(folder, name) for folder, folders, names in os.walk(vendor) for name in (*folders, *names)]
    links = sorted(path for path in links if path.is_symlink())
    inside = vendor.resolve()
    for link in links:
        goal = link.resolve()
        if not goal.exists() or not goal.is_relative_to(inside) or link.parent.resolve().is_relative_to(goal):
            raise BuildFailedError(
                f"vendor/{link.relative_to(vendor)} is a link to {str(link.readlink())!r}, which a layer cannot hold.",
                remedy="Replace the link by a file in that package.",
                log=log,
            )
    for link in links:
        goal = link.resolve()
        link.unlink()
        if goal.is_dir():
            shutil.copytree(goal, link)  # follows further links
        else:
            shutil.copy2(goal, link)
