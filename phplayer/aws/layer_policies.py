"""Who may use a layer version: the statements of its resource policy."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phplayer.aws.refusals import ConflictError

if TYPE_CHECKING:
    from phplayer.aws.connection import Connection
    from phplayer.layer import LayerArn


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Who may use a layer version: one account, all accounts of an organization, or everybody."""

    principal: str  # an account's number, or *
    organization: str = ""

    @property
    def statement(self) -> str:
        """The statement's name in the version's policy: the same grant is never added twice."""
        if self.organization:
            return f"phplayer-org-{self.organization}"
        return "phplayer-public" if self.principal == "*" else f"phplayer-account-{self.principal}"

    def __str__(self) -> str:
        if self.organization:
            return f"org:{self.organization}"
        return "everybody" if self.principal == "*" else f"account:{self.principal}"


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

    def add(self, arn: LayerArn, grant: Grant) -> None:
        """Let others use a layer version; it is no error when they can already.

        Raises:
            PhplayerError: it was refused.

        """
        organization = {"OrganizationId": grant.organization} if grant.organization else {}
        with (
            contextlib.suppress(ConflictError),
            self._connection.calling("lambda:AddLayerVersionPermission", arn.region),
        ):
            self._connection.client("lambda", arn.region).add_layer_version_permission(
                LayerName=arn.name,
                VersionNumber=arn.version,
                StatementId=grant.statement,
                Action="lambda:GetLayerVersion",
                Principal=grant.principal,
                **organization,
            )
