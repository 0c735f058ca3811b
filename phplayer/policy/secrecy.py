"""Rules about what must not be published: secrets, and paths of the machine that built the layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phplayer.layer import RuntimeManifest
from phplayer.policy.findings import Rule, Severity
from phplayer.policy.traces import DISTRIBUTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.policy.content import LayerContent
    from phplayer.policy.findings import Finding
    from phplayer.policy.scene import Scene

AWS_CREDENTIALS = Rule(
    name="aws-credentials",
    severity=Severity.ERROR,
    summary="an AWS access key stands in a file",
    remedy="Remove it, revoke the key, and let the function's role give what it needs.",
)
PRIVATE_KEY = Rule(
    name="private-key",
    severity=Severity.ERROR,
    summary="a private key stands in a file",
    remedy="Remove the file; functions read keys from Secrets Manager or the Parameter Store.",
)
SECRET_FILE = Rule(
    name="secret-file",
    severity=Severity.ERROR,
    summary="a file that holds secrets by its name: .env, SSH keys, credentials, a .git folder",
    remedy="Leave it out of the layer; whoever may use the layer can read it.",
)
BUILD_PATH = Rule(
    name="build-path",
    severity=Severity.WARNING,
    summary="a path of the machine that built the layer stands in a file",
    remedy="Build with -ffile-prefix-map, or in a folder without meaning; it tells names and spoils reproducibility.",
)

RULES = (AWS_CREDENTIALS, PRIVATE_KEY, SECRET_FILE, BUILD_PATH)

_OF_KIND = {"aws": AWS_CREDENTIALS, "private-key": PRIVATE_KEY}
_SECRET_NAME = re.compile(
    r"(\.env(\.(?!example$|dist$|sample$|template$|test$|defaults?$)[^/]+)?|id_(rsa|dsa|ecdsa|ed25519)|\.netrc|\.pgpass"
    r"|\.git-credentials|.+\.(p12|pfx))"
)
_SECRET_PATH = re.compile(r"(^|/)\.(aws/credentials|ssh/[^/]+|docker/config\.json|composer/auth\.json)$")


def check(scene: Scene) -> Iterator[Finding]:
    """Find secrets and traces of the build machine."""
    repositories: set[str] = set()
    taken = _taken_from_the_distribution(scene.layer)
    for file in scene.layer.files.values():
        for secret in file.secrets:
            yield _OF_KIND[secret.kind].finding(file.path, f"holds {secret.shown}")
        folder, found, _ = f"/{file.path}".partition("/.git/")
        if found:
            repository = f"{folder}/.git".lstrip("/")
            if repository not in repositories:
                repositories.add(repository)
                yield SECRET_FILE.finding(repository, "is a Git repository with all its history")
        elif _SECRET_NAME.fullmatch(file.name) or _SECRET_PATH.search(file.path):
            yield SECRET_FILE.finding(file.path, "is a file that holds secrets")
        paths = [path for path in file.build_paths if file.path not in taken or not path.startswith(DISTRIBUTIONS)]
        if paths:
            yield BUILD_PATH.finding(file.path, f"names {', '.join(paths)}")


def _taken_from_the_distribution(layer: LayerContent) -> frozenset[str]:
    """Return the libraries of a layer of ours that are the distribution's: its build machines are no secret of ours."""
    libraries = layer.manifest.libraries if isinstance(layer.manifest, RuntimeManifest) else ()
    return frozenset(f"lib/{library.soname}" for library in libraries)
