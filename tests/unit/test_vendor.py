"""The key of a vendor layer, and the files that Composer gets to work on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from phplayer import vendor, vendor_scratch
from phplayer.composer import Composer
from phplayer.runtime import PhpVersion

PHP = PhpVersion.parse("8.4.24")
COMPOSER = Composer(path=Path("/usr/bin/composer"), version="2.5.5", command=("/usr/bin/composer",))
EXTENSIONS = {"json": "8.4.24", "curl": "8.4.24"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with one package of a path repository beside it, outside of its folder."""
    package = tmp_path / "shared" / "greeting"
    (package / "src").mkdir(parents=True)
    (package / "composer.json").write_text("{}")
    (package / "src" / "Greeter.php").write_text("<?php class Greeter {}")
    folder = tmp_path / "project"
    folder.mkdir()
    manifest = {
        "name": "acme/app",
        "require": {"acme/greeting": "^1.0"},
        "autoload": {"psr-4": {"App\\": "src/"}},
        "scripts": {"post-install-cmd": "exit 1"},
        "config": {"vendor-dir": "lib", "apcu-autoloader": True, "classmap-authoritative": True},
    }
    lock = {
        "packages": [
            {"name": "acme/greeting", "version": "1.0.0", "dist": {"type": "path", "url": "../shared/greeting"},
             "transport-options": {"symlink": True}},
        ],
        "platform-overrides": {"php": "7.0.0"},
    }  # fmt: skip
    (folder / "composer.json").write_text(json.dumps(manifest))
    (folder / "composer.lock").write_text(json.dumps(lock))
    return folder


def digest(
    root: Path,
    *,
    composer: Composer = COMPOSER,
    php: PhpVersion = PHP,
    extensions: Mapping[str, str] = EXTENSIONS,
    scripts: bool = False,
    plugins: bool = False,
) -> str:
    project = vendor.read_project(root)
    return vendor.digest(project, composer=composer, php=php, extensions=extensions, scripts=scripts, plugins=plugins)


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_the_same_input_has_the_same_key_wherever_it_lies(root: Path) -> None:
    first = digest(root)
    assert len(first) == 64
    moved = root.parent.parent / "elsewhere"
    root.parent.rename(moved)
    assert digest(moved / "project") == first
    assert digest(moved / "project", extensions=dict(reversed(EXTENSIONS.items()))) == first


@pytest.mark.parametrize(
    "changed",
    [
        {"composer": Composer(path=COMPOSER.path, version="2.8.8", command=COMPOSER.command)},
        {"php": PhpVersion.parse("8.4.25")},
        {"extensions": {**EXTENSIONS, "gd": "8.4.24"}},
        {"extensions": {**EXTENSIONS, "curl": "8.4.25"}},
        {"scripts": True},
        {"plugins": True},
    ],
    ids="-".join,
)
def test_each_setting_changes_the_key(root: Path, changed: dict[str, Any]) -> None:
    assert digest(root, **changed) != digest(root)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root.parent / "shared/greeting/src/Greeter.php").write_text("<?php class Greeter { }"),
        lambda root: (root.parent / "shared/greeting/src/Greeter.php").chmod(0o755),
        lambda root: (root.parent / "shared/greeting/src/Greeter.php").rename(root.parent / "shared/greeting/G.php"),
        lambda root: (root.parent / "shared/greeting/new.php").write_text(""),
        lambda root: (root.parent / "shared/greeting/linked").symlink_to("src"),
        lambda root: edit_json(root / "composer.lock", lambda lock: lock.update(aliases=[])),
        lambda root: edit_json(root / "composer.json", lambda manifest: manifest.update(extra={"a": 1})),
        lambda root: edit_json(
            root / "composer.json", lambda manifest: manifest["config"].pop("classmap-authoritative")
        ),
    ],
    ids=["content", "executable", "name", "new file", "link", "lock", "manifest", "config"],
)
def test_each_input_changes_the_key(root: Path, change: Callable[[Path], object]) -> None:
    before = digest(root)
    change(root)
    assert digest(root) != before


