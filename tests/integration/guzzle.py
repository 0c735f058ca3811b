"""Real Guzzle 7 with its dependencies, from Debian's source packages: Packagist is not needed.

The tarballs are upstream's, pinned by SHA-256. They become packages of path repositories, locked by real Composer.
``python -m tests.integration.guzzle CACHE`` prints the vendor folder, for benchmarks.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from phplayer import vendor
from phplayer.composer import environment
from phplayer.events import unheard
from phplayer.runtime import PhpVersion
from phplayer.sources import debian_mirrors

PHP = PhpVersion.parse("8.4.24")
EXTENSIONS = {name: str(PHP) for name in ("curl", "filter", "hash", "json", "mbstring", "openssl", "pcre")}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source package of Debian 13 and the Composer package in it. Versions are not in upstream's composer.json."""

    package: str
    version: str
    pool: str  # below pool/main of any Debian mirror
    sha256: str
    inside: str  # the package's folder in the tarball


SOURCES = (
    Source(
        package="guzzlehttp/guzzle",
        version="7.9.2",
        pool="g/guzzle/guzzle_7.9.2.orig.tar.xz",
        sha256="dfcbeee17a59342dadf634fb5632f45779ee25f1a0d68c2638cfd716aef3cf7f",
        inside="guzzle-7.9.2",
    ),
    Source(
        package="guzzlehttp/psr7",
        version="2.7.1",
        pool="p/php-guzzlehttp-psr7/php-guzzlehttp-psr7_2.7.1.orig.tar.xz",
        sha256="6c971aaae710d10ae95c0605135cd48a0ed9fbc6063d61534d31cc47483cd243",
        inside="php-guzzlehttp-psr7-2.7.1",
    ),
    Source(
        package="guzzlehttp/promises",
        version="2.2.0",
        pool="p/php-guzzlehttp-promises/php-guzzlehttp-promises_2.2.0.orig.tar.xz",
        sha256="6e0e3ebe9abfadb320486b49a9a038d84e28c9536dd18e1743bca1e7220bd053",
        inside="php-guzzlehttp-promises-2.2.0",
    ),
    Source(
        package="psr/http-client",
        version="1.0.3",
        pool="p/php-psr-http-client/php-psr-http-client_1.0.3.orig.tar.gz",
        sha256="797a38f6244eda0c2814bf5c72eb2f8c6e297e53e118aa9c7717a3055e2f40c0",
        inside="http-client-1.0.3",
    ),
    Source(
        package="psr/http-factory",
        version="1.1.0",
        pool="p/php-psr-http-factory/php-psr-http-factory_1.1.0.orig.tar.gz",
        sha256="3c00d974d43efcbcc1df411101e8ad4b7ccdefd05bad1bcbe1b6ceac46b9f25a",
        inside="http-factory-1.1.0",
    ),
    Source(
        package="psr/http-message",
        version="1.1",
        pool="p/php-psr-http-message/php-psr-http-message_1.1.orig.tar.gz",
        sha256="c6af16ea3bab5b7a0a74c826820c4047cac171815d5192b5133a95353eeea7e0",
        inside="http-message-1.1",
    ),
    Source(
        package="ralouphie/getallheaders",
        version="3.0.3",
        pool="p/php-getallheaders/php-getallheaders_3.0.3.orig.tar.gz",
        sha256="7f0bdf30cd03a7978a5a063a2e14dd15df3eb80481c129992fb8a46094c7d7c5",
        inside="php-getallheaders-3.0.3",
    ),
    Source(
        package="symfony/deprecation-contracts",
        version="3.4.0",
        pool="s/symfony/symfony_6.4.41%2bdfsg.orig.tar.xz",
        sha256="cb5a93b47cbfea37894e6907bdcf2e75373ca10fc377c85a58c4aeaae11d6083",
        inside="symfony-6.4.41/src/Symfony/Contracts/Deprecation",
    ),
)


def project(cache: Path) -> Path:
    """Return a folder with a composer.json and a composer.lock that ask for Guzzle; made once."""
    pinned = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    made = cache / f"guzzle-{pinned}"
    if made.is_dir():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = Path(temporary) / "project"
        for source in SOURCES:
            _unpack(_tarball(source, cache), folder / "packages" / source.package, source.inside)
        (folder / "composer.json").write_text(json.dumps(_manifest(), indent=4) + "\n")
        subprocess.run(
            [vendor.find_composer().path, "update", "--no-install", "--no-interaction", "--quiet"],
            cwd=folder,
            check=True,
            env=environment(),
        )
        try:
            folder.rename(made)
        except OSError:  # another process was faster
            if not made.is_dir():
                raise
    return made


def guzzle_vendor(cache: Path) -> Path:
    """Return the folder that becomes /opt/vendor: Guzzle installed the way `phplayer build` does; made once."""
    root = project(cache)
    found, composer = vendor.read_project(root), vendor.find_composer()
    key = vendor.digest(found, composer=composer, php=PHP, extensions=EXTENSIONS, scripts=False, plugins=False)
    tree = cache / f"guzzle-layer-{key[:16]}"
    if not (tree / "vendor" / "autoload.php").is_file():
        vendor.install(
            found,
            into=tree,
            composer=composer,
            php=PHP,
            extensions=EXTENSIONS,
            scripts=False,
            plugins=False,
            listener=unheard,
            log=cache / "composer.log",
        )
    return tree / "vendor"


def _manifest() -> dict[str, object]:
    repositories: list[dict[str, object]] = [
        {
            "type": "path",
            "url": f"packages/{source.package}",
            "options": {"symlink": False, "reference": "config", "versions": {source.package: source.version}},
        }
        for source in SOURCES
    ]
    return {
        "name": "phplayer-tests/guzzle",
        "require": {"guzzlehttp/guzzle": "^7.9"},
        "repositories": [*repositories, {"packagist.org": False}],
    }


def _tarball(source: Source, cache: Path) -> Path:
    """Download through apt's own helper, which checks the SHA-256; the user's apt configuration is only read."""
    path = cache / "sources" / source.pool.rpartition("/")[2]
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    url = f"{debian_mirrors()[0]}/pool/main/{source.pool}"
    command = ["/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=", "download-file", url, str(part)]
    answer = subprocess.run([*command, f"SHA256:{source.sha256}"], check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        part.with_name(part.name + ".FAILED").unlink(missing_ok=True)
        raise AssertionError(f"{url} could not be fetched: {answer.stderr}{answer.stdout}")
    part.replace(path)
    return path


def _unpack(tarball: Path, into: Path, inside: str) -> None:
    into.mkdir(parents=True)
    depth = inside.count("/") + 1
    subprocess.run(
        ["tar", "-xf", tarball, "-C", into, f"--strip-components={depth}", "--no-same-owner", inside], check=True
    )
    shutil.rmtree(into / ".github", ignore_errors=True)


if __name__ == "__main__":
    print(guzzle_vendor(Path(sys.argv[1])))  # noqa: T201  the result of this program
