"""STS: who the calls are made as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phplayer.aws.connection import Connection


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the calls are made as."""

    account: str
    principal: str  # ARN of the user or of the assumed role


def caller(connection: Connection, region: str) -> Identity:
    """Ask who we are.

    Raises:
        PhplayerError: no credentials, not accepted, or nothing answers.

    """
    with connection.calling("sts:GetCallerIdentity", region):
        answer = connection.client("sts", region).get_caller_identity()
        return Identity(account=answer["Account"], principal=answer["Arn"])
