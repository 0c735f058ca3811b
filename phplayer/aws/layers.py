"""Lambda's layers.

PublishLayerVersion makes a new version each time it is called, so it is never retried here; when its outcome is
unknown, ``OutcomeUnknownError`` says so and the caller looks before it calls again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phplayer.layer import LayerArn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.aws.connection import Connection


@dataclass(frozen=True, kw_only=True)
class LayerVersion:
    """A layer version that exists."""

    arn: LayerArn
    description: str
    code_sha256: str = ""  # only when asked for by number: ListLayerVersions does not tell it
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerContent:
    """Where the zip of a layer version can be had for some minutes, and what it must be."""

    url: str
    code_sha256: str
    size: int


class Layers:
    """The calls about layers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def publish(
        self,
        region: str,
        *,
        layer: str,
        archive: bytes,
        description: str,
        runtimes: tuple[str, ...],
        architectures: tuple[str, ...],
        license_info: str,
    ) -> LayerVersion:
        """Publish a new version of the layer.

        Raises:
            OutcomeUnknownError: the version may exist all the same.
            PhplayerError: it was refused.

        """
        optional = {"LicenseInfo": license_info} if license_info else {}
        with self._connection.calling("lambda:PublishLayerVersion", region):
            answer = self._connection.client("lambda", region, once=True).publish_layer_version(
                LayerName=layer,
                Content={"ZipFile": archive},
                Description=description,
                CompatibleRuntimes=list(runtimes),
                CompatibleArchitectures=list(architectures),
                **optional,
            )
            return _version(answer)

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield all versions of the layer, newest first; none if there is no such layer.

        Raises:
            PhplayerError: it was refused.

        """
        with self._connection.calling("lambda:ListLayerVersions", region):
            pages = (
                self._connection.client("lambda", region).get_paginator("list_layer_versions").paginate(LayerName=layer)
            )
            for page in pages:
                for item in page.get("LayerVersions", ()):
                    yield _version(item)

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        """Return one version, with its content's digest.

        Raises:
            PhplayerError: it was refused, or does not exist.

        """
        with self._connection.calling("lambda:GetLayerVersion", region):
            return _version(
                self._connection.client("lambda", region).get_layer_version(LayerName=layer, VersionNumber=number)
            )

    def content(self, arn: LayerArn) -> LayerContent:
        """Return where the content of a layer version is, one of another account's included.

        Raises:
            PhplayerError: it was refused, or does not exist.

        """
        with self._connection.calling("lambda:GetLayerVersion", arn.region):
            client = self._connection.client("lambda", arn.region)
            content = client.get_layer_version_by_arn(Arn=str(arn))["Content"]
            return LayerContent(url=content["Location"], code_sha256=content["CodeSha256"], size=content["CodeSize"])


def _version(answer: Any) -> LayerVersion:
    content = answer.get("Content", {})
    return LayerVersion(
        arn=LayerArn.parse(answer["LayerVersionArn"]),
        description=answer.get("Description", ""),
        code_sha256=content.get("CodeSha256", ""),
        size=content.get("CodeSize", 0),
    )
