"""Who else may use what is published: nobody, unless it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws import Audience
    from phplayer.layer import LayerArn
    from phplayer.publishing.lookup import Client


def share(arn: LayerArn, wanted: Sequence[Audience], client: Client) -> tuple[str, ...]:
    """Let them all use the version; return a remark for each.

    Raises:
        PhplayerError: AWS refused.

    """
    statements = client.layer_policies.statements(arn.region, arn.name, arn.version) if wanted else ()
    held = {statement.get("Sid") for statement in statements}
    remarks = []
    for audience in wanted:
        if audience.statement in held:
            remarks.append(f"was shared with {audience}")
        else:
            client.layer_policies.add(arn, audience)
            remarks.append(f"shared with {audience}")
    return tuple(remarks)
