"""Looks for content at AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from phplayer import version_metadata as metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phplayer.aws import LayerVersion
    from phplayer.publishing.planning import Step


class LayerCalls(Protocol):
    """What publishing needs of ``aws.Aws.layers``."""

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
        """Publish a new version."""

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield the layer's versions, newest first."""

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        """Return one version with its digest."""


class Client(Protocol):
    """What publishing needs of ``aws.Aws``."""

    @property
    def layers(self) -> LayerCalls:
        """The calls about layers."""


def find(step: Step, client: Client) -> LayerVersion | None:
    """Return the version at AWS that has this content."""
    mark, place = metadata.mark(step.archive.manifest), step.place
    for listed in client.layers.versions(place.region, place.layer):
        if mark in listed.description:
            version = client.layers.version(place.region, place.layer, listed.arn.version)
            if version.code_sha256 == step.archive.code_sha256:
                return version
    return None
