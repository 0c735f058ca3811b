from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from phplayer import catalog
from phplayer.errors import UsageError
from phplayer.runtime import Architecture, BootstrapMode, Runtime
from tests.conftest import PHP

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


def test_what_the_tests_build_is_listed_as_tested() -> None:
    tested = {release.version for release in catalog.load().releases if release.tested}
    assert catalog.load().release(PHP).version in tested


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
        (PHP, "uri", f"PHP {PHP} has no extension 'uri': PHP bundles it since PHP 8.5"),
        ("8.44", "curl", "Did you mean '8.4'?"),
        ("7.4", "curl", "Known: 8.2"),
    ],
)
def test_bad_combinations_are_refused_with_a_remedy(php: str, extension: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        runtime(extension, php=php)
    assert said in f"{caught.value.message} {caught.value.remedy}"


def test_extensions_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        runtime("pcov", "xdebug")
    assert caught.value.message == "The extensions pcov and xdebug cannot be in the same PHP."
    assert "php.extensions" in caught.value.remedy


def test_an_extension_without_a_known_source_is_asked_for() -> None:
    with pytest.raises(UsageError) as caught:
        runtime("opentelemetry")
    assert "no source of the extension 'opentelemetry'" in caught.value.message
    assert "--extension-source opentelemetry=FILE" in caught.value.remedy


def test_a_set_leaves_out_what_this_php_has_not() -> None:
    assert "pspell" in names(runtime("full", php="8.2"))
    assert "pspell" not in names(runtime("full", php="8.4"))


def test_full_is_all_of_php_for_which_every_base_has_the_libraries() -> None:
    known = catalog.load()
    assert set(known.sets["full"]) == {
        extension.name
        for extension in known.extensions.values()
        if not extension.always and not extension.shared
        if all(base.packages[library] for base in known.bases.values() for library in extension.libraries)
    }


@pytest.mark.parametrize("php", catalog.load().branches)
def test_every_set_resolves_for_every_branch(php: str) -> None:
    for name in catalog.load().sets:
        assert runtime(name, php=php).extensions


def test_minimal_is_enough_for_the_bootstrap_and_default_for_composer() -> None:
    assert {"phar", "openssl", "filter", "iconv", "mbstring", "zip", "zlib"} <= names(runtime("default"))


def test_extensions_load_after_what_they_require_or_use() -> None:
    resolved = runtime("redis", "msgpack", "igbinary", "http", "memcached")
    order = [extension.name for extension in resolved.load_order]
    assert sorted(order) == [extension.name for extension in resolved.extensions]
    for before, after in (("igbinary", "redis"), ("msgpack", "memcached"), ("raphf", "http"), ("session", "redis")):
        assert order.index(before) < order.index(after)


def test_what_an_extension_uses_adds_flags_only_where_it_is_built_too() -> None:
    php, redis = runtime().php, catalog.load().extensions["redis"]
    assert redis.configure_flags(php) == ("--enable-redis",)
    assert redis.configure_flags(php, {"redis", "msgpack"}) == ("--enable-redis", "--enable-redis-msgpack")


def test_every_pinned_source_of_an_extension_is_whole() -> None:
    for extension in catalog.load().extensions.values():
        if extension.source:
            assert extension.shared
            assert all(url.startswith("https://") for url in extension.source.urls), extension.name
            assert extension.source.version in extension.source.debian_path


def test_the_end_of_a_branch_is_told_before_and_after_it() -> None:
    release = catalog.load().release("8.4")
    end = release.end_of_life

    def said(days: int) -> str:
        return release.support_warning(end + dt.timedelta(days=days))

    assert said(-120) == ""
    assert said(-60) == f"PHP 8.4 gets security fixes until {end} only: plan the move."
    assert said(0) == said(-60)
    assert said(1) == f"PHP 8.4 gets no security fixes since {end}: move to a newer branch."


def test_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="al2032"):
        catalog.load().target("al2032")


def test_the_target_offers_nothing_under_two_names() -> None:
    for target in catalog.load().targets.values():
        assert not target.sonames & target.glibc_sonames
        assert not target.sonames & target.never_grafted


def test_versions_and_extension_names_stand_in_the_catalogue_only() -> None:
    """One place per change: a literal elsewhere would be a second one."""
    known = catalog.load()
    # Words that are also part of the language of the code.
    words = {
        "core",
        "date",
        "hash",
        "json",
        "random",
        "standard",
        "filter",
        "session",
        "zip",
        "uri",
        "xml",
        "http",
        "event",
    }
    literal = re.compile("|".join(rf'"{re.escape(name)}"' for name in sorted(set(known.extensions) - words)))
    version = re.compile(r"\b8\.[2-9](\.\d+)?\b")
    for path in PACKAGE.rglob("*.py"):
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(), flags=re.DOTALL)
        assert not literal.search(code), f"{path}: {literal.search(code)}"
        assert not version.search(code), f"{path}: {version.search(code)}"
