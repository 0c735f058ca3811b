"""Extensions from PECL, compiled for real, loaded by the layer's own configuration and put to use."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phplayer.layer import LayerArchive, RuntimeManifest
from tests.conftest import WORK, Built, build_hello, run_phplayer, unpack

SHARED = (
    *("amqp", "apcu", "http", "igbinary", "imagick", "memcached", "msgpack", "pcov", "raphf", "redis", "yaml", "zstd"),
)
# Debian's ImageMagick asks for a newer glibc than Lambda has, and the policy says so: overruled by name.
PROJECT = f"""
[php]
extensions = ["default", {", ".join(f'"{name}"' for name in SHARED)}]

[policy]
allow = ["symbol-version"]
"""
_WAIT = 60.0  # seconds in which a server starts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The example's PHP with a dozen of PECL's extensions; what compiling them takes is installed."""
    project = WORK / "test" / "extensions"
    project.mkdir(parents=True, exist_ok=True)
    (project / "phplayer.toml").write_text(PROJECT)
    run_phplayer("doctor", "--fix", "--yes", cwd=project, check=False)  # other findings are no matter here
    # Only now is PHP itself compiled: the packages may have brought newer ones of those that it depends on.
    build_hello(tmp_path_factory.mktemp("hello"))
    done = run_phplayer("build", cwd=project)
    assert "php84-al2023-x86_64 compile:" not in done.stderr
    dist = next((project / "dist").iterdir())
    return Built(dist=dist, tree=unpack(dist / "runtime.zip", tmp_path_factory.mktemp("opt")))


