"""The vendor layer, made by real Composer, whose own PHP is another than the runtime's."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phplayer import composer, vendor
from phplayer.errors import BuildFailedError, EnvironmentMissingError, UsageError
from phplayer.events import Event, PhaseAdvanced, PhaseFinished, PhaseStarted, Warned
from phplayer.runtime import PhpVersion
from tests.integration import guzzle
from tests.serving import Handler, serving

if TYPE_CHECKING:
    from tests.conftest import Built

ROOT = Path(__file__).resolve().parent.parent.parent
PHP = PhpVersion.parse("8.4.24")
RUNTIME = {name: str(PHP) for name in ("core", "json", "mbstring", "openssl", "opcache", "tokenizer", "bcmath")}
OFFLINE: dict[str, Any] = {"packagist.org": False}


class Workshop:
    """A folder for one project and its path packages, and the means to lock and install them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "project"
        self.into = folder / "tree"
        self.log = folder / "out" / "composer.log"
        self.events: list[Event] = []
        self.root.mkdir(parents=True, exist_ok=True)

    def package(self, name: str, files: Mapping[str, str] | None = None, **manifest: Any) -> None:
        place = self.root / "packages" / name
        place.mkdir(parents=True)
        for file, content in (files or {}).items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(content)
        (place / "composer.json").write_text(json.dumps({"name": name, "license": "MIT", **manifest}))

    def project(
        self,
        require: Mapping[str, str],
        *,
        dev: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        lock: bool = True,
        **manifest: Any,
    ) -> None:
        """Write composer.json over all packages, and lock them without a look at the platform."""
        names = [
            f"{path.parent.parent.name}/{path.parent.name}" for path in self.root.glob("packages/*/*/composer.json")
        ]
        repositories = [
            {
                "type": "path",
                "url": f"packages/{name}",
                "options": {"reference": "config", "versions": {name: "1.0.0"}, **(options or {})},
            }
            for name in sorted(names)
        ]
        document = {"name": "acme/app", "require": require, "repositories": [*repositories, OFFLINE], **manifest}
        if dev:
            document["require-dev"] = dev
        (self.root / "composer.json").write_text(json.dumps(document))
        if lock:
            command = [
                "composer",
                "update",
                "--no-install",
                "--ignore-platform-reqs",
                "--no-plugins",
                "--no-scripts",
                "-q",
            ]
            subprocess.run(command, cwd=self.root, check=True, env=composer.environment())

    def install(self, *, extensions: Mapping[str, str] = RUNTIME, scripts: bool = False, plugins: bool = False) -> Path:
        vendor.install(
            vendor.read_project(self.root),
            into=self.into,
            composer=vendor.find_composer(),
            php=PHP,
            extensions=extensions,
            scripts=scripts,
            plugins=plugins,
            listener=self.events.append,
            log=self.log,
        )
        return self.into / "vendor"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "workshop")


