"""Writes workflows that build and publish on other people's machines."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer import __version__, resources
from phplayer.errors import UsageError
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from phplayer.runtime import Runtime
    from phplayer.settings import Settings

GITHUB_WORKFLOW = ".github/workflows/phplayer.yml"
"""Where GitHub looks for it, below the repository's root."""

REQUIREMENT = f"phplayer=={__version__}"
"""What pip installs on the runners."""

_RUNNERS = {Architecture.X86_64: "ubuntu-24.04", Architecture.ARM64: "ubuntu-24.04-arm"}
_ACTIONS = {
    "checkout": "v4.2.2",
    "setup_python": "v5.3.0",
    "cache": "v4.2.0",
    "upload_artifact": "v4.5.0",
    "download_artifact": "v4.1.8",
    "configure_aws_credentials": "v4.0.2",
}
_FALLBACK_REGION = "us-east-1"  # a session must have one; where to publish is for phplayer.toml to say


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One row of the workflow's matrix."""

    identifier: str
    php: str
    architecture: str
    runner: str


def github_workflow(settings: Settings, runtimes: Sequence[Runtime], *, requirement: str = REQUIREMENT) -> str:
    """Return a GitHub Actions workflow that builds the runtimes on native machines and publishes them.

    Raises:
        UsageError: the ledger is outside the project, layers would share a name, or the requirement cannot stand in
            a workflow.

    """
    from jinja2 import Environment, StrictUndefined

    from phplayer import naming

    naming.check_names(settings, runtimes)
    if "'" in requirement or "\n" in requirement or "${{" in requirement:
        raise UsageError(f"{requirement!r} is no requirement.", remedy="Write it as for pip: phplayer==1.2.3.")
    ledger = os.path.relpath(settings.path("publish.ledger"), settings.root)
    if ledger.startswith(".."):
        raise UsageError(
            f"The ledger {settings.path('publish.ledger')} is outside the project.",
            remedy="Set publish.ledger to a file that the repository can hold.",
        )
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
        actions=_ACTIONS,
        requirement=requirement,
        region=(*settings.texts("publish.regions"), _FALLBACK_REGION)[0],
        ledger=ledger,
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
