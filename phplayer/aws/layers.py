"""Lambda's layers.

PublishLayerVersion makes a new version each time it is called, so it is never retried here; when its outcome is
unknown, ``OutcomeUnknownError`` says so and the caller looks before it calls again.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phplayer.aws.buckets import StoredObject
from phplayer.layer import LayerArn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from phplayer.aws.connection import Connection

_BLOCK = 128 * 1024  # bytes handed to the socket at once, so that progress moves


@dataclass(frozen=True, kw_only=True)
class LayerVersion:
    """A layer version that exists."""

    arn: LayerArn
    description: str
    code_sha256: str = ""  # only when asked for by number: ListLayerVersions does not tell it
    size: int = 0
    url: str = ""  # where its zip can be had for some minutes; only when asked for by number


@dataclass(frozen=True, kw_only=True)
class LayerContent:
    """Where the zip of a layer version can be had for some minutes, and what it must be."""

    url: str
    code_sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a new version says of itself."""

    layer: str
    description: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    license_info: str = ""


class Layers:
    """The calls about layers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._current = threading.local()  # .sent: who counts the bytes of this thread's request

    def get_ready(self, regions: Iterable[str]) -> None:
        """Make the clients that publishing takes before they are needed; nothing is sent."""
        for region in regions:
            self._connection.paginator("lambda", region, "list_layer_versions")
            self._publisher(region)

    def publish(
        self, region: str, details: Details, content: bytes | StoredObject, *, sent: Callable[[int], None] | None = None
    ) -> LayerVersion:
        """Publish a new version of the layer; ``sent`` gets the bytes of the request as they go out.

        Raises:
            OutcomeUnknownError: the version may exist all the same.
            PhplayerError: it was refused.

        """
        optional = {"LicenseInfo": details.license_info} if details.license_info else {}
        client = self._publisher(region)
        with self._connection.calling("lambda:PublishLayerVersion", region):
            self._current.sent = sent
            try:
                answer = client.publish_layer_version(
                    LayerName=details.layer,
                    Content={"S3Bucket": content.bucket, "S3Key": content.key}
                    if isinstance(content, StoredObject)
                    else {"ZipFile": content},
                    Description=details.description,
                    CompatibleRuntimes=list(details.runtimes),
                    CompatibleArchitectures=list(details.architectures),
                    **optional,
                )
            finally:
                self._current.sent = None
            return _version(answer)

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield all versions of the layer, newest first; none if there is no such layer.

        Raises:
            PhplayerError: it was refused.

        """
        with self._connection.calling("lambda:ListLayerVersions", region):
            for page in self._connection.pages("lambda", region, "list_layer_versions", LayerName=layer):
                for item in page.get("LayerVersions", ()):
                    yield _version(item)

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        """Return one version, with its content's digest.

        Raises:
            PhplayerError: it was refused, or does not exist.

        """
        with self._connection.calling("lambda:GetLayerVersion", region):
            client = self._connection.client("lambda", region)
            return _version(client.get_layer_version(LayerName=layer, VersionNumber=number))

    def delete(self, region: str, layer: str, number: int) -> None:
        """Delete one version; one that is gone already is no error.

        Raises:
            PhplayerError: it was refused.

        """
        with self._connection.calling("lambda:DeleteLayerVersion", region):
            self._connection.client("lambda", region).delete_layer_version(LayerName=layer, VersionNumber=number)

    def content(self, arn: LayerArn) -> LayerContent:
        """Return where the content of a layer version is, one of another account's included.

        Raises:
            PhplayerError: it was refused, or does not exist.

        """
        with self._connection.calling("lambda:GetLayerVersion", arn.region):
            client = self._connection.client("lambda", arn.region)
            content = client.get_layer_version_by_arn(Arn=str(arn))["Content"]
            return LayerContent(url=content["Location"], code_sha256=content["CodeSha256"], size=content["CodeSize"])

    def _publisher(self, region: str) -> Any:
        return self._connection.client("lambda", region, once=True, prepare=self._count)

    def _count(self, client: Any) -> None:
        """Have the client's requests read from something that counts: botocore itself tells no progress."""

        def count(request: Any, **_event: object) -> None:
            sent = getattr(self._current, "sent", None)
            if sent is not None and isinstance(request.body, bytes):
                request.body = _Counted(request.body, sent)

        client.meta.events.register("before-send.lambda.PublishLayerVersion", count)


class _Counted(io.BytesIO):
    """Bytes on their way out."""

    def __init__(self, data: bytes, sent: Callable[[int], None]) -> None:
        super().__init__(data)
        self._sent = sent

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next block and tell its length."""
        data = super().read(_BLOCK if size is None or size < 0 or size < _BLOCK else size)
        self._sent(len(data))
        return data


def _version(answer: Any) -> LayerVersion:
    content = answer.get("Content", {})
    return LayerVersion(
        arn=LayerArn.parse(answer["LayerVersionArn"]),
        description=answer.get("Description", ""),
        code_sha256=content.get("CodeSha256", ""),
        size=content.get("CodeSize", 0),
        url=content.get("Location", ""),
    )
