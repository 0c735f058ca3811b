from __future__ import annotations

import dataclasses

import pytest

from phplayer import catalog, compile, recipe, resources  # noqa: A004  the module's name is the domain's word
from phplayer.catalog import libraries
from phplayer.errors import EnvironmentMissingError
from phplayer.recipe import Plan, Recipe
from phplayer.runtime import Architecture, BootstrapMode, Runtime

KNOWN = catalog.load()


def runtime(*extensions: str, php: str = "8.4") -> Runtime:
    return KNOWN.runtime(
        php=php,
        extensions=extensions,
        target="al2023",
        architecture=Architecture.X86_64,
        bootstrap=BootstrapMode.FUNCTION,
    )


def make(*extensions: str, php: str = "8.4", base: str = "debian", locales: tuple[str, ...] = ()) -> Plan:
    wanted = dataclasses.replace(runtime(*extensions, php=php), icu_locales=locales)
    return recipe.plan(wanted, KNOWN.bases[base])


def keys(plan: Plan, fingerprint: str = "f") -> dict[str, str]:
    return dict(compile.keys(plan, lambda _: fingerprint))


def key(plan: Plan, fingerprint: str = "f") -> str:
    return keys(plan, fingerprint)[recipe.PHP]


def part(plan: Plan, name: str) -> Recipe:
    return next(each for each in plan.parts if each.name == name)


def test_the_same_request_gives_the_same_key() -> None:
    assert key(make("curl", "zip")) == key(make("zip", "curl"))


def test_whatever_changes_the_result_changes_the_key() -> None:
    plan = make("bcmath")
    scripts = compile.scripts(plan.php)
    arm = dataclasses.replace(plan.php, architecture="arm64")
    found = {
        key(plan),
        key(plan, fingerprint="another compiler"),
        key(make("bcmath", "zip")),
        key(make("bcmath", php="8.2")),
        key(make("bcmath", base="al2023")),
        arm.key(scripts=scripts, fingerprint="f", needs={}),
        plan.php.key(scripts=scripts | {"configure": b"another text"}, fingerprint="f", needs={}),
        plan.php.key(scripts=scripts | {"pins": b"another text"}, fingerprint="f", needs={}),
    }
    assert len(found) == 8


def test_another_place_to_fetch_a_source_from_changes_no_key() -> None:
    release = dataclasses.replace(KNOWN.release("8.4"), urls=("https://mirror.example/php.tar.xz",))
    moved = recipe.plan(dataclasses.replace(runtime("curl"), release=release), KNOWN.bases["debian"])
    assert keys(moved) == keys(make("curl"))


def test_one_more_shared_extension_changes_no_other_part() -> None:
    before, after = keys(make("default")), keys(make("default", "igbinary", "apcu"))
    assert set(after) - set(before) == {"igbinary", "apcu"}
    assert {name: after[name] for name in before} == before


def test_a_part_changes_with_what_it_needs() -> None:
    before, after = keys(make("redis")), keys(make("redis", "bcmath"))
    assert before["redis"] != after["redis"], "PHP changed below it"
    alone, used = make("redis"), make("redis", "igbinary")
    assert "igbinary" not in part(alone, "redis").needs
    assert "igbinary" in part(used, "redis").needs
    assert "--enable-redis-igbinary" in part(used, "redis").steps[1].arguments


def test_each_part_comes_after_those_it_needs() -> None:
    for plan in (make("default", "pdo_sqlite", "xsl", "redis", "igbinary", "msgpack"), make("default", base="al2023")):
        names = [each.name for each in plan.parts]
        assert len(names) == len(set(names))
        for number, each in enumerate(plan.parts):
            assert set(each.needs) <= set(names[:number])


def test_a_library_is_compiled_only_where_an_extension_asks_for_it() -> None:
    assert [each.name for each in make("minimal").parts] == ["php"]
    assert [each.name for each in make("curl").parts] == ["nghttp2", "curl", "php"]
    assert "sqlite" in make("pdo_sqlite").php.needs
    assert [each.name for each in make("dom").parts] == ["libxml2", "php"]
    assert [each.name for each in make("dom", base="al2023").parts] == ["php"], "Lambda has it"


def test_the_packages_of_a_library_that_is_compiled_here_are_not_asked_for() -> None:
    base = KNOWN.bases["debian"]
    assert not set(base.packages["curl"]) & set(make("curl").packages)
    assert set(base.packages["openssl"]) <= set(make("curl").packages), "it is made with the base's OpenSSL"
    assert not set(base.phpize) & set(make("apcu").packages), "only the extension's part takes them"
    assert set(base.phpize) <= set(part(make("apcu"), "apcu").packages)


def test_a_library_that_a_base_lacks_is_told_with_the_extension() -> None:
    assert "firebird-dev" in make("pdo_firebird").packages
    with pytest.raises(
        EnvironmentMissingError, match="al2023 has no package with firebird, which the extension pdo_firebird needs"
    ):
        make("pdo_firebird", base="al2023")


def test_icu_s_data_is_cut_only_where_locales_are_named() -> None:
    assert "icu" not in keys(make("intl"))
    assert "icu" not in keys(make("curl", locales=("de",)))
    assert part(make("intl", locales=("de", "en")), "icu").steps[0].arguments == ("de", "en")
    assert key(make("intl")) == key(make("intl", locales=("de",))), "PHP is the same"


def test_flags_stand_once_and_start_from_nothing() -> None:
    flags = make("gd", "ftp", "openssl").configure
    assert len(flags) == len(set(flags))
    assert "--disable-all" in flags
    assert "--enable-cli" in flags
    assert "--disable-fpm" in flags
    assert "--with-config-file-path=/opt/etc/php" in flags


def test_another_sapi_is_built_where_it_is_asked_for() -> None:
    wanted = dataclasses.replace(runtime(), sapis=("cli", "fpm"))
    plan = recipe.plan(wanted, KNOWN.bases["debian"])
    assert "--enable-fpm" in plan.configure
    assert next(step for step in plan.php.steps if step.name == "install").arguments == ("cli", "fpm")


def test_shared_extensions_are_loaded_in_order() -> None:
    loaded = recipe.shared_extensions(runtime("redis", "igbinary"))
    assert loaded.index(("igbinary", False)) < loaded.index(("redis", False))
    assert ("opcache", True) in loaded


def test_every_step_has_its_script() -> None:
    for each in make("full" if "full" in KNOWN.sets else "default", "redis", locales=("en",)).parts:
        for name in compile.scripts(each):
            assert resources.template("build", f"{name}.sh").is_file()


def test_the_host_and_the_al2023_base_run_the_same_steps() -> None:
    host, native = make("default"), make("default", base="al2023")
    assert [step.name for step in host.php.steps] == [step.name for step in native.php.steps]
    assert host.configure == native.configure


@pytest.mark.parametrize("base", KNOWN.bases.values(), ids=lambda base: base.name)
def test_a_library_names_bases_libraries_and_scripts_that_there_are(base: catalog.Base) -> None:
    for library in libraries.load().values():
        assert set(library.bases) <= set(KNOWN.bases)
        assert set(library.packages) <= set(library.bases)
        assert set(library.libraries) <= set(base.packages)
        assert resources.template("build", f"{library.script}.sh").is_file()
        assert library.source.urls, "also who has no apt can fetch it"
        assert not library.patch_names or library.patches
        assert library.name not in KNOWN.extensions or not KNOWN.extensions[library.name].shared