def content(tree: Path) -> str:
    """Hash the sorted names, modes and contents of all files."""
    total = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        assert not path.is_symlink(), path
        if path.is_file():
            mode = "x" if os.access(path, os.X_OK) else "-"
            total.update(f"{path.relative_to(tree)}\0{mode}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def everything(tree: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(tree.rglob("*")) if path.is_file())


def rich_project(workshop: Workshop) -> None:
    """A project with all that is hard to reproduce or must stay out of the layer."""
    workshop.package(
        "acme/library",
        {
            "src/Thing.php": "<?php namespace Acme; class Thing {}",
            "src/functions.php": "<?php function acme_answer(): int { return 42; }",
            "legacy/Old.php": "<?php class Acme_Old {}",
            "bin/acme": "#!/usr/bin/env php\n<?php echo 'acme';",
        },
        require={"php": ">=8.1", "acme/base": "^1.0"},
        autoload={"psr-4": {"Acme\\": "src/"}, "files": ["src/functions.php"], "classmap": ["legacy/"]},
        bin=["bin/acme"],
    )
    workshop.package("acme/base", {"auth.json": '{"bearer": {"example.org": "of-the-package"}}'})
    workshop.package("acme/tool", {"Tool.php": "<?php class DevTool {}"}, autoload={"classmap": ["Tool.php"]})
    for name in ("src/App.php", "src/boot.php", "old/App_Old.php"):
        (workshop.root / name).parent.mkdir(exist_ok=True)
        (workshop.root / name).write_text("<?php")
    workshop.project(
        {"acme/library": "^1.0"},
        dev={"acme/tool": "^1.0"},
        options={"symlink": True},
        autoload={"psr-4": {"App\\": "src/"}, "classmap": ["old/"], "files": ["src/boot.php"]},
        config={"vendor-dir": "somewhere/else", "apcu-autoloader": True},
    )


def test_two_folders_give_the_same_bytes(workshop: Workshop, tmp_path: Path) -> None:
    rich_project(workshop)
    other = Workshop(tmp_path / "another" / "place" / "altogether")
    shutil.rmtree(other.root)
    shutil.copytree(workshop.root, other.root)
    git = ["git", "-C", str(other.folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "init", "-q", other.folder], check=True)  # Composer would take its commit for a reference
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    first, second = workshop.install(), other.install()
    assert content(first) == content(second)
    for place in (str(tmp_path), "/tmp", "/work", str(Path.home()) + "/", str(ROOT), "/usr/"):
        allowed = "#!/usr/bin/env " if place == "/usr/" else ""
        assert place not in everything(first).replace(allowed, ""), place


def test_the_layer_holds_the_dependencies_and_nothing_else(workshop: Workshop) -> None:
    rich_project(workshop)
    tree = workshop.install()
    assert sorted(path.name for path in tree.iterdir()) == ["acme", "autoload.php", "bin", "composer"]
    assert sorted(path.name for path in (tree / "acme").iterdir()) == ["base", "library"]
    assert not (tree / "acme/base/auth.json").exists()
    text = everything(tree)
    for own in ("App\\\\", "old/App_Old.php", "src/boot.php", "App_Old"):
        assert own not in text
    assert "DevTool" not in text
    assert os.access(tree / "bin" / "acme", os.X_OK)
    assert (tree / "composer" / "platform_check.php").is_file()
    assert workshop.into.parent.joinpath("project/somewhere").exists() is False
    assert sorted(path.name for path in workshop.folder.iterdir()) == ["out", "project", "tree"]


def test_the_autoloader_works_from_another_place(workshop: Workshop, tmp_path: Path) -> None:
    rich_project(workshop)
    moved = tmp_path / "opt" / "vendor"
    moved.parent.mkdir()
    workshop.install().rename(moved)
    code = f"require '{moved}/autoload.php'; new Acme\\Thing; new Acme_Old; echo acme_answer(), ' ', "
    code += "Composer\\InstalledVersions::getVersion('acme/library');"
    assert php("-r", code) == "42 1.0.0.0"


def test_progress_is_told_per_package(workshop: Workshop) -> None:
    rich_project(workshop)
    workshop.install()
    started, first, second, finished = workshop.events
    assert isinstance(started, PhaseStarted)
    assert isinstance(finished, PhaseFinished)
    assert finished.outcome == "2 packages"
    assert isinstance(first, PhaseAdvanced)
    assert isinstance(second, PhaseAdvanced)
    assert [(event.done, event.total) for event in (first, second)] == [(1, 2), (2, 2)]


def test_a_runtime_newer_and_richer_than_composers_php_counts(workshop: Workshop) -> None:
    own = subprocess.run(["php", "-r", "echo PHP_VERSION;"], check=True, capture_output=True, text=True).stdout
    assert PhpVersion.parse(own) < PHP
    assert "bcmath" not in php("-m")
    workshop.package("acme/new", require={"php": ">=8.4.1", "ext-bcmath": "^8.4", "php-64bit": ">=8.4"})
    workshop.project({"acme/new": "*", "ext-zend-opcache": "*"})
    vendor.check(vendor.read_project(workshop.root), php=PHP, extensions=RUNTIME)
    assert (workshop.install() / "acme/new/composer.json").is_file()


def test_an_extension_that_only_composers_php_has_does_not_count(workshop: Workshop) -> None:
    assert "intl" in php("-m").split()
    workshop.package("acme/i18n", require={"ext-intl": "*"})
    workshop.project({"acme/i18n": "*"})
    with pytest.raises(UsageError, match=r"ext-intl \(required by acme/i18n\)"):
        vendor.check(vendor.read_project(workshop.root), php=PHP, extensions=RUNTIME)
    with pytest.raises(BuildFailedError) as caught:
        workshop.install()
    assert "acme/i18n 1.0.0 requires ext-intl *" in caught.value.message
    assert "PHP 8.4.24" in caught.value.message
    assert caught.value.log == workshop.log
    assert not (workshop.into / "vendor").exists()


def test_a_php_that_the_runtime_is_not_is_refused_in_a_sentence(workshop: Workshop) -> None:
    workshop.package("acme/old", require={"php": "~8.2.0"})
    workshop.project({"acme/old": "*"})
    with pytest.raises(BuildFailedError) as caught:
        workshop.install()
    message = "acme/old 1.0.0 requires php ~8.2.0; the runtime (PHP 8.4.24) does not offer that."
    assert caught.value.message == message


def test_a_constraint_of_the_project_itself_is_refused_too(workshop: Workshop) -> None:
    workshop.project({"php": ">=9"})
    with pytest.raises(BuildFailedError, match=r"composer\.json requires php >=9; the runtime \(PHP 8\.4\.24\)"):
        workshop.install()


def test_the_users_global_configuration_has_no_say(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich_project(workshop)
    plain = content(workshop.install())
    home = tmp_path / "composer-home"
    home.mkdir()
    config = {"platform": {"php": "7.4.0"}, "classmap-authoritative": True, "platform-check": False, "bin-dir": "b"}
    (home / "config.json").write_text(json.dumps({"config": config | {"autoloader-suffix": "Mine"}}))
    monkeypatch.setenv("COMPOSER_HOME", str(home))
    monkeypatch.setenv("COMPOSER_VENDOR_DIR", "other")
    assert content(workshop.install()) == plain


def test_it_works_without_a_home(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    rich_project(workshop)
    for name in ("HOME", "COMPOSER_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert (workshop.install() / "autoload.php").is_file()


def test_a_lock_that_lags_behind_is_warned_of(workshop: Workshop) -> None:
    rich_project(workshop)
    manifest = json.loads((workshop.root / "composer.json").read_text())
    (workshop.root / "composer.json").write_text(json.dumps({**manifest, "extra": {"changed": True}}))
    workshop.install()
    assert [event for event in workshop.events if isinstance(event, Warned)]


def test_links_inside_a_package_become_files(workshop: Workshop) -> None:
    workshop.package("acme/linked", {"data/real.txt": "content"})
    place = workshop.root / "packages/acme/linked"
    (place / "file.txt").symlink_to("data/real.txt")
    (place / "outside.txt").symlink_to(ROOT / "LICENSE")  # Composer itself leaves this one out
    workshop.project({"acme/linked": "*"})
    tree = workshop.install() / "acme/linked"
    assert not (tree / "file.txt").is_symlink()
    assert (tree / "file.txt").read_text() == "content"
    assert not (tree / "outside.txt").exists()


def test_a_link_that_a_layer_cannot_hold_is_refused(workshop: Workshop) -> None:
    workshop.package("acme/linked", {"real.txt": "content"})
    place = workshop.root / "packages/acme/linked"
    (place / "file.txt").symlink_to(place / "real.txt")
    workshop.project({"acme/linked": "*"})
    with pytest.raises(BuildFailedError, match=r"vendor/acme/linked/file\.txt is a link to"):
        workshop.install()


def test_an_archive_on_this_machine_is_installed(workshop: Workshop, tmp_path: Path) -> None:
    archive = tmp_path / "somewhere" / "thing-1.0.0.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("thing/composer.json", '{"name": "acme/thing"}')
        opened.writestr("thing/code.php", "<?php")
    workshop.project({"acme/thing": "*"}, lock=False)
    dist = {"type": "zip", "url": str(archive), "shasum": hashlib.sha1(archive.read_bytes()).hexdigest()}  # noqa: S324  Composer's own checksum
    lock = {
        "packages": [{"name": "acme/thing", "version": "1.0.0", "dist": dist, "type": "library"}],
        "packages-dev": [],
    }
    (workshop.root / "composer.lock").write_text(json.dumps(lock))
    tree = workshop.install()
    assert (tree / "acme/thing/code.php").is_file()
    assert str(tmp_path) not in everything(tree)


def test_no_network_says_so(workshop: Workshop) -> None:
    workshop.project({"acme/far": "*"}, lock=False)
    dist = {"type": "zip", "url": "https://127.0.0.1:9/far.zip"}
    lock = {"packages": [{"name": "acme/far", "version": "1.0.0", "dist": dist, "type": "library"}], "packages-dev": []}
    (workshop.root / "composer.lock").write_text(json.dumps(lock))
    with pytest.raises(EnvironmentMissingError, match="could not download") as caught:
        workshop.install()
    assert caught.value.log == workshop.log
    assert "127.0.0.1" in workshop.log.read_text()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server that asks for a password before it gives away a package."""
    folder = tmp_path / "www"
    folder.mkdir()
    with zipfile.ZipFile(folder / "private.zip", "w") as opened:
        opened.writestr("private/composer.json", '{"name": "acme/private"}')

    class Guarded(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") is None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.end_headers()
                return
            super().do_GET()

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    with serving(functools.partial(Guarded, directory=folder)) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize("where", ["environment", "auth.json", "lock"])
def test_credentials_open_doors_and_leave_no_trace(
    workshop: Workshop, served: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    basic = json.dumps({"http-basic": {served: {"username": "me-myself", "password": "s3cr3t-pass"}}})
    if where == "environment":
        monkeypatch.setenv("COMPOSER_AUTH", basic)
    elif where == "auth.json":
        (workshop.root / "auth.json").write_text(basic)
    user = "me-myself:s3cr3t-pass@" if where == "lock" else ""
    workshop.project(
        {"acme/private": "*"},
        lock=False,
        scripts={"post-install-cmd": "echo auth is $COMPOSER_AUTH"},
        config={"secure-http": False},
    )
    dist = {"type": "zip", "url": f"http://{user}{served}/private.zip"}
    lock = {"packages": [{"name": "acme/private", "version": "1.0.0", "dist": dist}], "packages-dev": []}
    (workshop.root / "composer.lock").write_text(json.dumps(lock))
    tree = workshop.install(scripts=where == "environment")
    assert (tree / "acme/private/composer.json").is_file()
    assert "s3cr3t-pass" not in everything(tree)
    assert "s3cr3t-pass" not in workshop.log.read_text()
    if where == "environment":
        assert "***" in workshop.log.read_text()


def test_scripts_run_when_asked_with_the_projects_classes(workshop: Workshop) -> None:
    workshop.package("acme/base")
    (workshop.root / "src").mkdir()
    script = "<?php namespace App; class Setup { static function run(): void { touch('vendor/acme/base/made'); } }"
    (workshop.root / "src/Setup.php").write_text(script)
    workshop.project(
        {"acme/base": "*"},
        autoload={"psr-4": {"App\\": "src/"}},
        scripts={"post-install-cmd": "App\\Setup::run"},
    )
    assert not (workshop.install() / "acme/base/made").exists()
    tree = workshop.install(scripts=True)
    assert (tree / "acme/base/made").is_file()
    assert "App\\\\" not in everything(tree)
    assert not (workshop.root / "vendor").exists()


def test_plugins_run_only_when_asked(workshop: Workshop) -> None:
    plugin = """<?php
        namespace Acme;
        use Composer\\{Composer, IO\\IOInterface, Plugin\\PluginInterface};
        class Plugin implements PluginInterface {
            function activate(Composer $composer, IOInterface $io) { touch('vendor/activated'); }
            function deactivate(Composer $composer, IOInterface $io) {}
            function uninstall(Composer $composer, IOInterface $io) {}
        }"""
    workshop.package(
        "acme/plugin",
        {"Plugin.php": plugin},
        type="composer-plugin",
        require={"composer-plugin-api": "^2.0"},
        autoload={"classmap": ["Plugin.php"]},
        extra={"class": "Acme\\Plugin"},
    )
    workshop.project({"acme/plugin": "*"}, config={"allow-plugins": {"acme/plugin": True}})
    assert not (workshop.install() / "activated").exists()
    assert (workshop.install(plugins=True) / "activated").is_file()


def test_a_failing_script_is_a_failed_build(workshop: Workshop) -> None:
    workshop.package("acme/base")
    workshop.project({"acme/base": "*"}, scripts={"post-install-cmd": "echo no luck; exit 7"})
    with pytest.raises(BuildFailedError) as caught:
        workshop.install(scripts=True)
    assert "no luck" in caught.value.details
    assert sorted(path.name for path in workshop.folder.iterdir()) == ["out", "project", "tree"]


def test_ctrl_c_leaves_nothing(workshop: Workshop) -> None:
    workshop.package("acme/base")
    workshop.project({"acme/base": "*"}, scripts={"post-install-cmd": f"echo $$ > {workshop.folder}/pid; sleep 300"})
    code = "import sys; from pathlib import Path; from tests.integration.test_vendor import Workshop; "
    code += "Workshop(Path(sys.argv[1])).install(scripts=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, workshop.folder], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    pid = workshop.folder / "pid"
    for _ in range(200):
        if pid.is_file() and pid.read_text().strip():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    assert sorted(path.name for path in workshop.folder.iterdir()) == ["out", "pid", "project", "tree"]
    assert list(workshop.into.iterdir()) == []


def test_the_hello_example_is_whole_and_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSER_DISABLE_NETWORK", "1")
    workshop = Workshop(tmp_path / "workshop")
    shutil.copytree(
        ROOT / "examples" / "hello", workshop.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("dist")
    )
    subprocess.run(
        ["composer", "validate", "--strict", "-q"], cwd=workshop.root, check=True, env=composer.environment()
    )
    tree = workshop.install()
    assert not [event for event in workshop.events if isinstance(event, Warned)]
    code = f"require '{tree}/autoload.php'; echo (new PhplayerExample\\Greeting\\Greeter())->greet('world');"
    assert php("-r", code) == "Hello, world"


class _Hello(Handler):
    def get(self) -> None:
        self.send(200, json.dumps({"path": self.path, "agent": self.headers["User-Agent"]}).encode())


def test_the_vendor_layer_holds_real_guzzle_7_and_a_function_uses_it(built: Built, tmp_path: Path) -> None:
    """The runtime that was compiled loads it and asks a web server, through the stream or curl handler it has."""
    workshop = Workshop(tmp_path / "workshop")
    shutil.copytree(guzzle.project(ROOT / ".work" / "guzzle"), workshop.root, dirs_exist_ok=True)
    loaded = subprocess.run([built.php, "-n", "-m"], check=True, capture_output=True, text=True).stdout.split()
    extensions = {name.lower(): str(PHP) for name in loaded if re.fullmatch(r"\w+", name)}
    tree = workshop.install(extensions=extensions)
    script = tmp_path / "function.php"
    script.write_text(
        "<?php declare(strict_types=1);\n"
        "require $argv[1] . '/autoload.php';\n"
        "$client = new GuzzleHttp\\Client(['base_uri' => $argv[2], 'timeout' => 10]);\n"
        "$answer = json_decode((string) $client->get('/hello?a=b')->getBody(), true, flags: JSON_THROW_ON_ERROR);\n"
        "$guzzle = Composer\\InstalledVersions::getPrettyVersion('guzzlehttp/guzzle');\n"
        "echo json_encode([...$answer, 'guzzle' => $guzzle, 'php' => PHP_VERSION]);\n"
    )
    with serving(_Hello) as url:
        command: list[str | Path] = [built.php, "-n", script, tree, url]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["path"] == "/hello?a=b"
    assert answer["agent"] == "GuzzleHttp/7"
    assert answer["guzzle"] == "7.9.2"
    assert answer["php"].startswith(PHP.branch)


def php(*arguments: str) -> str:
    """Run Composer's own PHP, far from any project."""
    done = subprocess.run(["php", *arguments], check=False, capture_output=True, text=True, cwd=tempfile.gettempdir())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
