"""Compiling on other people's machines: a ``docker-bake.hcl`` whose targets run the recipe, and what they give.

Each target is one runtime. It makes the toolchain image, runs the steps of each part in it, and its result is a folder
``compiled/IDENTIFIER`` with what the compile of each part leaves in the cache. ``phplayer build --compiled compiled``
packs that.
The file stands for itself: scripts and Dockerfiles are in it, sources are fetched by their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from phplayer import catalog, recipe
from phplayer import compile as compiling
from phplayer.engines.docker_container import FOLDER, USER
from phplayer.engines.docker_daemon import PLATFORMS
from phplayer.engines.docker_image import dockerfile
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phplayer.catalog import Base
    from phplayer.recipe import Plan, Recipe
    from phplayer.runtime import Runtime

STAMP = "recipe"
"""The file that says on which base and of which recipes the results are."""

_HEREDOC = "PHPLAYER"
_HEAD = """\
# Written by `phplayer build --print-bake`. Compile with: docker buildx bake
# A builder with nodes of both architectures compiles natively. Then pack the layers: phplayer build --compiled compiled

variable "JOBS" {
  default = "4"
}
"""


def bake_file(runtimes: Sequence[Runtime], *, base_image: str = "") -> str:
    """Return the text of a docker-bake.hcl with a target for each runtime, on its target's own base."""
    names = [runtime.identifier for runtime in runtimes]
    group = f'group "default" {{\n  targets = {json.dumps(names)}\n}}\n'
    return "\n".join((_HEAD, group, *(_target(runtime, base_image) for runtime in runtimes)))


def digest(runtime: Runtime, base: Base) -> str:
    """Return what identifies the recipes of a runtime on a base, their scripts included."""
    keys = compiling.keys(_plan(runtime, base), lambda _: "")
    return hashlib.sha256(" ".join(keys.values()).encode()).hexdigest()


def _plan(runtime: Runtime, base: Base) -> Plan:
    return recipe.plan(runtime, base)


def _target(runtime: Runtime, base_image: str) -> str:
    text = _literal("".join(f"{line}\n" for line in _dockerfile(runtime)))
    base = f"\n    BASE = {_literal(json.dumps(base_image))}" if base_image else ""
    return f"""\
target "{runtime.identifier}" {{
  platforms = ["linux/{PLATFORMS[runtime.architecture]}"]
  output = ["type=local,dest=compiled/{runtime.identifier}"]
  args = {{
    JOBS = JOBS{base}
  }}
  dockerfile-inline = <<{_HEREDOC}_FILE
{text}{_HEREDOC}_FILE
}}
"""


def _literal(text: str) -> str:
    """Return text that HCL takes as it is: its templates are ${} and %{}."""
    return text.replace("${", "$${").replace("%{", "%%{")


def _dockerfile(runtime: Runtime) -> Iterator[str]:
    """Yield the lines: the toolchain image as the docker engine makes it, then the steps of each part in it."""
    base = catalog.load().bases[runtime.target.native_base]
    plan = _plan(runtime, base)
    packages = {package for part in plan.parts for package in part.packages}
    yield "# syntax=docker/dockerfile:1"
    yield from dockerfile(base, sorted(packages)).splitlines()
    yield "ARG JOBS=4"
    yield "ENV PHPLAYER_JOBS=${JOBS} LC_ALL=C TZ=UTC"
    given_on = {part.name: part.given_on for part in plan.parts}
    for part in plan.parts:
        yield from _part(part, given_on)
    yield f"WORKDIR {FOLDER}"
    yield f"RUN echo '{base.name} {digest(runtime, base)}' >{STAMP}"
    yield "FROM scratch"
    yield f"COPY --from=0 {FOLDER}/{STAMP} /{STAMP}"
    for part in plan.parts:
        for name in part.results:
            yield f"COPY --from=0 {FOLDER}/{part.name}/{name} /{part.name}/{name}"


def _part(part: Recipe, given_on: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the lines that compile one part in a folder of its own."""
    folder, owner = f"{FOLDER}/{part.name}", f"{USER}:{USER}"
    yield f"RUN mkdir {folder}"
    yield f"WORKDIR {folder}"
    for each in part.inputs:
        source = each.source
        if not source.urls:
            raise UsageError(
                f"The source of {part.name} is a file of this machine, which another one does not have.",
                remedy="Give it as a URL.",
            )
        if "@" in urlsplit(source.urls[0]).netloc:
            raise UsageError(
                f"The URL of the source of {part.name} holds a password, which would stand in the file.",
                remedy="Give it as a URL without, or as a file and compile here.",
            )
        yield f"ADD --checksum=sha256:{source.sha256} --chown={owner} {source.urls[0]} {folder}/{each.name}"
    for need in part.needs:
        if given_on[need]:
            copied = " ".join(f"../{need}/{name}" for name in given_on[need])
            yield f"RUN mkdir -p needs/{need} && cp -R {copied} needs/{need}/"
    for name, script in sorted(compiling.scripts(part).items()):
        yield f"COPY --chown={owner} <<'{_HEREDOC}' {folder}/{name}.sh"
        yield from script.decode().splitlines()
        yield _HEREDOC
    for step in part.steps:
        yield f"RUN {json.dumps(['sh', f'{step.name}.sh', *step.arguments])}"
