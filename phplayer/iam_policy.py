"""The smallest IAM policy that a purpose takes. Pure: from the API calls that phplayer makes to a policy document.

Resources are narrowed to layers, regions and the account as far as the API allows: ListLayerVersions, ListFunctions and
DescribeRegions know no resources (AWS's Service Authorization Reference). Several regions stand in a condition and not
in the ARNs, since a managed policy holds 6,144 characters. GetCallerIdentity needs no permission.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from phplayer.errors import check_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIMIT = 6144
"""Characters of a managed policy, blanks not counted: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


class Purpose(StrEnum):
    """What the policy is for, by command or flag."""

    PUBLISH = "publish"
    ALL_REGIONS = "all-regions"
    BUCKET = "bucket"
    CREATE_BUCKET = "create-bucket"
    VERIFY = "verify"
    SHARE = "share"
    UNSHARE = "unshare"
    LIST = "list"
    EQUALIZE = "equalize"
    PRUNE = "prune"
    SSM = "ssm"
    DEPLOY = "deploy"


class _Kind(StrEnum):
    """What an action works on. The values are the statements' names."""

    LAYER = "Layers"
    VERSION = "LayerVersions"
    ANY_LAMBDA = "LambdaLists"
    BUCKET = "Buckets"
    OBJECT = "Objects"
    PARAMETER = "Parameters"
    FUNCTION = "Functions"
    ROLE = "Roles"
    ACCOUNT = "EnabledRegions"
    ANYTHING = "DescribedRegions"


_KINDS = {
    "lambda:PublishLayerVersion": _Kind.LAYER,
    "lambda:ListLayerVersions": _Kind.ANY_LAMBDA,
    "lambda:GetLayerVersion": _Kind.VERSION,
    "lambda:DeleteLayerVersion": _Kind.VERSION,
    "lambda:AddLayerVersionPermission": _Kind.VERSION,
    "lambda:RemoveLayerVersionPermission": _Kind.VERSION,
    "lambda:GetLayerVersionPolicy": _Kind.VERSION,
    "lambda:ListFunctions": _Kind.ANY_LAMBDA,
    "lambda:CreateFunction": _Kind.FUNCTION,
    "lambda:GetFunction": _Kind.FUNCTION,
    "lambda:UpdateFunctionCode": _Kind.FUNCTION,
    "lambda:UpdateFunctionConfiguration": _Kind.FUNCTION,
    "iam:PassRole": _Kind.ROLE,
    "s3:ListBucket": _Kind.BUCKET,
    "s3:CreateBucket": _Kind.BUCKET,
    "s3:PutBucketPublicAccessBlock": _Kind.BUCKET,
    "s3:PutEncryptionConfiguration": _Kind.BUCKET,
    "s3:PutObject": _Kind.OBJECT,
    "s3:GetObject": _Kind.OBJECT,
    "s3:DeleteObject": _Kind.OBJECT,
    "s3:AbortMultipartUpload": _Kind.OBJECT,
    "ssm:GetParameters": _Kind.PARAMETER,
    "ssm:PutParameter": _Kind.PARAMETER,
    "account:ListRegions": _Kind.ACCOUNT,
    "ec2:DescribeRegions": _Kind.ANYTHING,
}

_LOOK = ("lambda:ListLayerVersions", "lambda:GetLayerVersion")
ACTIONS: dict[Purpose, tuple[str, ...]] = {
    Purpose.PUBLISH: ("lambda:PublishLayerVersion", *_LOOK),
    Purpose.ALL_REGIONS: ("account:ListRegions", "ec2:DescribeRegions"),
    # Lambda takes the archive from the bucket in the caller's name, so the caller must be allowed to read it.
    Purpose.BUCKET: ("s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject", "s3:DeleteObject"),
    Purpose.CREATE_BUCKET: ("s3:CreateBucket", "s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration"),
    Purpose.VERIFY: ("lambda:GetLayerVersion",),
    Purpose.SHARE: ("lambda:GetLayerVersion", "lambda:GetLayerVersionPolicy", "lambda:AddLayerVersionPermission"),
    Purpose.UNSHARE: (
        "lambda:ListLayerVersions",
        "lambda:GetLayerVersionPolicy",
        "lambda:RemoveLayerVersionPermission",
    ),
    Purpose.LIST: _LOOK,
    Purpose.EQUALIZE: ("lambda:PublishLayerVersion", *_LOOK),
    Purpose.PRUNE: ("lambda:ListFunctions", *_LOOK, "lambda:GetLayerVersionPolicy", "lambda:DeleteLayerVersion"),
    Purpose.SSM: ("ssm:GetParameters", "ssm:PutParameter"),
    Purpose.DEPLOY: (
        "lambda:CreateFunction",
        "lambda:GetFunction",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
        "lambda:GetLayerVersion",
        "iam:PassRole",
    ),
}
"""The IAM actions of each purpose."""

