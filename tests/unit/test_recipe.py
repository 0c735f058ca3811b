from __future__ import annotations

import dataclasses

from phplayer import catalog, compile, recipe, resources  # noqa: A004  the module's name is the domain's word
from phplayer.runtime import Architecture, BootstrapMode


def make(*extensions: str, php: str = "8.4", base: str = "debian") -> recipe.Recipe:
    known = catalog.load()
    runtime = known.runtime(
        php=php,
        extensions=extensions,
        target="al2023",
        architecture=Architecture.X86_64,
        bootstrap=BootstrapMode.FUNCTION,
    )
    return recipe.recipe(runtime, release=known.release(php), base=known.bases[base])


def key(plan: recipe.Recipe, fingerprint: str = "f") -> str:
    return plan.key(scripts=compile.scripts(plan), fingerprint=fingerprint)


def test_the_same_request_gives_the_same_key() -> None:
    assert key(make("curl", "zip")) == key(make("zip", "curl"))


def test_whatever_changes_the_result_changes_the_key() -> None:
    plan = make("curl")
    scripts = compile.scripts(plan)
    keys = {
        key(plan),
        key(plan, fingerprint="another compiler"),
        key(make("curl", "zip")),
        key(make("curl", php="8.2")),
        key(make("curl", base="al2023")),
        key(dataclasses.replace(plan, architecture="arm64")),
        plan.key(scripts=scripts | {"configure": b"another text"}, fingerprint="f"),
    }
    assert len(keys) == 7


def test_flags_stand_once_and_start_from_nothing() -> None:
    flags = make("gd", "ftp", "openssl").configure
    assert len(flags) == len(set(flags))
    assert "--disable-all" in flags
    assert "--with-config-file-path=/opt/etc/php" in flags


def test_every_step_has_its_script() -> None:
    for step in make().steps:
        assert resources.template("build", f"{step.name}.sh").is_file()


def test_the_host_and_the_al2023_base_run_the_same_steps() -> None:
    host, native = make("default"), make("default", base="al2023")
    assert [step.name for step in host.steps] == [step.name for step in native.steps]
    assert host.configure == native.configure
