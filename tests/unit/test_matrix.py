from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phplayer import catalog, dist, matrix, naming
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.runtime import Architecture
from phplayer.settings import Settings


def identifiers(folder: Path, *only: str, **flags: Any) -> list[str]:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    settings = Settings.load(start=folder, environment={}, flags=named)
    return [runtime.identifier for runtime in matrix.runtimes(settings, only=only)]


def test_nothing_said_means_the_default_php_for_this_machine(tmp_path: Path) -> None:
    assert identifiers(tmp_path) == [f"php84-al2023-{Architecture.of_this_machine()}"]


def test_every_version_with_every_architecture_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "phplayer.toml").write_text('[php]\nversion = ["8.4", "8.2"]\n[build]\narch = "all"\n')
    everything = ["php84-al2023-x86_64", "php84-al2023-arm64", "php82-al2023-x86_64", "php82-al2023-arm64"]
    assert identifiers(tmp_path) == everything
    assert identifiers(tmp_path, "php8*-arm64") == ["php84-al2023-arm64", "php82-al2023-arm64"]
    assert identifiers(tmp_path, "php82-al2023-x86_64", "*-arm64") == everything[1:3:2] + everything[2:]
    assert identifiers(tmp_path, build__arch=("arm64", "arm64")) == ["php84-al2023-arm64", "php82-al2023-arm64"]


@pytest.mark.parametrize(
    ("only", "said"), [("php84-al2023-arm", "--arch all"), ("php84-al2023-x86_65", "Did you mean")]
)
def test_a_pattern_that_selects_nothing_is_an_error_even_beside_one_that_does(
    tmp_path: Path, only: str, said: str
) -> None:
    with pytest.raises(NothingSelectedError) as caught:
        identifiers(tmp_path, "php84-*", only, build__arch=("x86_64",))
    assert "php84-al2023-x86_64" in caught.value.message
    assert said in caught.value.remedy


def test_an_extension_is_checked_for_what_is_selected_only(tmp_path: Path) -> None:
    flags = {"php__version": ("8.5", "8.4"), "php__extensions": ("uri",), "build__arch": ("x86_64",)}
    assert identifiers(tmp_path, "php85-*", **flags) == ["php85-al2023-x86_64"]
    with pytest.raises(UsageError, match="no extension 'uri'"):
        identifiers(tmp_path, **flags)


def test_two_releases_of_a_branch_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"PHP 8\.2\.32 and 8.2.33 are both 8.2"):
        identifiers(tmp_path, php__version=("8.2.32", "8.2.33"))
    newest = str(catalog.load().release("8.2").version)
    assert len(identifiers(tmp_path, php__version=(newest, "8.2"))) == 1


def test_architectures_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown architecture 'arm46'"):
        identifiers(tmp_path, build__arch=("arm46",))


def test_another_bootstrap_mode_is_told_by_every_name(tmp_path: Path) -> None:
    machine = Architecture.of_this_machine()
    assert identifiers(tmp_path, build__bootstrap="console") == [f"php84-al2023-{machine}-console"]
    for pattern, name in ((None, f"php-84-{machine}-console"), ("{name}-{mode}", "php-console")):
        flags = {"build.bootstrap": "console", "layer.runtime": pattern}
        settings = Settings.load(start=tmp_path, environment={}, flags=flags)
        (runtime,) = matrix.runtimes(settings)
        assert naming.layer_name(settings, runtime, "runtime") == name
        assert naming.layer_name(settings, runtime, "vendor") == "php-vendor"
        assert dist.folder(settings, runtime).name == f"php-84-al2023-{machine}-console"


def test_an_unknown_bootstrap_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        identifiers(tmp_path, build__bootstrap="consol")
    assert "Did you mean 'console'" in str(caught.value.remedy)
