"""What a statement of a layer version's policy is taken for: never for more than it says."""

from __future__ import annotations

from typing import Any

import pytest

from phplayer.aws.audience import Audience

ORGANIZATION = {"StringEquals": {"aws:PrincipalOrgID": "o-abc1234567"}}


def read(**members: Any) -> str:
    statement = {"Sid": "s", "Effect": "Allow", "Action": "lambda:GetLayerVersion", "Resource": "arn", **members}
    return str(Audience.of_statement(statement) or "")


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": ["*"]}])
def test_everybody(principal: Any) -> None:
    assert read(Principal=principal) == "everybody"
    assert read(Principal=principal, Condition={}) == "everybody"


@pytest.mark.parametrize(
    "principal",
    [
        "210987654321",
        "arn:aws:iam::210987654321:root",
        {"AWS": "arn:aws-cn:iam::210987654321:root"},
        {"AWS": ["210987654321"]},
    ],
)
def test_an_account(principal: Any) -> None:
    assert read(Principal=principal) == "account:210987654321"


@pytest.mark.parametrize(
    "condition",
    [
        ORGANIZATION,
        {"StringEquals": {"aws:principalorgid": "o-abc1234567"}},
        {"stringEquals": {"AWS:PRINCIPALORGID": ["o-abc1234567"]}},
    ],
)
def test_an_organization(condition: Any) -> None:
    assert read(Principal="*", Condition=condition) == "org:o-abc1234567"
    assert read(Principal={"AWS": "*"}, Condition=condition) == "org:o-abc1234567"


@pytest.mark.parametrize(
    "members",
    [
        {"Principal": "*", "Effect": "Deny"},
        {"NotPrincipal": {"AWS": "210987654321"}},
        {"Principal": "*", "NotPrincipal": {"AWS": "210987654321"}},
        {"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
        {"Principal": "*", "Condition": {**ORGANIZATION, "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
        {"Principal": "*", "Condition": {"StringEquals": {**ORGANIZATION["StringEquals"], "aws:x": "y"}}},
        {"Principal": "*", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-abc1234567"}}},
        {"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalOrgID": "o-*"}}},
        {"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-abc1234567", "o-def1234567"]}}},
        {"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": []}}},
        {"Principal": "*", "Condition": "odd"},
        {"Principal": "210987654321", "Condition": ORGANIZATION},
        {"Principal": {"AWS": ["210987654321", "310987654321"]}},
        {"Principal": {"AWS": "*", "Service": "lambda.amazonaws.com"}},
        {"Principal": {"Service": "lambda.amazonaws.com"}},
        {"Principal": "arn:aws:iam::210987654321:user/somebody"},
        {"Principal": None},
        {},
    ],
)
def test_what_is_narrowed_otherwise_is_none_of_them(members: dict[str, Any]) -> None:
    assert read(**members) == ""
