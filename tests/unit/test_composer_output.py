"""Composer's complaints, in its own words, become one sentence each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phplayer import composer_output
from phplayer.errors import BuildFailedError, EnvironmentMissingError

LOG = Path("composer.log")

UNMET = """\
Your lock file does not contain a compatible set of packages. Please run composer update.

  Problem 1
    - Root composer.json requires php >=8.5 but your php version (8.4.24; overridden via config.platform, actual: 8.2.36) does not satisfy that requirement.
  Problem 2
    - Root composer.json requires PHP extension ext-gd * but it is missing from your system. Install or enable PHP's gd extension.
  Problem 3
    - acme/new is locked to version 1.0.0 and an update of this package was not requested.
    - acme/new 1.0.0 requires php ^9.0 -> your php version (8.4.24; overridden via config.platform, actual: 8.2.36) does not satisfy that requirement.
    - acme/new 1.0.0 requires ext-intl >=2 -> it is missing from your system. Install or enable PHP's intl extension.
"""  # noqa: E501  as Composer writes it


def test_what_the_platform_lacks_is_one_sentence() -> None:
    error = composer_output.failure(UNMET.splitlines(), code=2, runtime="PHP 8.4.24", log=LOG)
    assert isinstance(error, BuildFailedError)
    assert error.message == (
        "composer.json requires php >=8.5; composer.json requires ext-gd *; acme/new 1.0.0 requires php ^9.0; "
        "acme/new 1.0.0 requires ext-intl >=2; the runtime (PHP 8.4.24) does not offer that."
    )
    assert "php.version" in error.remedy
    assert error.log == LOG


@pytest.mark.parametrize(
    "line",
    [
        "curl error 6 while downloading https://example.org/x.zip: Could not resolve host: example.org",
        'The "https://example.org/x.zip" file could not be downloaded: failed to open stream: Connection refused',
        "The following exception is caused by a lack of network: Network is unreachable",
    ],
)
def test_no_network_is_the_machines_state(line: str) -> None:
    error = composer_output.failure([line], code=100, runtime="PHP 8.4.24", log=LOG)
    assert isinstance(error, EnvironmentMissingError)
    assert line in error.details


def test_a_full_disk_is_the_machines_state() -> None:
    line = "file_put_contents(): Write of 8192 bytes failed with errno=28 No space left on device"
    error = composer_output.failure([line], code=1, runtime="PHP 8.4.24", log=LOG)
    assert isinstance(error, EnvironmentMissingError)
    assert "disk is full" in error.message


def test_anything_else_shows_the_tail() -> None:
    lines = [f"line {number}" for number in range(100)]
    error = composer_output.failure([*lines, ""], code=1, runtime="PHP 8.4.24", log=LOG)
    assert isinstance(error, BuildFailedError)
    assert error.details == tuple(lines[-20:])


def test_every_place_of_credentials_is_known(tmp_path: Path) -> None:
    def auth(folder: str, secret: str) -> str:
        path = tmp_path / folder / "auth.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"http-basic": {"example.org": {"username": "me", "password": secret}}}))
        return str(path.parent)

    auth("project", "in-project")
    auth("home/.config/composer", "in-config")
    auth("home/.composer", "in-dot-composer")
    source = {
        "COMPOSER_AUTH": '{"github-oauth": {"github.com": "in-environment"}}',
        "COMPOSER_HOME": auth("composer-home", "in-composer-home"),
        "HOME": str(tmp_path / "home"),
    }
    found = composer_output.secrets(tmp_path / "project", source)
    assert set(found) == {"in-environment", "in-project", "in-config", "in-dot-composer", "in-composer-home"}
    assert composer_output.without(found, "x in-project y in-environment") == "x *** y ***"


def test_broken_credentials_are_composers_to_report(tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text("{")
    assert composer_output.secrets(tmp_path, {"COMPOSER_AUTH": "not json"}) == ()