def test_what_is_the_functions_own_does_not_change_the_key(root: Path) -> None:
    before = digest(root)
    edit_json(root / "composer.json", lambda manifest: manifest.pop("autoload"))
    edit_json(root / "composer.json", lambda manifest: manifest.pop("scripts"))
    (root / "src").mkdir()
    (root / "src" / "index.php").write_text("<?php")
    (root.parent / "shared" / "greeting" / ".git").mkdir()
    (root.parent / "shared" / "greeting" / ".git" / "HEAD").write_text("x")
    assert digest(root) == before


def test_with_scripts_any_file_of_the_project_changes_the_key(root: Path) -> None:
    before = digest(root, scripts=True)
    (root / "patch.diff").write_text("x")
    assert digest(root, scripts=True) != before


def test_the_key_is_quickly_made(root: Path) -> None:
    for number in range(300):
        (root.parent / "shared" / "greeting" / "src" / f"C{number}.php").write_text("<?php\n" * 50)
    began = time.perf_counter()
    digest(root)
    assert time.perf_counter() - began < 0.5  # seconds; a few hundredths on a free machine


def test_composer_json_is_the_dependencies_only(root: Path) -> None:
    manifest = vendor_scratch.manifest(vendor.read_project(root))
    assert not {"autoload", "autoload-dev", "scripts"} & set(manifest)
    assert manifest["require"] == {"acme/greeting": "^1.0"}
    assert manifest["config"]["vendor-dir"] == "vendor"
    assert manifest["config"]["apcu-autoloader"] is False
    assert manifest["config"]["classmap-authoritative"] is True
    assert manifest["config"]["platform-check"] == "php-only"


def test_the_lock_names_the_runtime_and_no_path_of_this_machine(root: Path, tmp_path: Path) -> None:
    project = vendor.read_project(root)
    scratch = tmp_path / "scratch"
    vendor_scratch.lay_out(project, scratch, {"php": "8.4.24", "ext-intl": False}, whole=False)
    lock = json.loads((scratch / "composer.lock").read_text())
    assert lock["platform-overrides"] == {"php": "8.4.24", "ext-intl": False}
    (entry,) = lock["packages"]
    assert entry["dist"]["url"] == ".local/acme/greeting"
    assert entry["transport-options"] == {"symlink": False, "relative": True}
    assert (scratch / ".local/acme/greeting/src/Greeter.php").is_file()
    assert sorted(path.name for path in scratch.iterdir()) == [".local", "composer.lock"]
    assert "7.0.0" in (root / "composer.lock").read_text()  # the user's own is as it was


def test_local_sources_leave_no_path_either(root: Path, tmp_path: Path) -> None:
    def change(lock: dict[str, Any]) -> None:
        (entry,) = lock["packages"]
        entry["source"] = {"type": "git", "url": str(root.parent / "shared/greeting"), "reference": "abc"}
        lock["packages"].append({**entry, "name": "acme/cloned", "dist": None})

    edit_json(root / "composer.lock", change)
    vendor_scratch.lay_out(vendor.read_project(root), tmp_path / "scratch", {}, whole=False)
    text = (tmp_path / "scratch" / "composer.lock").read_text()
    assert str(tmp_path) not in text
    both, cloned = json.loads(text)["packages"]
    assert "source" not in both
    assert cloned["source"]["url"] == ".local/acme/cloned"


def test_credentials_are_linked_and_not_copied(root: Path, tmp_path: Path) -> None:
    (root / "auth.json").write_text("{}")
    vendor_scratch.lay_out(vendor.read_project(root), tmp_path / "scratch", {}, whole=True)
    assert (tmp_path / "scratch" / "auth.json").is_symlink()


@pytest.mark.parametrize(
    ("version", "understood"),
    [
        ("8.4.24", "8.4.24"),
        ("20031129", "20031129"),
        ("1.2.3.4", "1.2.3.4"),
        ("0.1.2-dev", "0.1.2-dev"),
        ("mysqlnd 8.4.24", "0"),
        ("1.2.3 built for me", "1.2.3"),
        ("", "0"),
    ],
)
def test_versions_of_extensions_are_what_composer_can_read(version: str, understood: str) -> None:
    assert vendor_scratch._composer_version(version) == understood


def test_the_autoloaders_names_differ_from_those_of_the_function(root: Path) -> None:
    project = vendor.read_project(root)
    assert vendor_scratch.suffix(project).isalnum()
    assert vendor_scratch.suffix(project) != project.lock.get("content-hash")
