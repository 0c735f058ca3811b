"""Compiling on other people's machines: a ``docker-bake.hcl`` whose targets run the recipe, and what they give.

Each target is one runtime. It makes the toolchain image, runs the recipe's steps in it, and its result is a folder
``compiled/IDENTIFIER`` with what a compile leaves in the cache. ``phplayer build --compiled compiled`` packs that.
The file stands for itself: scripts and Dockerfiles are in it, PHP's source is fetched by its SHA-256.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from phplayer import catalog, recipe
from phplayer import compile as compiling
from phplayer.engines.docker_container import FOLDER, USER
from phplayer.engines.docker_daemon import PLATFORMS
from phplayer.engines.docker_image import dockerfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.catalog import Base
    from phplayer.recipe import Recipe
    from phplayer.runtime import Runtime

RESULTS = ("tree", "libraries", "libraries.tsv", "extensions.tsv", "recipe")
"""What a target gives; ``recipe`` says of which recipe it is."""

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


def recipe_digest(runtime: Runtime, base: Base) -> str:
    """Return what identifies the recipe of a runtime on a base, its scripts included."""
    plan = _plan(runtime, base)
    return plan.key(scripts=compiling.scripts(plan), fingerprint="")


def _plan(runtime: Runtime, base: Base) -> Recipe:
    return recipe.recipe(runtime, release=runtime.release, base=base)


def _target(runtime: Runtime, base_image: str) -> str:
    text = "".join(f"{line}\n" for line in _dockerfile(runtime)).replace("${", "$${").replace("%{", "%%{")
    base = f"\n    BASE = {json.dumps(base_image)}" if base_image else ""
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


def _dockerfile(runtime: Runtime) -> Iterator[str]:
    """Yield the lines: the toolchain image as the docker engine makes it, then the recipe's steps in it."""
    base = catalog.load().bases[runtime.target.native_base]
    release = runtime.release
    plan = _plan(runtime, base)
    yield "# syntax=docker/dockerfile:1"
    yield from dockerfile(base, plan.packages).splitlines()
    yield "ARG JOBS=4"
    yield "ENV PHPLAYER_JOBS=${JOBS} LC_ALL=C TZ=UTC"
    yield f"ADD --checksum=sha256:{release.sha256} --chown={USER}:{USER} {release.urls[0]} {FOLDER}/source.tar.xz"
    for step in plan.steps:
        yield f"COPY --chown={USER}:{USER} <<'{_HEREDOC}' {FOLDER}/{step.name}.sh"
        yield from compiling.scripts(plan)[step.name].decode().splitlines()
        yield _HEREDOC
        yield f"RUN {json.dumps(['sh', f'{step.name}.sh', *step.arguments])}"
    yield f"RUN echo '{base.name} {recipe_digest(runtime, base)}' >recipe"
    yield "FROM scratch"
    for name in RESULTS:
        yield f"COPY --from=0 {FOLDER}/{name} /{name}"