_REGIONAL = {_Kind.LAYER, _Kind.VERSION, _Kind.ANY_LAMBDA, _Kind.PARAMETER, _Kind.FUNCTION}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the policy is narrowed to. Names may hold ``*``; no regions means all."""

    partition: str = "aws"
    account: str = "*"
    regions: tuple[str, ...] = ()
    layers: tuple[str, ...] = ("*",)
    functions: tuple[str, ...] = ("*",)
    roles: tuple[str, ...] = ("*",)
    bucket: str = "*"  # a pattern with {region} and {account}
    parameters: str = "/*"  # a pattern with placeholders


def purposes(names: Iterable[str]) -> tuple[Purpose, ...]:
    """Read purposes' names.

    Raises:
        UsageError: there is no such purpose.

    """
    found = []
    for name in names:
        check_known(name, Purpose, "purpose")
        found.append(Purpose(name))
    return tuple(dict.fromkeys(found))


def policy(wanted: Sequence[Purpose], resources: Resources) -> dict[str, Any]:
    """Return the policy document."""
    actions = {action for purpose in wanted for action in ACTIONS[purpose]}
    statements = []
    for kind in _Kind:
        mine = sorted(action for action in actions if _KINDS[action] is kind)
        if mine:
            statements.append(_statement(kind, mine, resources))
    return {"Version": "2012-10-17", "Statement": statements}


def size(document: dict[str, Any]) -> int:
    """Return the characters that AWS counts against its limit."""
    return len(re.sub(r"\s", "", str(document)))


def _statement(kind: _Kind, actions: Sequence[str], resources: Resources) -> dict[str, Any]:
    arns = sorted(set(_arns(kind, resources)))
    statement: dict[str, Any] = {
        "Sid": str(kind),
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": arns[0] if len(arns) == 1 else arns,
    }
    if kind is _Kind.ROLE:
        services = ["lambda.amazonaws.com"]
        if resources.partition == "aws-cn":  # Lambda has had both names there
            services.append("lambda.amazonaws.com.cn")
        statement["Condition"] = {"StringEquals": {"iam:PassedToService": services if services[1:] else services[0]}}
    elif kind in _REGIONAL and resources.regions:
        statement["Condition"] = {"StringEquals": {"aws:RequestedRegion": sorted(resources.regions)}}
    return statement


def _arns(kind: _Kind, to: Resources) -> tuple[str, ...]:
    region = to.regions[0] if len(to.regions) == 1 else "*"

    def regional(service: str, *names: str) -> tuple[str, ...]:
        return tuple(f"arn:{to.partition}:{service}:{region}:{to.account}:{name}" for name in names)

    bucket = _wild(to.bucket, region=region, account=to.account)
    found = {
        _Kind.LAYER: regional("lambda", *(f"layer:{name}" for name in to.layers)),
        _Kind.VERSION: regional("lambda", *(f"layer:{name}:*" for name in to.layers)),
        _Kind.FUNCTION: regional("lambda", *(f"function:{name}" for name in to.functions)),
        _Kind.PARAMETER: regional("ssm", f"parameter{_wild(to.parameters)}"),
        _Kind.ROLE: tuple(f"arn:{to.partition}:iam::{to.account}:role/{name}" for name in to.roles),
        _Kind.BUCKET: (f"arn:{to.partition}:s3:::{bucket}",),
        _Kind.OBJECT: (f"arn:{to.partition}:s3:::{bucket}/phplayer/*",),
        _Kind.ACCOUNT: (f"arn:{to.partition}:account::{to.account}:account",),
    }
    return found.get(kind, ("*",))


def _wild(pattern: str, **known: str) -> str:
    """Replace the placeholders of a pattern by what is known of them, the others by ``*``."""
    return re.sub(r"\*+", "*", re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], "*"), pattern))
