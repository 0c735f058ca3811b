"""OPcache in the runtime: what can be asked for, and why its file cache is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.functions import layer, serve, write

if TYPE_CHECKING:
    from tests.conftest import Built

REPORT = """
    function index() {
        $status = opcache_get_status();
        return [$status['opcache_enabled'] ?? false, $status['preload_statistics']['classes'] ?? []];
    }
"""


@pytest.fixture(scope="module")
def opt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layer(built.tree, tmp_path_factory.mktemp("layers") / "opt")


def test_it_is_loaded_and_off(opt: Path, tmp_path: Path) -> None:
    (result,) = serve(opt, write(tmp_path, {"src/index.php": REPORT}), {})
    assert json.loads(result.payload) == [False, []], result.logs


def test_preloading_works_on_request(opt: Path, tmp_path: Path) -> None:
    files = {
        "php/conf.d/opcache.ini": "opcache.enable_cli = 1\nopcache.preload = /var/task/preload.php\n",
        "preload.php": "opcache_compile_file(__DIR__ . '/src/Preloaded.php');",
        "src/Preloaded.php": "final class Preloaded {}",
        "src/index.php": REPORT,
    }
    (result,) = serve(opt, write(tmp_path, files), {})
    assert json.loads(result.payload) == [True, ["Preloaded"]], result.logs


def test_a_file_cache_that_cannot_be_written_keeps_php_from_starting(opt: Path, tmp_path: Path) -> None:
    """One primed at build time would lie in a layer, which is read-only: a PHP that takes it may have a use for one."""
    ini = "opcache.enable_cli = 1\nopcache.file_cache = /var/task/cache\nopcache.file_cache_only = 1\n"
    files = {
        "php/conf.d/opcache.ini": ini,
        "cache/primed.php": "",
        "src/index.php": "function index() { return 1; }",
    }
    (result,) = serve(opt, write(tmp_path, files), {})
    assert result.error is not None
    assert result.error.type == "Runtime.ExitError"
    assert "opcache.file_cache_only is set without a proper setting of opcache.file_cache" in result.logs
