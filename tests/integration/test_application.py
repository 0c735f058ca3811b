"""A small application as people have it: Guzzle from the vendor layer, its own classes beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import WORK, Phplayer
from tests.integration import guzzle
from tests.serving import Handler, serving

APPLICATION = {
    "src/index.php": r"""
        use App\Greeter;

        function index(array $event, Phplayer\Context $context): array
        {
            $client = new GuzzleHttp\Client(['base_uri' => $event['server']]);
            $answer = json_decode((string) $client->get('/name')->getBody(), true, flags: JSON_THROW_ON_ERROR);
            return [
                'psr-4' => (new Greeter())->greet($answer['name']),
                'classmap' => Legacy_Shout::shout($answer['name']),
                'files' => farewell($answer['name']),
                'guzzle' => (new ReflectionClass($client))->getFileName(),
                'agent' => $answer['agent'],
            ];
        }
    """,
    "src/Greeter.php": r"""
        namespace App;

        final class Greeter
        {
            public function greet(string $name): string
            {
                return "Hello, {$name}";
            }
        }
    """,
    "legacy/classes.php": r"""
        final class Legacy_Shout
        {
            public static function shout(string $name): string
            {
                return strtoupper($name) . '!';
            }
        }
    """,
    "functions.php": r"""
        function farewell(string $name): string
        {
            return "Goodbye, {$name}";
        }
    """,
}


class Names(Handler):
    def get(self) -> None:
        self.send(200, json.dumps({"name": "world", "agent": self.headers["User-Agent"]}).encode())


@pytest.fixture
def server() -> Iterator[str]:
    with serving(Names) as url:
        yield url


def test_an_application_runs_on_its_two_layers(phplayer: Phplayer, server: str, tmp_path: Path) -> None:
    root = tmp_path / "application"
    shutil.copytree(guzzle.project(WORK / "guzzle"), root)
    manifest = json.loads((root / "composer.json").read_text())
    manifest["autoload"] = {"psr-4": {"App\\": "src/"}, "classmap": ["legacy/"], "files": ["functions.php"]}
    (root / "composer.json").write_text(json.dumps(manifest))
    for name, code in APPLICATION.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"<?php declare(strict_types=1);\n{code}")
    phplayer("build", cwd=root)
    done = phplayer("invoke", "--payload", json.dumps({"server": server}), cwd=root)
    assert json.loads(done.stdout) == {
        "psr-4": "Hello, world",
        "classmap": "WORLD!",
        "files": "Goodbye, world",
        "guzzle": "/opt/vendor/guzzlehttp/guzzle/src/Client.php",
        "agent": "GuzzleHttp/7",
    }
