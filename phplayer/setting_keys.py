"""All settings: what each is called, its default, and what it is for.

``phplayer.toml``, the environment, ``phplayer init`` and the documentation are derived from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Key:
    """One setting. ``default`` also fixes its type: str, int, bool, tuple (of str) or dict (of scalars).

    A ``size`` is a str in which a whole number, of bytes, can stand too.
    """

    name: str  # table.key in phplayer.toml
    default: Any
    help: str
    example: str = ""  # shown by `phplayer init` where the default says too little
    one_or_more: bool = False  # of a list of one the brackets can be left out
    size: bool = False

    @property
    def environment(self) -> str:
        """``layer.name`` can be given as ``PHPLAYER_LAYER_NAME``."""
        return "PHPLAYER_" + self.name.replace(".", "_").upper()


KEYS: tuple[Key, ...] = (
    Key(
        name="php.version",
        default=(),
        one_or_more=True,
        help="branch (its newest release) or exact version, or several",
    ),
    Key(name="php.sha256", default="", help="SHA-256 of php-VERSION.tar.xz, for an exact version the catalogue lacks"),
    Key(name="php.extensions", default=("default",), help="extensions, or sets of them by name"),
    Key(
        name="php.extension_sources",
        default={},
        help="extension's name to FILE or URL@SHA256 of its source",
        example='{ event = "event-3.1.4.tgz" }',
    ),
    Key(name="php.sapis", default=("cli",), help="programs in the layer: cli, and fpm where it is asked for"),
    Key(
        name="php.icu_locales",
        default=(),
        help="locales that intl's data is cut to; empty means all",
        example='["en", "de"]',
    ),
    Key(name="php.ini", default={}, help="directives on top of the tuned php.ini", example='{ memory_limit = "512M" }'),
    Key(name="build.target", default="", help="Lambda environment that the layer must run on"),
    Key(name="build.bootstrap", default="function", help="what events are: function (a handler) or console (commands)"),
    Key(name="build.engine", default="auto", help="where to compile: docker, host, or auto (Docker where it answers)"),
    Key(name="build.base_image", default="", help="image to compile in; empty means the target's own"),
    Key(
        name="build.memory", default="", size=True, help="memory of a container; empty means no limit", example='"8 GB"'
    ),
    Key(name="build.cpus", default=0, help="processors of a container; 0 means all"),
    Key(name="build.arch", default=(), one_or_more=True, help="x86_64, arm64 or all; empty means this machine's"),
    Key(name="build.jobs", default=0, help="compilers at once, all builds together; 0 means one per processor"),
    Key(name="build.parallel", default=0, help="builds side by side; 0 means one per processor"),
    Key(name="build.ccache", default=True, help="use ccache where it is installed"),
    Key(name="build.output", default="dist", help="folder for the archives"),
    Key(
        name="catalog.feed",
        default="https://www.php.net/releases/index.php",
        help="where `phplayer catalog update` asks for PHP releases",
    ),
    Key(
        name="cache.max_size",
        default="10 GB",
        size=True,
        help="what the cache may keep after a build; 0 means no limit",
    ),
    Key(name="layer.name", default="php", help="first part of the layers' names"),
    Key(name="layer.runtime", default="{name}-{php}-{arch}", help="name of the runtime layer"),
    Key(name="layer.vendor", default="{name}-vendor", help="name of the vendor layer"),
    Key(name="layer.compression", default="best", help="how the archives are compressed: fast, best or zopfli"),
    Key(
        name="layer.max_size",
        default="",
        size=True,
        help="most that a runtime layer may have, zipped",
        example='"12 MB"',
    ),
    Key(
        name="layer.max_vendor_size",
        default="",
        size=True,
        help="most that a vendor layer may have, zipped",
        example='"5 MB"',
    ),
    Key(name="composer.bin", default="", help="the Composer to run; empty means the one on PATH"),
    Key(name="composer.scripts", default=False, help="run the project's Composer scripts"),
    Key(name="composer.plugins", default=False, help="run Composer plugins"),
    Key(name="policy.allow", default=(), help="findings, by name, for which no layer is refused"),
    Key(
        name="publish.regions",
        default=(),
        help="regions or patterns to publish to",
        example='["eu-central-1", "us-east-1"]',
    ),
    Key(name="publish.profile", default="", help="AWS profile; empty means boto3's own choice"),
    Key(name="publish.endpoint_url", default="", help="another endpoint than AWS, for tests"),
    Key(
        name="publish.bucket",
        default="",
        help="bucket for archives over 50 MB, in the layer's own region",
        example='"layers-{account}-{region}"',
    ),
    Key(name="publish.patience", default=20, help="seconds to look for a version after a call without an answer"),
    Key(name="publish.timeout", default=300, help="seconds without a word from AWS after which a call is given up"),
    Key(name="publish.ledger", default="phplayer.lock.json", help="record of published LayerVersionArns; commit it"),
)
