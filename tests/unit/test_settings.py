from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from phplayer import example_settings
from phplayer.errors import UsageError
from phplayer.setting_keys import KEYS
from phplayer.settings import Settings


def load(folder: Path, text: str = "", environment: dict[str, str] | None = None, **flags: object) -> Settings:
    if text:
        (folder / "phplayer.toml").write_text(text)
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return Settings.load(start=folder, flags=named, environment=environment or {})


def test_precedence_is_flag_environment_file_default(tmp_path: Path) -> None:
    text = '[layer]\nname = "file"\n'
    assert load(tmp_path).text("layer.name") == "php"
    assert load(tmp_path, text).text("layer.name") == "file"
    environment = {"PHPLAYER_LAYER_NAME": "env"}
    assert load(tmp_path, text, environment).text("layer.name") == "env"
    assert load(tmp_path, text, environment, layer__name="flag").text("layer.name") == "flag"


def test_each_value_knows_its_origin(tmp_path: Path) -> None:
    settings = load(tmp_path, "[build]\njobs = 3\n", {"PHPLAYER_LAYER_NAME": "env"}, php__version="8.2")
    assert settings.origins["php.version"] == "the command line"
    assert settings.origins["layer.name"] == "environment variable PHPLAYER_LAYER_NAME"
    assert settings.origins["build.jobs"] == f"{tmp_path / 'phplayer.toml'}, line 2"
    assert settings.origins["build.output"] == "default"


def test_the_project_is_the_nearest_folder_above_with_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "phplayer.toml").write_text("")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert Settings.load(start=deep, environment={}).root == tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[php]\nversoin = "8.4"\n', "Did you mean 'version'?"),
        ("[layre]\n", "Did you mean 'layer'?"),
        ("[php\n", "not valid TOML"),
        ("[php]\nversion = 8.4\n", "php.version must be a string"),
        ("[php]\nextensions = ['a', 1]\n", "must be a list of strings"),
        ("[build]\njobs = true\n", "must be a whole number"),
        ("php = 1\n", "must be a table"),
        ("[php]\nini = { a = [1] }\n", "must be a table"),
        ("[build]\nparallel = -1\n", "build.parallel must be a whole number, 0 or more"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert said in f"{caught.value.message} {caught.value.remedy}"
    assert "phplayer.toml" in f"{caught.value.message}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('# first\n\n[php]\nextensions = [\n  "curl",  # a comment\n]\nversoin = "8.4"\n', 7),
        ('[php]\nini = { memory_limit = """\n[layer]\n1G""" }\nversion = 8\n', 5),
        ('[php]\nextensions = [\n  "curl",\n  1,\n]\n', 2),
        ('layer.name = "a"\nlayer.nmae = "b"\n', 2),
        ('\r\n[php]\r\nversion = "8.4"\r\n\r\n[buid]\r\njobs = 1\r\n', 5),
        ("[php]\n[php.in]\nx = 1\n", 2),
        ("[php]\n\n[php.in.x]\ny = 1\n", 3),
        ("[php.ini.x]\ny = 1\n", 1),
        ("[[php]]\nversion = 1\n", 1),
        ('[php]\n"ini" = { a."b c" = [{ d = 1 }] }', 2),
        ("[build]\njobs = 1\noutput = 2", 3),
    ],
)
def test_mistakes_in_the_file_are_named_with_their_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "phplayer.toml").write_bytes(text.encode())
    with pytest.raises(UsageError, match=rf"phplayer\.toml, line {line}\b"):
        load(tmp_path)


def test_an_unknown_setting_in_the_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PHPLAYER_PHP_VERSOIN") as caught:
        load(tmp_path, environment={"PHPLAYER_PHP_VERSOIN": "8.4"})
    assert "Did you mean 'PHPLAYER_PHP_VERSION'?" in caught.value.remedy
    others = {"PHPLAYER_CACHE": "/c", "PHPLAYER_DEBUG": "1", "PHPLAYER_ROLE": "arn", "PHPLAYER": "x"}
    assert load(tmp_path, environment=others).text("layer.name") == "php"


