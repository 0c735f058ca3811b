"""Where a recipe runs. An engine offers workspaces; the steps are the same scripts on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from phplayer.catalog import Base


class Workspace(Protocol):
    """A folder in which the steps of one build run. Paths are relative to it."""

    def put(self, source: Path, name: str) -> None:
        """Copy a file in."""

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str], on_line: Callable[[str], None]) -> int:
        """Run a program to its end, telling each line that it prints; return its exit status."""

    def exists(self, name: str) -> bool:
        """Tell whether a file is there: how steps that an earlier run finished are known."""

    def mark(self, name: str) -> None:
        """Make an empty file."""

    def get(self, name: str, into: Path) -> None:
        """Copy a file or a folder out, to ``into/name``."""


class Engine(Protocol):
    """A place that can compile."""

    @property
    def name(self) -> str:
        """``host`` or ``docker``."""

    @property
    def base(self) -> Base:
        """The base whose packages this engine has."""

    def require(self, packages: Sequence[str]) -> None:
        """Make sure that the packages are there.

        Raises:
            EnvironmentMissingError: names those that are not, and the command that installs them.

        """

    def fingerprint(self, packages: Sequence[str]) -> str:
        """Return what identifies compiler, libc and libraries: if it is the same, so is what a recipe gives."""

    def workspace(self, key: str) -> AbstractContextManager[Workspace]:
        """Open the workspace of a build. It is deleted when the block ends well and kept to go on from otherwise."""
