"""Writes workflows that build and publish on other people's machines."""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phplayer import __version__, resources
from phplayer.errors import UsageError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phplayer.runtime import Runtime
    from phplayer.settings import Settings

_RUNNERS = {Architecture.X86_64: "ubuntu-24.04", Architecture.ARM64: "ubuntu-24.04-arm"}
_FALLBACK_REGION = "us-east-1"  # a session must have one; where to publish is for phplayer.toml to say
_PATH = re.compile(r"[\w.+@ /-]+")  # in globs and expressions of a workflow other signs mean something


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a project lies in its repository. Paths are the repository's, with slashes."""

    repository: Path
    folder: str  # of the project, "." at the top

    @classmethod
    def of(cls, project: Path) -> Place:
        """Find the repository around a project's folder; without one the project is taken for it."""
        repository = next((each for each in (project, *project.parents) if (each / ".git").exists()), project)
        return cls(repository=repository, folder=project.relative_to(repository).as_posix())

    @property
    def workflow(self) -> Path:
        """The workflow's file. GitHub looks for it at the top of the repository, so each project has a name there."""
        return self.repository / ".github" / "workflows" / f"phplayer{self.suffix}.yml"

    @property
    def suffix(self) -> str:
        """What tells the project from others of the repository: ``-apps-shop``, nothing at the top."""
        return "" if self.folder == "." else "-" + re.sub(r"[^A-Za-z0-9._]+", "-", self.folder)

    def path(self, path: Path) -> str:
        """Return a file's or folder's path as the workflow names it.

        Raises:
            UsageError: it is outside the repository, or has signs that mean something in a workflow.

        """
        normal = Path(os.path.normpath(path))  # not resolved: what is a link here need not be one there
        if not normal.is_relative_to(self.repository):
            raise UsageError(
                f"{path} is outside the repository {self.repository}.",
                remedy="Set publish.ledger to a file that the repository can hold.",
            )
        text = normal.relative_to(self.repository).as_posix()
        if _PATH.fullmatch(text) is None:
            raise UsageError(
                f"The path {text!r} cannot stand in a workflow.",
                remedy="Rename it: letters, digits, blanks and . _ + @ - mean themselves there.",
            )
        return text


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One row of the workflow's matrix."""

    identifier: str
    php: str
    architecture: str
    runner: str


def github_workflow(settings: Settings, runtimes: Sequence[Runtime], *, install: str = "") -> str:
    """Return a GitHub Actions workflow that builds the runtimes on native machines and publishes them.

    ``install`` is what pip installs on the runners: a requirement, this very phplayer if empty.

    Raises:
        UsageError: the ledger is outside the repository, layers would share a name, a region is unknown, or a path
            or the requirement cannot stand in a workflow, or nobody else can install this phplayer.

    """
    from jinja2 import Environment, StrictUndefined

    from phplayer import naming

    naming.check_names(settings, runtimes)
    place = Place.of(settings.root)
    environment = Environment(  # noqa: S701  YAML, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        variable_start_string="<<",  # the workflow's own expressions are ${{ }}
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
    )
    environment.filters["quoted"] = json.dumps  # YAML reads JSON's strings
    template = resources.template("ci", "github", "phplayer.yml.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        builds=[
            _Build(
                identifier=runtime.identifier,
                php=str(runtime.php),
                architecture=runtime.architecture,
                runner=_RUNNERS[runtime.architecture],
            )
            for runtime in runtimes
        ],
        actions=_actions(),
        requirement=_checked(install or requirement()),
        region=_region(settings),
        folder=place.path(settings.root),
        suffix=place.suffix,
        settings=place.path(settings.root / "phplayer.toml"),
        dist=place.path(settings.root / "dist"),
        ledger=place.path(settings.path("publish.ledger")),
    )


def requirement() -> str:
    """Return the requirement by which pip installs this very phplayer elsewhere, as the installer recorded it.

    Raises:
        UsageError: it came from this machine, so that nobody else can install it.

    """
    try:
        recorded = metadata.distribution("phplayer").read_text("direct_url.json")  # PEP 610: none for an index
    except metadata.PackageNotFoundError:
        recorded = "{}"
    if recorded is None:
        return f"phplayer=={__version__}"
    origin: dict[str, Any] = json.loads(recorded)
    url, commit = origin.get("url", ""), origin.get("vcs_info", {}).get("commit_id")
    if url.startswith("https://"):
        return f"phplayer @ {origin['vcs_info']['vcs']}+{url}@{commit}" if commit else f"phplayer @ {url}"
    raise UsageError(
        "This phplayer was not installed from where the runners could install it too.",
        remedy=f"Say what pip shall install there: --install phplayer=={__version__}, or "
        "--install 'git+https://github.com/OWNER/NAME@COMMIT'.",
    )


def write(path: Path, text: str, *, force: bool) -> None:
    """Write the file, whole or not at all.

    Raises:
        UsageError: it exists, says something else, and is not to be replaced.

    """
    if path.exists() and not force and path.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{path} exists already.", remedy=f"Replace it with --force, or look: cat {shlex.quote(str(path))}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _actions() -> Mapping[str, str]:
    """Return what stands after ``uses:``, by short name."""
    table = tomllib.loads(resources.template("ci", "github", "actions.toml").read_text(encoding="utf-8"))
    return {key: f"{action['name']}@{action['commit']} # {action['version']}" for key, action in table.items()}


def _checked(requirement: str) -> str:
    """Refuse what pip would take for an option and GitHub for an expression; the shell gets it by a variable."""
    text = requirement.strip()
    if not text or text.startswith("-") or "${{" in text or not text.isprintable():
        raise UsageError(
            f"{requirement!r} is no requirement.",
            remedy="Write it as for pip: phplayer==1.2.3, or git+https://github.com/OWNER/NAME@COMMIT.",
        )
    return text


def _region(settings: Settings) -> str:
    """Return the region in which the workflow signs in: the first that is one and no pattern."""
    from phplayer.aws.regions import check_regions, is_pattern

    named = [name for name in settings.texts("publish.regions") if not is_pattern(name)]
    return (*check_regions(named), _FALLBACK_REGION)[0]
