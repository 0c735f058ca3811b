from __future__ import annotations

import re
from pathlib import Path

import pytest

import phplayer
from phplayer import iam_policy
from phplayer.cli.iam_policy import PURPOSES
from phplayer.errors import UsageError
from phplayer.iam_policy import ACTIONS, Purpose, Resources

NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
NOT_CALLED_BY_US = {  # what a call takes besides its own permission, and deployments, which are left to other tools
    *("s3:GetObject", "s3:AbortMultipartUpload", "iam:PassRole", "lambda:CreateFunction", "lambda:GetFunction"),
    *("lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"),
}


def test_the_command_line_names_every_purpose() -> None:
    assert list(PURPOSES) == [purpose.value for purpose in Purpose]


def test_every_permission_that_the_code_names_is_for_some_purpose() -> None:
    source = "".join(path.read_text() for path in (Path(phplayer.__file__).parent / "aws").glob("*.py"))
    named = set(re.findall(r'calling\("([a-z0-9]+:\w+)"', source))
    covered = {action for actions in ACTIONS.values() for action in actions}
    assert named - NEEDS_NO_PERMISSION == covered - NOT_CALLED_BY_US


def test_resources_are_as_narrow_as_the_api_allows() -> None:
    resources = Resources(account="123456789012", regions=("eu-west-1",), layers=("php-84-x86_64", "php-vendor"))
    document = iam_policy.policy((Purpose.PUBLISH,), resources)
    condition = {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}}
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer"
    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Layers",
                "Effect": "Allow",
                "Action": ["lambda:PublishLayerVersion"],
                "Resource": [f"{arn}:php-84-x86_64", f"{arn}:php-vendor"],
                "Condition": condition,
            },
            {
                "Sid": "LayerVersions",
                "Effect": "Allow",
                "Action": ["lambda:GetLayerVersion"],
                "Resource": [f"{arn}:php-84-x86_64:*", f"{arn}:php-vendor:*"],
                "Condition": condition,
            },
            {
                "Sid": "LambdaLists",
                "Effect": "Allow",
                "Action": ["lambda:ListLayerVersions"],
                "Resource": "*",
                "Condition": condition,
            },
        ],
    }


def test_a_policy_for_all_regions_and_purposes_fits_into_one() -> None:
    regions = tuple(f"ap-southeast-{number}" for number in range(30))
    layers = tuple(f"php-{php}-{arch}" for php in (83, 84, 85) for arch in ("x86_64", "arm64"))
    document = iam_policy.policy(tuple(Purpose), Resources(account="123456789012", regions=regions, layers=layers))
    assert iam_policy.size(document) < iam_policy.LIMIT


def test_patterns_stand_for_what_is_not_known() -> None:
    resources = Resources(
        partition="aws-cn",
        account="123456789012",
        bucket="layers-{account}-{region}",
        parameters="/php/{name}/{arch}",
        roles=("php-*",),
    )
    wanted = (Purpose.BUCKET, Purpose.SSM, Purpose.DEPLOY)
    statements = {each["Sid"]: each for each in iam_policy.policy(wanted, resources)["Statement"]}
    assert statements["Buckets"]["Resource"] == "arn:aws-cn:s3:::layers-123456789012-*"
    assert statements["Objects"]["Resource"] == "arn:aws-cn:s3:::layers-123456789012-*/phplayer/*"
    assert statements["Parameters"]["Resource"] == "arn:aws-cn:ssm:*:123456789012:parameter/php/*/*"
    assert statements["Roles"]["Resource"] == "arn:aws-cn:iam::123456789012:role/php-*"
    assert "iam:PassedToService" in statements["Roles"]["Condition"]["StringEquals"]


def test_an_unknown_purpose_is_told_with_what_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        iam_policy.purposes(["publsh"])
    assert "Did you mean 'publish'?" in caught.value.remedy
