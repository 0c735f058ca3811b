"""A registry of container images, for the time of a test: one image under one name for each architecture.

Speaks as much of https://github.com/opencontainers/distribution-spec as a daemon's pull takes. Docker takes one on
loopback without TLS.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import secrets
import tarfile
from collections.abc import Iterator, Sequence

from tests.serving import Handler, serving

_DOCKER = "application/vnd.docker"


@contextlib.contextmanager
def registry(architectures: Sequence[str]) -> Iterator[str]:
    """Serve an image for each of Docker's architectures and yield its name without a tag."""
    blobs: dict[str, tuple[str, bytes]] = {}

    def add(kind: str, data: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = kind, data
        return {"mediaType": kind, "size": len(data), "digest": digest}

    variants, own = [], secrets.token_hex(4)  # images that no other test has
    for architecture in architectures:
        layer = _layer(f"ID=debian\nVARIANT={architecture}-{own}\n".encode())
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_DOCKER}.distribution.manifest.v2+json",
            "config": add(f"{_DOCKER}.container.image.v1+json", json.dumps(config).encode()),
            "layers": [add(f"{_DOCKER}.image.rootfs.diff.tar.gzip", gzip.compress(layer, mtime=0))],
        }
        described = add(f"{_DOCKER}.distribution.manifest.v2+json", json.dumps(manifest).encode())
        variants.append({**described, "platform": {"architecture": architecture, "os": "linux"}})
    kind = f"{_DOCKER}.distribution.manifest.list.v2+json"
    index = add(kind, json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": variants}).encode())

    class Registry(Handler):
        def get(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            kind, data = blobs.get(name if name.startswith("sha256:") else str(index["digest"]), ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(data).hexdigest()}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def do_HEAD(self) -> None:  # noqa: N802  the library's name
            self.get()

    with serving(Registry) as url:
        yield f"{url.removeprefix('http://')}/base"


def _layer(os_release: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("usr/lib/os-release")
        member.size = len(os_release)
        archive.addfile(member, io.BytesIO(os_release))
    return packed.getvalue()
