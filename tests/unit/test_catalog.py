from __future__ import annotations

import re
from pathlib import Path

import pytest

from phplayer import catalog
from phplayer.errors import UsageError
from phplayer.runtime import Architecture, BootstrapMode, Runtime

PACKAGE = Path(catalog.__file__).resolve().parents[1]


def runtime(*extensions: str, php: str = "8.4") -> Runtime:
    return catalog.load().runtime(
        php=php,
        extensions=extensions,
        target="al2023",
        architecture=Architecture.X86_64,
        bootstrap=BootstrapMode.FUNCTION,
    )


def names(resolved: Runtime) -> set[str]:
    return {extension.name for extension in resolved.extensions}


def test_a_branch_means_its_newest_release() -> None:
    known = catalog.load()
    for branch in known.branches:
        newest = max(release.version for release in known.releases if release.version.branch == branch)
        assert known.release(branch).version == newest


def test_every_release_has_a_whole_checksum() -> None:
    for release in catalog.load().releases:
        assert re.fullmatch(r"[0-9a-f]{64}", release.sha256), release.version


def test_requirements_are_added_and_sets_are_spelled_out() -> None:
    assert {"pdo", "mysqlnd"} <= names(runtime("pdo_mysql"))
    assert "libxml" in names(runtime("default"))
    assert names(runtime("minimal")) == names(runtime())


def test_extension_names_are_case_insensitive() -> None:
    assert "mbstring" in names(runtime("MbString"))


def test_an_extension_built_into_newer_versions_takes_flags_only_in_older_ones() -> None:
    def flags(php: str) -> set[str]:
        resolved = runtime(php=php)
        return {flag for extension in resolved.extensions for flag in extension.configure_flags(resolved.php)}

    assert "--enable-opcache" in flags("8.4")
    assert "--enable-opcache" not in flags("8.5")
    assert "opcache" in names(runtime(php="8.5"))


@pytest.mark.parametrize(
    ("php", "extension", "said"),
    [
        ("8.4", "mbstrin", "Did you mean 'mbstring'?"),
        ("8.4", "uri", "PHP 8.4.24 has no extension 'uri': PHP bundles it since PHP 8.5"),
        ("8.44", "curl", "Did you mean '8.4'?"),
        ("7.4", "curl", "Known: 8.2"),
    ],
)
def test_bad_combinations_are_refused_with_a_remedy(php: str, extension: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        runtime(extension, php=php)
    assert said in f"{caught.value.message} {caught.value.remedy}"


def test_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="al2032"):
        catalog.load().target("al2032")


def test_packages_are_those_of_the_toolchain_and_of_the_libraries() -> None:
    known = catalog.load()
    for base in known.bases.values():
        packages = base.packages_for(known.extensions.values())
        assert set(base.toolchain) < set(packages)
        assert list(packages) == sorted(set(packages))


def test_the_target_offers_nothing_under_two_names() -> None:
    for target in catalog.load().targets.values():
        assert not target.sonames & target.glibc_sonames
        assert not target.sonames & target.never_grafted


def test_versions_and_extension_names_stand_in_the_catalogue_only() -> None:
    """One place per change: a literal elsewhere would be a second one."""
    known = catalog.load()
    # Words that are also part of the language of the code.
    words = {"core", "date", "hash", "json", "random", "standard", "filter", "session", "zip", "uri", "xml"}
    literal = re.compile("|".join(rf'"{re.escape(name)}"' for name in sorted(set(known.extensions) - words)))
    version = re.compile(r"\b8\.[2-9](\.\d+)?\b")
    for path in PACKAGE.rglob("*.py"):
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(), flags=re.DOTALL)
        assert not literal.search(code), f"{path}: {literal.search(code)}"
        assert not version.search(code), f"{path}: {version.search(code)}"
