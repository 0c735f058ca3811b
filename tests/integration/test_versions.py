"""Every PHP whose source can be had here, built for real; and every extension that it bundles."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from phplayer.layer import LayerArchive, RuntimeManifest
from tests.conftest import WORK, Phplayer, run_phplayer, unpack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


@pytest.mark.parametrize(
    ("php", "extensions"),
    [("8.2.32", ("default", "pdo_sqlite", "xsl")), ("8.4.24", ("full",))],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_it_is_built_and_has_what_was_asked_for(
    phplayer: Phplayer, tmp_path: Path, php: str, extensions: tuple[str, ...]
) -> None:
    project = WORK / "test" / f"version-{php}"
    project.mkdir(parents=True, exist_ok=True)
    (project / "phplayer.toml").write_text(
        f'[php]\nversion = "{php}"\nextensions = {json.dumps(extensions)}\n[policy]\nallow = ["symbol-version"]\n'
    )
    run_phplayer("doctor", "--fix", "--yes", cwd=project, check=False)  # other findings are no matter here
    phplayer("build", cwd=project, env={"PHPLAYER_PHP_VERSION": php})
    (archive,) = project.glob("dist/*/runtime.zip")
    manifest = LayerArchive.read(archive).manifest
    assert isinstance(manifest, RuntimeManifest)
    assert manifest.php == php
    tree = unpack(archive, tmp_path / "opt")
    code = """
        $said = [PHP_VERSION, get_loaded_extensions()];
        if (extension_loaded('pdo_sqlite')) {
            $said[] = (new PDO('sqlite::memory:'))->query('SELECT sqlite_version()')->fetchColumn();
        }
        if (extension_loaded('xsl')) {
            $sheet = new DOMDocument();
            $sheet->loadXML('<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform"><x:output
                method="text"/><x:template match="/">[<x:value-of select="/a"/>]</x:template></x:stylesheet>');
            $input = new DOMDocument();
            $input->loadXML('<a>text</a>');
            $processor = new XSLTProcessor();
            $processor->importStylesheet($sheet);
            $said[] = $processor->transformToXml($input);
        }
        echo json_encode($said);
    """
    done = subprocess.run(
        [tree / "bin/php", "-d", f"extension_dir={tree / 'lib/php/extensions'}", "-r", code],
        env={"PHP_INI_SCAN_DIR": str(tree / "etc/php/conf.d"), "LD_LIBRARY_PATH": "/lib64:/usr/lib64"},
        capture_output=True,
        text=True,
        check=True,
    )
    version, loaded, sqlite, transformed = json.loads(done.stdout)
    assert (version, transformed) == (php, "[text]")
    assert tuple(map(int, sqlite.split("."))) >= (3, 45)
    assert {name.lower().removeprefix("zend ") for name in loaded} >= set(manifest.extensions)
