"""Who else may use what is published: nobody, unless it is asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phplayer.aws.layer_policies import Grant
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.layer import LayerArn
    from phplayer.publishing.lookup import Client

_ACCOUNT = re.compile(r"\d{12}")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{1,32}")


def grants(texts: Sequence[str], *, public: bool = False) -> tuple[Grant, ...]:
    """Read ``account:123456789012`` and ``org:o-abc123``.

    Raises:
        UsageError: it is neither.

    """
    read = [_grant(text) for text in texts] + ([Grant(principal="*")] if public else [])
    return tuple(dict.fromkeys(read))


def _grant(text: str) -> Grant:
    kind, _, name = text.partition(":")
    if kind == "account" and _ACCOUNT.fullmatch(name):
        return Grant(principal=name)
    if kind == "org" and _ORGANIZATION.fullmatch(name):
        return Grant(principal="*", organization=name)
    if kind == "account":
        raise UsageError(f"{name!r} is not an AWS account.", remedy="An account's number has 12 digits.")
    if kind == "org":
        raise UsageError(f"{name!r} is not an organization.", remedy="Its id looks like o-abc1234567.")
    raise UsageError(
        f"{text!r} says nobody to share with.",
        remedy="Write account:123456789012 or org:o-abc1234567; --public is for everybody.",
    )


def share(arn: LayerArn, wanted: Sequence[Grant], client: Client) -> tuple[str, ...]:
    """Let them all use the version; return a remark for each.

    Raises:
        PhplayerError: AWS refused.

    """
    statements = client.layer_policies.statements(arn.region, arn.name, arn.version) if wanted else ()
    held = {statement.get("Sid") for statement in statements}
    remarks = []
    for grant in wanted:
        if grant.statement in held:
            remarks.append(f"was shared with {grant}")
        else:
            client.layer_policies.add(arn, grant)
            remarks.append(f"shared with {grant}")
    return tuple(remarks)
