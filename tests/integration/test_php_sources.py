"""The catalogue against PHP's own source trees: it must name every extension and no flag that PHP has not.

Both trees are the pinned tarballs. Versions whose tarballs cannot be had everywhere are held to the same tables.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from phplayer import catalog, recipe, sources
from phplayer.events import unheard
from phplayer.runtime import Architecture, BootstrapMode, PhpVersion, Release

OMITTED = {
    "com_dotnet": "for Windows",
    "dl_test": "for PHP's own tests",
    "oci8": "needs Oracle's client, which may not be passed on",
    "pdo_oci": "needs Oracle's client, which may not be passed on",
    "skeleton": "what new extensions are made from",
    "zend_test": "for PHP's own tests",
}
WITHOUT_FOLDER = {"core": "it is the folder Zend"}


@dataclass(frozen=True)
class Tree:
    """What the build files of one PHP say."""

    release: Release
    config: dict[str, str]  # folder of ext/ -> text of its config*.m4
    configure_ac: str
    build: str  # build/php.m4

    @property
    def version(self) -> PhpVersion:
        return self.release.version

    def flags(self) -> set[str]:
        """The words that configure takes: with-x, enable-x and their opposites."""
        text = "\n".join((self.configure_ac, self.build, *self.config.values()))
        found: set[str] = set()
        for kind, name in re.findall(r"\b(?:PHP|AC)_ARG_(WITH|ENABLE)\(\s*\[?([\w-]+)", text):
            ways = ("with", "without") if kind == "WITH" else ("enable", "disable")
            found |= {f"{way}-{name.replace('_', '-')}" for way in ways}
        return found

    def dependencies(self) -> set[tuple[str, str]]:
        """Pairs of an extension and one that it must have."""
        text = "\n".join(self.config.values())
        found = re.findall(r"PHP_ADD_EXTENSION_DEP\(\[?(\w+)\]?,\s*\[?(\w+)\]?(,\s*\[?true\]?)?\)", text)
        return {(name, other) for name, other, optional in found if not optional}


def _member(name: str) -> bool:
    return bool(re.fullmatch(r"[^/]+/(configure\.ac|build/php\.m4|ext/\w+/config\w*\.m4)", name))


@pytest.fixture(scope="module", params=["8.2.32", "8.4.24"])
def tree(request: pytest.FixtureRequest) -> Tree:
    release = catalog.load().release(request.param)
    tarball: Path = sources.fetch(release, file=None, subject="", listener=unheard)
    files: dict[str, str] = {}
    folders: set[str] = set()
    with tarfile.open(tarball) as archive:
        for member in archive:
            parts = member.name.split("/")
            if parts[1:2] == ["ext"] and len(parts) > 3:
                folders.add(parts[2])
            if _member(member.name):
                opened = archive.extractfile(member)
                assert opened is not None
                files[member.name.partition("/")[2]] = opened.read().decode()
    config = {
        folder: "\n".join(text for name, text in sorted(files.items()) if name.startswith(f"ext/{folder}/"))
        for folder in folders
    }
    return Tree(release=release, config=config, configure_ac=files["configure.ac"], build=files["build/php.m4"])


def bundled(version: PhpVersion) -> set[str]:
    return {
        name
        for name, extension in catalog.load().extensions.items()
        if not extension.shared and extension.offered_by(version)
    }


def test_every_extension_of_php_is_in_the_catalogue(tree: Tree) -> None:
    assert set(tree.config) - set(OMITTED) - bundled(tree.version) == set()


def test_the_catalogue_has_no_extension_that_php_has_not(tree: Tree) -> None:
    assert bundled(tree.version) - set(WITHOUT_FOLDER) - set(tree.config) == set()


def test_what_is_left_out_is_somewhere(tree: Tree) -> None:
    """An extension that PHP dropped needs no reason any more."""
    gone = {"oci8", "pdo_oci"} if tree.version.branch != "8.2" else set()
    assert set(OMITTED) - set(tree.config) <= gone | {"dl_test"}


def test_configure_knows_every_flag(tree: Tree) -> None:
    known = catalog.load()
    runtime = known.runtime(
        php=str(tree.version),
        extensions=bundled(tree.version),
        target=known.default_target,
        architecture=Architecture.X86_64,
        bootstrap=BootstrapMode.FUNCTION,
    )
    plan = recipe.plan(replace(runtime, release=tree.release), known.bases["debian"])
    given = {flag.removeprefix("--").partition("=")[0] for flag in plan.configure}
    from_autoconf = {"prefix", "disable-all", "enable-cli", "disable-cgi", "disable-fpm", "disable-phpdbg"}
    assert given - tree.flags() - from_autoconf == set()


def test_every_flag_is_the_extensions_own(tree: Tree) -> None:
    """A flag that PHP gave to another extension would switch on the wrong one."""
    for name in bundled(tree.version):
        own = tree.config.get(name, "")
        for flag in catalog.load().extensions[name].configure_flags(tree.version):
            word = flag.removeprefix("--").partition("=")[0].partition("-")[2]
            pattern = rf"PHP_ARG_(WITH|ENABLE)\(\s*\[?({word}|{word.replace('-', '_')})\b"
            assert re.search(pattern, own), f"{name}: {flag}"


def test_what_an_extension_must_have_comes_with_it(tree: Tree) -> None:
    known = catalog.load()
    always = {name for name in bundled(tree.version) if known.extensions[name].always}
    for name, other in tree.dependencies():
        if name in bundled(tree.version) and other not in always:
            assert other in closure(name), f"{name} needs {other}"


def closure(name: str) -> set[str]:
    requires = catalog.load().extensions[name].requires
    return {name}.union(*(closure(other) for other in requires))
