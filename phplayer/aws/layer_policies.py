"""Who may use a layer version: the statements of its resource policy."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from phplayer.aws.refusals import ConflictError

if TYPE_CHECKING:
    from phplayer.aws.audience import Audience
    from phplayer.aws.connection import Connection
    from phplayer.layer import LayerArn


class LayerPolicies:
    """The calls about layer versions' policies."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def statements(self, region: str, layer: str, number: int) -> tuple[dict[str, Any], ...]:
        """Return the statements of a version's policy; none if it has no policy.

        Raises:
            PhplayerError: it was refused.

        """
        client = self._connection.client("lambda", region)
        with self._connection.calling("lambda:GetLayerVersionPolicy", region):
            try:
                answer = client.get_layer_version_policy(LayerName=layer, VersionNumber=number)
            except client.exceptions.ResourceNotFoundException:
                return ()
            return tuple(json.loads(answer["Policy"]).get("Statement", ()))

    def remove(self, region: str, layer: str, number: int, statement: str) -> None:
        """Remove a statement by its Sid; one that is gone already is no error.

        Raises:
            PhplayerError: it was refused.

        """
        client = self._connection.client("lambda", region)
        with (
            self._connection.calling("lambda:RemoveLayerVersionPermission", region),
            contextlib.suppress(client.exceptions.ResourceNotFoundException),
        ):
            client.remove_layer_version_permission(LayerName=layer, VersionNumber=number, StatementId=statement)

    def add(self, arn: LayerArn, audience: Audience) -> None:
        """Let others use a layer version; it is no error when they can already.

        Raises:
            PhplayerError: it was refused.

        """
        organization = {"OrganizationId": audience.organization} if audience.organization else {}
        with (
            contextlib.suppress(ConflictError),
            self._connection.calling("lambda:AddLayerVersionPermission", arn.region),
        ):
            self._connection.client("lambda", arn.region).add_layer_version_permission(
                LayerName=arn.name,
                VersionNumber=arn.version,
                StatementId=audience.statement,
                Action="lambda:GetLayerVersion",
                Principal=audience.principal,
                **organization,
            )
