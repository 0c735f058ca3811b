"""Several builds in one call, for real: what fails, what does not, Ctrl-C, and the cache's limit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from phplayer.layer import LayerArchive
from tests.conftest import PHP, SCRIPTS, Built, Phplayer, cache_folder

# Nobody serves that proxy, and Debian has no PHP 8.5; the project says which versions.
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:1", "PHPLAYER_PHP_VERSION": ""}


def test_one_that_fails_stops_no_other_and_sets_the_exit_code(built: Built, phplayer: Phplayer, tmp_path: Path) -> None:
    (tmp_path / "phplayer.toml").write_text(f'[php]\nversion = ["8.5", "{PHP}"]\n')
    done = phplayer("build", "--json", cwd=tmp_path, env=NO_NETWORK, check=False)
    assert done.returncode == 4
    document = json.loads(done.stdout)
    failed, fine = document["builds"]
    assert failed["identifier"].startswith("php85-")
    assert failed["layers"] == []
    assert document["error"] == failed["error"]
    assert "could not be fetched" in failed["error"]["message"]
    assert fine["error"] is None
    (layer,) = fine["layers"]
    assert layer["sha256"] == LayerArchive.read(Path(layer["path"])).sha256
    assert Path(layer["path"]).parent.name == built.dist.name

    shown = phplayer("build", cwd=tmp_path, env=NO_NETWORK, check=False)
    assert shown.returncode == 4
    assert [line.split()[-1] for line in shown.stdout.splitlines()[1:]] == ["failed", "date"]
    assert f"error: {failed['identifier']}: The source of PHP" in shown.stderr
    assert "Traceback" not in shown.stderr

    only = phplayer("build", "--only", "php84-*", cwd=tmp_path, env=NO_NETWORK)
    assert "nothing to do" in only.stderr


def test_nothing_selected_and_foreign_architectures_are_refused_before_anything_is_built(
    phplayer: Phplayer, tmp_path: Path
) -> None:
    nothing = phplayer("build", "--only", "php84-al2032-*", cwd=tmp_path, check=False)
    assert nothing.returncode == 3
    assert "selects none of: php84-al2023-" in nothing.stderr
    foreign = phplayer("build", "--arch", "all", "--engine", "host", cwd=tmp_path, check=False)
    assert foreign.returncode == 4
    assert "--engine docker" in foreign.stderr
    assert not (tmp_path / "dist").exists()


def test_ctrl_c_ends_every_compile_and_the_next_call_goes_on(phplayer: Phplayer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(cache_folder() / "sources", cache / "sources")
    environment = os.environ | {"PHPLAYER_CACHE": str(cache), "PHPLAYER_BUILD_ENGINE": "host"}
    process = subprocess.Popen(
        [SCRIPTS / "phplayer", "build", "--php", PHP, "--php", "8.2.32", "-e", "minimal"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(list(cache.glob("work/*/php/config.log"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.count("Interrupted") == 1
    assert "Traceback" not in err
    left = subprocess.run(["pgrep", "-f", str(cache)], capture_output=True, text=True, check=False).stdout
    assert left == "", f"still running: {left}"
    assert not list(cache.glob("work/tree-*")), "temporary folders are gone"
    assert len(list(cache.glob("work/*/unpack.done"))) == 2, "what was finished is kept"

    cleaned = phplayer("clean", "--json", cwd=tmp_path, env={"PHPLAYER_CACHE": str(cache)})
    assert {item["kind"] for item in json.loads(cleaned.stdout)["removed"]} == {"leftover"}
    assert not list(cache.glob("work/*"))
    assert list(cache.glob("sources/*.tar.xz"))


def test_after_a_build_the_cache_is_within_its_limit(built: Built, phplayer: Phplayer, tmp_path: Path) -> None:
    """The limit is smaller than one compiled PHP: what was packed stays in dist, the cache does not keep it."""
    cache = tmp_path / "cache"
    shutil.copytree(cache_folder() / "builds", cache / "builds", symlinks=True)
    environment = {"PHPLAYER_CACHE": str(cache), "PHPLAYER_CACHE_MAX_SIZE": "1 MB"}
    done = phplayer("build", cwd=tmp_path, env=environment)
    assert "The cache was over 1 MB" in done.stderr
    assert not list(cache.glob("builds/*"))
    assert LayerArchive.read(tmp_path / "dist" / built.dist.name / "runtime.zip").size > 1_000_000


def test_layers_that_would_share_a_name_are_refused_with_the_line_to_write(phplayer: Phplayer, tmp_path: Path) -> None:
    """Of a project with Composer dependencies each build has a vendor layer too."""
    (tmp_path / "composer.json").write_text("{}")
    arguments = ("build", "--php", "8.4", "--php", "8.5")
    for command in (arguments, ("ci", "github", *arguments[1:])):
        refused = phplayer(*command, cwd=tmp_path, check=False)
        assert refused.returncode == 2
        assert "would all be named php-vendor" in refused.stderr
        assert '[layer] vendor = "{name}-vendor-{php}-{arch}"' in refused.stderr
    (tmp_path / "phplayer.toml").write_text('[layer]\nvendor = "{name}-vendor-{php}-{arch}"\n')
    phplayer("ci", "github", *arguments[1:], cwd=tmp_path)
    assert not (tmp_path / "dist").exists()
