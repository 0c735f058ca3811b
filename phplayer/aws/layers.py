"""Lambda's layers.

PublishLayerVersion makes a new version each time it is called, so it is never retried here; when its outcome is
unknown, ``OutcomeUnknownError`` says so and the caller looks before it calls again.
"""

from __future__ import annotations

import io
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from phplayer.aws.buckets import StoredObject
from phplayer.aws.refusals import ArchitecturesRefusedError
from phplayer.aws.request_body import SplicedBody
from phplayer.layer import LayerArn
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from phplayer.aws.connection import Connection


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
        self._going_out = threading.local()  # .request: what this thread's call of PublishLayerVersion sends

    @contextmanager
    def getting_ready(self) -> Iterator[Callable[..., None]]:
        """Yield what makes clients for regions beside what else is done, while AWS answers; nothing is sent.

        It makes those that look, or with ``publish=True`` those that publish, which unchanged content never needs.
        """
        beside = ThreadPoolExecutor(1)

        def get_ready(regions: Iterable[str], *, publish: bool = False) -> None:
            for region in regions:
                beside.submit(self._publisher if publish else self._looker, region)

        try:
            yield get_ready
        finally:
            beside.shutdown(cancel_futures=True)

    def publish(
        self,
        region: str,
        details: Details,
        content: bytes | Path | StoredObject,
        *,
        sent: Callable[[int], None] | None = None,
    ) -> LayerVersion:
        """Publish a new version of the layer; ``sent`` gets the bytes of the request as they go out.

        A region that has x86_64 only takes no architectures at all; there it is published without them.

        Raises:
            OutcomeUnknownError: the version may exist all the same.
            PhplayerError: it was refused.

        """
        try:
            return self._publish(region, details, content, sent)
        except ArchitecturesRefusedError:  # it had no effect
            if Architecture.X86_64 not in details.architectures:
                raise
            return self._publish(region, replace(details, architectures=()), content, sent)

    def _publish(
        self,
        region: str,
        details: Details,
        content: bytes | Path | StoredObject,
        sent: Callable[[int], None] | None,
    ) -> LayerVersion:
        optional: dict[str, Any] = {"LicenseInfo": details.license_info} if details.license_info else {}
        if details.architectures:
            optional["CompatibleArchitectures"] = list(details.architectures)
        client = self._publisher(region)
        with self._connection.calling("lambda:PublishLayerVersion", region), self._sending(content, sent) as argument:
            answer = client.publish_layer_version(
                LayerName=details.layer,
                Content=argument,
                Description=details.description,
                CompatibleRuntimes=list(details.runtimes),
                **optional,
            )
            return _version(answer)

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield all versions of the layer, newest first; none if there is no such layer.

        Raises:
            PhplayerError: it was refused.

        """
        with self._connection.calling("lambda:ListLayerVersions", region):
            for page in self._looker(region).paginate(LayerName=layer):
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

    @contextmanager
    def _sending(
        self, content: bytes | Path | StoredObject, sent: Callable[[int], None] | None
    ) -> Iterator[dict[str, Any]]:
        """Yield what the call takes as Content, while what it stands for is at hand."""
        if isinstance(content, StoredObject):
            yield {"S3Bucket": content.bucket, "S3Key": content.key}
            return
        opened = nullcontext(io.BytesIO(content)) if isinstance(content, bytes) else content.open("rb")
        with opened as source:
            request = _Request(mark=secrets.token_bytes(24), source=source, sent=sent)
            self._going_out.request = request
            try:
                yield {"ZipFile": request.mark}
            finally:
                self._going_out.request = None

    def _looker(self, region: str) -> Any:
        return self._connection.paginator("lambda", region, "list_layer_versions")

    def _publisher(self, region: str) -> Any:
        return self._connection.client("lambda", region, once=True, prepare=self._hook)

    def _hook(self, client: Any) -> None:
        """Have the client's requests read from the archive, and counted: botocore itself tells no progress."""
        client.meta.events.register("before-call.lambda.PublishLayerVersion", self._splice)
        client.meta.events.register("before-send.lambda.PublishLayerVersion", self._count)

    def _splice(self, *, params: dict[str, Any], **_event: object) -> None:
        request: _Request | None = getattr(self._going_out, "request", None)
        if request is not None:
            params["body"] = SplicedBody(params["body"], request.mark, request.source)

    def _count(self, *, request: Any, **_event: object) -> None:
        """Count from here on: until now it was read to be signed."""
        if isinstance(request.body, SplicedBody):
            request.body.sent = self._going_out.request.sent


@dataclass(frozen=True, kw_only=True)
class _Request:
    """An archive on its way out."""

    mark: bytes  # stands for it in what botocore makes
    source: BinaryIO
    sent: Callable[[int], None] | None


def _version(answer: Any) -> LayerVersion:
    content = answer.get("Content", {})
    return LayerVersion(
        arn=LayerArn.parse(answer["LayerVersionArn"]),
        description=answer.get("Description", ""),
        code_sha256=content.get("CodeSha256", ""),
        size=content.get("CodeSize", 0),
        url=content.get("Location", ""),
    )