def run(built: Built, code: str, *arguments: str | Path) -> Any:
    """Run code with the layer's configuration, which loads the extensions; return what it prints as JSON."""
    done = subprocess.run(
        [
            *(built.php, "-c", built.tree / "etc/php/php.ini"),
            *("-d", f"extension_dir={built.tree / 'lib/php/extensions'}", "-d", "apc.enable_cli=1"),
            *("-d", "pcov.enabled=1", "-d", "pcov.directory=/"),
            *("-r", code, *map(str, arguments)),
        ],
        env={"PHP_INI_SCAN_DIR": str(built.tree / "etc/php/conf.d"), "LD_LIBRARY_PATH": "/lib64:/usr/lib64"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return json.loads(done.stdout)


def installed(program: str, package: str) -> str:
    """Return the program's path, installed where it is missing."""
    found = shutil.which(program)
    if found is None:
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
            env={"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "RUNLEVEL": "1"},
            check=True,
            capture_output=True,
        )
        found = shutil.which(program)
    assert found is not None
    return found


@contextlib.contextmanager
def serving(command: list[str], socket: Path) -> Iterator[Path]:
    """Run a server until it has made its socket, and end it with the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _WAIT
        while not socket.exists():
            assert process.poll() is None, f"{command} ended"
            assert time.monotonic() < deadline, f"{command} made no socket"
            time.sleep(0.05)
        yield socket
    finally:
        process.kill()
        process.wait()


def test_all_are_loaded_and_recorded(many: Built, built: Built) -> None:
    loaded = run(many, "echo json_encode(get_loaded_extensions());")
    assert set(SHARED) <= {name.lower() for name in loaded}
    manifest = LayerArchive.read(many.dist / "runtime.zip").manifest
    assert isinstance(manifest, RuntimeManifest)
    assert set(SHARED) <= set(manifest.extensions)
    assert set(SHARED) <= {source.name for source in manifest.sources}
    assert (many.tree / "bin/php").read_bytes() == (built.tree / "bin/php").read_bytes()


def test_redis_with_each_serialiser_against_a_real_server(many: Built, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    command = [installed("redis-server", "redis-server"), "--port", "0", "--unixsocket", str(path), "--save", ""]
    code = """
        $redis = new Redis();
        $redis->connect($argv[1]);
        foreach (['PHP', 'IGBINARY', 'MSGPACK', 'JSON'] as $name) {
            $redis->setOption(Redis::OPT_SERIALIZER, constant("Redis::SERIALIZER_$name"));
            $redis->set($name, ['a' => [1, 2.5, null, 'ä']]);
            $said[$name] = $redis->get($name);
        }
        $redis->multi()->incr('n')->incr('n')->exec();
        $redis->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
        echo json_encode([$said, $redis->get('n')]);
    """
    with serving(command, path):
        said, counted = run(many, code, path)
    assert set(said) == {"PHP", "IGBINARY", "MSGPACK", "JSON"}
    assert all(got == {"a": [1, 2.5, None, "ä"]} for got in said.values())
    assert counted == "2"


def test_memcached_against_a_real_server(many: Built, tmp_path: Path) -> None:
    path = tmp_path / "memcached.sock"
    command = [installed("memcached", "memcached"), "-u", "root", "-s", str(path)]
    code = """
        $memcached = new Memcached();
        $memcached->addServer($argv[1], 0);
        $memcached->set('key', ['a' => 1]);
        echo json_encode([$memcached->get('key'), $memcached->get('none'), $memcached->getResultCode()]);
    """
    with serving(command, path):
        assert run(many, code, path) == [{"a": 1}, False, 16]


def test_imagick_converts_a_picture(many: Built) -> None:
    code = """
        $picture = new Imagick();
        $picture->newImage(40, 20, new ImagickPixel('red'));
        $picture->setImageFormat('png');
        $other = new Imagick();
        $other->readImageBlob($picture->getImageBlob());
        $other->resizeImage(10, 10, Imagick::FILTER_LANCZOS, 1);
        $other->setImageFormat('gif');
        $blob = $other->getImageBlob();
        $last = new Imagick();
        $last->readImageBlob($blob);
        $red = $last->getImagePixelColor(5, 5)->getColor()['r'];
        echo json_encode([substr($blob, 0, 3), $last->getImageWidth(), $red > 250]);
    """
    assert run(many, code) == ["GIF", 10, True]


def test_values_and_files_of_each_kind_go_there_and_back(many: Built) -> None:
    code = """
        $value = ['a' => [1, 2.5, true, 'ä'], 'b' => null];
        apcu_store('key', $value);
        echo json_encode(array_map(fn ($got) => $got === $value, [
            'apcu' => apcu_fetch('key'),
            'igbinary' => igbinary_unserialize(igbinary_serialize($value)),
            'msgpack' => msgpack_unpack(msgpack_pack($value)),
            'yaml' => yaml_parse(yaml_emit($value)),
            'zstd' => json_decode(zstd_uncompress(zstd_compress(json_encode($value), 19)), true),
        ]));
    """
    assert run(many, code) == dict.fromkeys(("apcu", "igbinary", "msgpack", "yaml", "zstd"), True)


def test_pcov_counts_the_lines_that_ran(many: Built, tmp_path: Path) -> None:
    (tmp_path / "code.php").write_text(
        "<?php\nfunction f($x)\n{\n    if ($x) {\n        return 1;\n    }\n    return 2;\n}\n"
    )
    code = """
        require $argv[1];
        pcov\\start();
        f(true);
        pcov\\stop();
        echo json_encode(pcov\\collect(pcov\\inclusive, [$argv[1]])[$argv[1]] ?? null);
    """
    counts = run(many, code, tmp_path / "code.php")
    assert counts["5"] > 0
    assert counts["7"] < 0


def test_http_and_raphf_make_messages(many: Built) -> None:
    code = """
        $message = new http\\Message("GET /path?a=1 HTTP/1.1\\r\\nHost: example.com\\r\\n\\r\\n");
        $url = new http\\Url('https://example.com/a/../b', ['query' => 'x=1']);
        $client = new http\\Client();
        echo json_encode([
            $message->getRequestMethod(), $message->getHeader('Host'), (string) $url,
            array_keys((array) raphf\\stat_persistent_handles()) !== null, count($client),
        ]);
    """
    method, host, url, _, count = run(many, code)
    assert (method, host, count) == ("GET", "example.com", 0)
    assert url.startswith("https://example.com/")


def test_amqp_says_that_nobody_listens(many: Built) -> None:
    code = """
        $connection = new AMQPConnection(['host' => '127.0.0.1', 'port' => 1, 'connect_timeout' => 5]);
        try {
            $connection->connect();
        } catch (AMQPConnectionException $error) {
            echo json_encode($error->getMessage());
        }
    """
    assert "Socket error" in run(many, code)
