"""Reading composer.json and composer.lock, and holding them against a runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phplayer import catalog, dependencies
from phplayer.errors import UsageError
from phplayer.runtime import PhpVersion

PHP = PhpVersion.parse("8.4.24")
RUNTIME = {"core": "8.4.24", "standard": "8.4.24", "json": "8.4.24", "opcache": "8.4.24", "simplexml": "8.4.24"}

MakeProject = Callable[..., dependencies.Project]


def package(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0.0", "license": ["MIT"], **fields}


def write(folder: Path, manifest: Any, lock: Any = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "composer.json").write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    if lock is not None:
        (folder / "composer.lock").write_text(lock if isinstance(lock, str) else json.dumps(lock))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> MakeProject:
    def make(*packages: dict[str, Any], **manifest: Any) -> dependencies.Project:
        return dependencies.read_project(write(tmp_path, manifest, {"packages": list(packages), "packages-dev": []}))

    return make


def test_a_project_is_its_production_packages(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    lock = {
        "packages": [
            package("B/Two", license="MIT", dist={"type": "path", "url": "lib"}),
            package("a/one", require={"php": ">=8"}, dist={"type": "zip", "url": "https://example.org/one.zip"}),
        ],
        "packages-dev": [package("dev/tool")],
    }
    found = dependencies.read_project(write(tmp_path, {"require": {"a/one": "^1"}}, lock))
    assert [item.name for item in found.packages] == ["a/one", "b/two"]
    assert found.packages[0].record.license == ("MIT",)
    assert found.packages[0].local is None
    assert found.packages[1].local == tmp_path / "lib"


@pytest.mark.parametrize(
    ("stated", "licenses"), [("", ()), (None, ()), ([], ()), (["", "MIT", " "], ("MIT",)), ([None, "MIT"], ("MIT",))]
)
def test_an_empty_licence_is_none(project: MakeProject, stated: Any, licenses: tuple[str, ...]) -> None:
    assert project(package("a/one", license=stated)).packages[0].record.license == licenses


@pytest.mark.parametrize(
    ("manifest", "lock", "message"),
    [
        ('{"require": {},}', "{}", r"composer\.json is not valid JSON: .*line 1, column 1[56]"),
        ('{\n  "a": 1\n  "b": 2}', "{}", r"line 3, column 3"),
        ("[]", "{}", r"composer\.json does not hold a JSON object"),
        ('{"require": 1}', '{"packages": []}', r"'require' in composer\.json must be an object"),
        ("{}", None, r"has no composer\.lock"),
        ("{}", "<<<<<<< HEAD\n", r"composer\.lock is not valid JSON: .*line 1, column 1"),
        ("{}", "{}", r"composer\.lock has no list of packages"),
        ("{}", '{"packages": [{"name": "a/b"}]}', r"composer\.lock has no list of packages"),
        ('{"require": {"a/b": "*", "php": "*"}}', '{"packages": []}', r"requires a/b, which composer\.lock has not"),
        (
            "{}",
            '{"packages": [{"name": "a/b", "version": "1", "dist": {"type": "path", "url": "../gone"}}]}',
            r"installs a/b from '\.\./gone', and there is nothing at /",
        ),
    ],
)
def test_each_defect_of_the_files_is_named(tmp_path: Path, manifest: str, lock: str | None, message: str) -> None:
    write(tmp_path / "project", manifest, lock)
    with pytest.raises(UsageError, match=message) as caught:
        dependencies.read_project(tmp_path / "project")
    assert caught.value.remedy


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "composer.json").write_bytes(b'{"description": "\xe9"}')
    with pytest.raises(UsageError, match=r"composer\.json is not UTF-8"):
        dependencies.read_project(tmp_path)


def test_a_provided_package_counts_as_locked(project: MakeProject) -> None:
    assert project(
        package("acme/log", provide={"psr/log-implementation": "1.0"}), require={"psr/log-implementation": "*"}
    )


def test_composer_has_no_project_without_its_file(tmp_path: Path) -> None:
    assert not dependencies.has_project(tmp_path)
    assert dependencies.has_project(write(tmp_path, {}))


def test_what_the_runtime_has_is_accepted(project: MakeProject) -> None:
    made = project(
        package("a/one", require={"ext-zend-opcache": "*", "ext-SimpleXML": "*", "php-64bit": "*", "lib-pcre": "*"}),
        require={"php": "^8.2", "ext-json": "*", "a/one": "*"},
    )
    dependencies.check(made, php=PHP, extensions=RUNTIME)


def test_php_s_own_names_of_extensions_are_understood(project: MakeProject) -> None:
    made = project(require={"ext-zend-opcache": "*", "ext-simplexml": "*"})
    dependencies.check(made, php=PHP, extensions={"Zend OPcache": "8.4.24", "SimpleXML": "8.4.24"})


def test_a_missing_extension_is_refused_with_who_asks_and_what_to_write(project: MakeProject) -> None:
    made = project(
        package("a/one", require={"ext-intl": "*"}),
        package("b/two", require={"ext-intl": "^8", "ext-gd": "*"}),
        require={"a/one": "*", "ext-gd": "*"},
    )
    with pytest.raises(UsageError) as caught:
        dependencies.check(made, php=PHP, extensions=RUNTIME)
    assert "ext-intl (required by a/one, b/two)" in caught.value.message
    assert "ext-gd (required by composer.json, b/two)" in caught.value.message
    assert caught.value.remedy == 'Add "gd", "intl" to php.extensions in phplayer.toml.'


def test_a_missing_opcache_is_called_as_phplayer_toml_calls_it(project: MakeProject) -> None:
    with pytest.raises(UsageError, match="ext-zend-opcache") as caught:
        dependencies.check(project(require={"ext-zend-opcache": "*"}), php=PHP, extensions={"json": "8.4.24"})
    assert '"opcache"' in caught.value.remedy


def test_an_extension_that_nobody_knows_has_another_remedy(project: MakeProject) -> None:
    with pytest.raises(UsageError) as caught:
        dependencies.check(project(require={"ext-nonesuch": "*"}), php=PHP, extensions=RUNTIME)
    assert caught.value.remedy.startswith("phplayer knows no extension nonesuch")


@pytest.mark.parametrize("link", ["provide", "replace"])
def test_a_polyfill_stands_in_for_an_extension(project: MakeProject, link: str) -> None:
    polyfill = package("symfony/polyfill-mbstring", **{link: {"ext-mbstring": "*"}})
    asker = package("a/one", require={"ext-mbstring": "*"})
    with pytest.raises(UsageError, match="ext-mbstring"):
        dependencies.check(project(asker), php=PHP, extensions=RUNTIME)
    dependencies.check(project(asker, polyfill), php=PHP, extensions=RUNTIME)


def test_dev_packages_and_dev_requirements_do_not_count(tmp_path: Path) -> None:
    lock = {"packages": [], "packages-dev": [package("dev/tool", require={"ext-xdebug": "*"})]}
    made = dependencies.read_project(write(tmp_path, {"require-dev": {"ext-ast": "*", "dev/tool": "*"}}, lock))
    dependencies.check(made, php=PHP, extensions=RUNTIME)


def test_every_extension_of_the_catalogue_has_a_platform_name() -> None:
    names = {name: dependencies.platform_name(name) for name in catalog.load().extensions}
    assert names["opcache"] == "ext-zend-opcache"
    assert names["pdo_mysql"] == "ext-pdo_mysql"
    assert len(set(names.values())) == len(names)
    assert set(dependencies.platform_extensions({"Core": "1", "standard": "1", "SPL": "1"})) == {"ext-spl"}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("packages/x", "packages/x"),
        ("../x", "../x"),
        ("/srv/x.zip", "/srv/x.zip"),
        ("file:///srv/a%20b.zip", "/srv/a b.zip"),
        ("https://example.org/x.zip", None),
        ("ssh://git@example.org/x.git", None),
        ("git@example.org:acme/x.git", None),
        ("", None),
    ],
)
def test_local_places_are_told_from_addresses(url: str, place: str | None) -> None:
    assert dependencies.local_place({"url": url}) == place


def test_a_projects_own_files_leave_out_what_is_installed_or_written(tmp_path: Path) -> None:
    for name in ("src/a.php", ".git/HEAD", "vendor/x.php", "lib/v/y.php", "dist/runtime.zip", "auth.json", "led.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "linked").symlink_to("src")
    write(tmp_path, {"config": {"vendor-dir": "lib/v"}}, {"packages": []})
    made = dependencies.read_project(tmp_path, outputs=(tmp_path / "dist", tmp_path / "led.json"))
    names = [str(path.relative_to(tmp_path)) for path in made.files()]
    assert names == ["composer.json", "composer.lock", "linked", "src/a.php", "vendor/x.php"]


def test_what_composer_requires_is_told_by_the_catalogues_names(project: MakeProject) -> None:
    polyfill = package("symfony/polyfill-mbstring", provide={"ext-mbstring": "*"})
    made = project(
        package("a/one", require={"ext-intl": "*", "ext-mbstring": "*", "ext-PDO": "*"}),
        polyfill,
        require={"ext-zend-opcache": "*", "ext-redis": "^6"},
    )
    assert dependencies.wanted_extensions(made) == ("intl", "opcache", "pdo", "redis")


def test_an_extension_that_the_catalogue_lacks_can_be_given(project: MakeProject) -> None:
    made = project(package("a/one", require={"ext-own": "*"}), require={"ext-own": "*"})
    with pytest.raises(UsageError) as caught:
        dependencies.wanted_extensions(made)
    assert "ext-own (required by composer.json, a/one)" in caught.value.message
    assert "--extension-source own=FILE" in caught.value.remedy
    assert dependencies.wanted_extensions(made, given=["own"]) == ("own",)
