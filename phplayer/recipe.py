"""A runtime resolved to the steps that compile it.

Pure: values in, values out. An engine runs the steps; they are scripts below ``templates/build/`` that get their
arguments as an argument list and work in the folder they are started in.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phplayer.catalog import Base
    from phplayer.runtime import Release, Runtime

_COMMON_FLAGS = (
    "--prefix=/opt",
    "--with-config-file-path=/opt/etc/php",
    "--with-config-file-scan-dir=/opt/etc/php/conf.d:/var/task/php/conf.d",
    "--disable-all",
    "--enable-cli",
    "--disable-cgi",
    "--disable-phpdbg",
    "--without-pear",
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One script and its arguments."""

    name: str  # of the script, without .sh
    title: str  # what a user reads
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides what a compile gives, but the machine it runs on."""

    php: str
    source_sha256: str
    target: str
    architecture: str
    base: str
    packages: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def configure(self) -> tuple[str, ...]:
        """The flags given to PHP's configure."""
        return next(step.arguments for step in self.steps if step.name == "configure")

    def key(self, *, scripts: Mapping[str, bytes], fingerprint: str) -> str:
        """Return what the compiled tree is cached under: this recipe, its scripts' text, the engine's fingerprint."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for step in self.steps:
            digest.update(b"\0" + scripts[step.name])
        digest.update(b"\0" + fingerprint.encode())
        return digest.hexdigest()


def recipe(runtime: Runtime, *, release: Release, base: Base) -> Recipe:
    """Resolve a runtime for a base."""
    flags = [*_COMMON_FLAGS]
    for extension in runtime.extensions:
        flags.extend(extension.configure_flags(runtime.php))
    return Recipe(
        php=str(runtime.php),
        source_sha256=release.sha256,
        target=runtime.target.name,
        architecture=runtime.architecture,
        base=base.name,
        packages=base.packages_for(runtime.extensions),
        steps=(
            Step(name="unpack", title="unpack"),
            Step(name="configure", title="configure", arguments=tuple(dict.fromkeys(flags))),
            Step(name="compile", title="compile", arguments=base.pins(runtime.architecture)),
            Step(name="install", title="install"),
            Step(name="collect", title="collect libraries", arguments=shared_zend_extensions(runtime)),
        ),
    )


def shared_zend_extensions(runtime: Runtime) -> tuple[str, ...]:
    """Return the names of the extensions that php.ini must load as zend_extension."""
    return tuple(
        extension.name
        for extension in runtime.extensions
        if extension.zend_extension and extension.configure_flags(runtime.php)
    )
