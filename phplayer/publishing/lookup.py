"""Looks for content at AWS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from phplayer import version_metadata as metadata

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from phplayer.aws import Audience, Details, LayerVersion, StoredObject
    from phplayer.layer import LayerArn
    from phplayer.publishing.planning import Step

_LONGEST_PAUSE = 8.0  # seconds between two looks


class LayerCalls(Protocol):
    """What publishing needs of ``aws.Aws.layers``."""

    def publish(
        self, region: str, details: Details, content: Path | StoredObject, *, sent: Callable[[int], None] | None = None
    ) -> LayerVersion:
        """Publish a new version."""

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield the layer's versions, newest first."""

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        """Return one version with its digest."""


class PolicyCalls(Protocol):
    """What publishing needs of ``aws.Aws.layer_policies``."""

    def statements(self, region: str, layer: str, number: int) -> tuple[dict[str, Any], ...]:
        """Return what lets others use a version."""

    def add(self, arn: LayerArn, audience: Audience) -> None:
        """Let others use a version."""


class BucketCalls(Protocol):
    """What publishing needs of ``aws.Aws.buckets``."""

    def check(self, region: str, bucket: str, account: str) -> None:
        """See that the bucket is there."""

    def create(self, region: str, bucket: str) -> None:
        """Make a bucket."""

    def upload(
        self, region: str, path: Path, to: StoredObject, *, account: str, progress: Callable[[int], None]
    ) -> None:
        """Send a file."""

    def remove(self, region: str, stored: StoredObject, *, account: str) -> None:
        """Delete an object."""


class Client(Protocol):
    """What publishing needs of ``aws.Aws``."""

    @property
    def layers(self) -> LayerCalls:
        """The calls about layers."""

    @property
    def layer_policies(self) -> PolicyCalls:
        """The calls about who may use a version."""

    @property
    def buckets(self) -> BucketCalls:
        """The calls about buckets."""


def find(step: Step, client: Client) -> LayerVersion | None:
    """Return the version at AWS that has this content.

    Raises:
        PhplayerError: AWS refused to tell.

    """
    mark, place = metadata.mark(step.archive.manifest), step.place
    for listed in client.layers.versions(place.region, place.layer):
        if mark in listed.description:
            version = client.layers.version(place.region, place.layer, listed.arn.version)
            if version.code_sha256 == step.archive.code_sha256:
                return version
    return None


def find_patiently(step: Step, client: Client, *, until: float, stopping: threading.Event) -> LayerVersion | None:
    """Look again and again until ``until`` (in seconds since the epoch), once at least.

    What a call without an answer made may take a while to be listed.

    Raises:
        PhplayerError: AWS refused to tell.

    """
    pause = 0.5
    while True:
        last = time.time() >= until or stopping.is_set()
        found = find(step, client)
        if found is not None or last:
            return found
        stopping.wait(max(0.0, min(pause, until - time.time())))
        pause = min(2 * pause, _LONGEST_PAUSE)