def test_a_table_in_the_environment_has_a_name_for_each_value(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PHPLAYER_PHP_INI gives 'memory_limit'"):
        load(tmp_path, environment={"PHPLAYER_PHP_INI": "memory_limit"})


def test_the_environment_gives_every_type(tmp_path: Path) -> None:
    environment = {
        "PHPLAYER_PHP_EXTENSIONS": "curl, intl",
        "PHPLAYER_COMPOSER_SCRIPTS": "yes",
        "PHPLAYER_BUILD_JOBS": "4",
        "PHPLAYER_PHP_INI": "memory_limit=1G",
    }
    settings = load(tmp_path, environment=environment)
    assert settings.texts("php.extensions") == ("curl", "intl")
    assert settings.flag("composer.scripts") is True
    assert settings.number("build.jobs") == 4
    assert settings.table("php.ini") == {"memory_limit": "1G"}
    with pytest.raises(UsageError, match="PHPLAYER_BUILD_JOBS"):
        load(tmp_path, environment={"PHPLAYER_BUILD_JOBS": "many"})


def test_the_example_holds_every_key_and_loads_with_all_lines_switched_on(tmp_path: Path) -> None:
    path = example_settings.write(tmp_path, php="8.4")
    assert load(tmp_path).values["php.version"] == ("8.4",)
    text = path.read_text()
    path.write_text("\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines()))
    everything = load(tmp_path)
    assert {name for name, origin in everything.origins.items() if origin != "default"} == {key.name for key in KEYS}
    with pytest.raises(UsageError, match="exists already"):
        example_settings.write(tmp_path, php="8.4")


def test_of_a_list_of_one_the_brackets_can_be_left_out_where_that_reads_better(tmp_path: Path) -> None:
    assert load(tmp_path, '[php]\nversion = "8.4"\n').texts("php.version") == ("8.4",)
    assert load(tmp_path, '[php]\nversion = ["8.3", "8.4"]\n').texts("php.version") == ("8.3", "8.4")
    assert load(tmp_path, "", {"PHPLAYER_PHP_VERSION": "8.2,8.4"}).texts("php.version") == ("8.2", "8.4")
    assert load(tmp_path, '[php]\nversion = ""\n').texts("php.version") == ()
    with pytest.raises(UsageError, match=r"php\.extensions must be a list of strings"):
        load(tmp_path, '[php]\nextensions = "curl"\n')


def test_settings_go_to_another_process(tmp_path: Path) -> None:
    settings = load(tmp_path, '[php]\nini = { memory_limit = "1G" }\n')
    copy = pickle.loads(pickle.dumps(settings))  # noqa: S301  made right here
    assert copy == settings
    with pytest.raises(TypeError):
        copy.values["layer.name"] = "x"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("", 0), ("10 GB", 10**10), ("500M", 5 * 10**8), ("1.5gb", 15 * 10**8), ("17", 17)]
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    assert load(tmp_path, cache__max_size=text).size("cache.max_size") == size


def test_a_size_that_is_none_is_named_with_where_it_comes_from(tmp_path: Path) -> None:
    for text in ("ten GB", "10 PB", "-1"):
        with pytest.raises(UsageError, match=r"cache\.max_size is .* no size \(the command line\)"):
            load(tmp_path, cache__max_size=text).size("cache.max_size")


def test_a_choice_that_is_none_is_named_with_where_it_comes_from(tmp_path: Path) -> None:
    known = ("auto", "docker")
    settings = load(tmp_path, environment={"PHPLAYER_BUILD_ENGINE": "dokcer"})
    with pytest.raises(UsageError, match=r"'dokcer' \(build\.engine in environment variable PHPLAYER_BUILD_ENGINE\)\."):
        settings.choice("build.engine", known, "engine")
    with pytest.raises(UsageError, match=r"^Unknown engine 'dokcer'\.$"):
        load(tmp_path, build__engine="dokcer").choice("build.engine", known, "engine")
