"""AWS, as far as phplayer needs it. This module alone imports boto3 and botocore.

Whatever botocore raises leaves here as one of our errors: what was refused, in which region, and what to do.
PublishLayerVersion makes a new version each time it is called, so it is never retried here; when its outcome is
unknown, ``OutcomeUnknownError`` says so and the caller looks before it calls again.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from phplayer.aws_refusals import OutcomeUnknownError, refusal
from phplayer.errors import AwsRefusedError, EnvironmentMissingError, UsageError, did_you_mean
from phplayer.layer import LayerArn
from phplayer.ledger import AWS_ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from botocore.client import BaseClient

_CONNECT_TIMEOUT = 10.0  # seconds
_HASTY_TIMEOUT = 4.0
_READ_TIMEOUT = 60.0  # seconds without a byte
_PUBLISH_TIMEOUT = 300.0  # Lambda answers only after it has unpacked the layer


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the calls are made as."""

    account: str
    principal: str  # ARN of the user or of the assumed role


@dataclass(frozen=True, kw_only=True)
class LayerVersion:
    """A layer version that exists."""

    arn: LayerArn
    description: str
    code_sha256: str = ""  # only when asked for by number: ListLayerVersions does not tell it
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerContent:
    """Where the zip of a layer version can be had for some minutes, and what it must be."""

    url: str
    code_sha256: str
    size: int


@cache
def regions() -> tuple[str, ...]:
    """Return the regions that have Lambda, of every partition, as botocore's data lists them."""
    import botocore.session

    session = botocore.session.Session()
    partitions = session.get_available_partitions()
    return tuple(region for name in partitions for region in session.get_available_regions("lambda", name))


def check_regions(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names without repetitions.

    Raises:
        UsageError: Lambda is in no region of that name.

    """
    known = regions()
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            some = "" if near else f"Such as: {', '.join(known[:4])}. "
            raise UsageError(
                f"Unknown region {name!r}.", remedy=f"{near}{some}A region newer than this boto3 needs a newer boto3."
            )
    return tuple(dict.fromkeys(names))


class Aws:
    """The calls that phplayer makes, with one profile at one endpoint. Safe to share between threads."""

    def __init__(self, *, profile: str = "", endpoint_url: str = "", hasty: bool = False) -> None:
        """Open a session; nothing is sent yet. ``hasty`` is for questions that may go unanswered: seconds, no retry.

        Raises:
            UsageError: the profile does not exist, or the URL is none.

        """
        import boto3

        if endpoint_url and not _is_http_url(endpoint_url):
            raise UsageError(f"{endpoint_url!r} is not an endpoint URL.", remedy="It looks like http://127.0.0.1:5000.")
        self._endpoint_url = endpoint_url.rstrip("/") or None
        self._hasty = hasty
        self._clients: dict[tuple[str, str, bool], BaseClient] = {}
        self._lock = threading.Lock()  # a session is not safe to share, its clients are
        with _translated("", "", endpoint_url):
            self._session = boto3.Session(profile_name=profile or None)

    @property
    def default_region(self) -> str:
        """The region of the profile or of AWS's own environment variables, or nothing."""
        return str(self._session.region_name or "")

    def endpoint(self, region: str) -> str:
        """Return what the ledger calls this endpoint: ``aws``, or the URL of anything else.

        boto3's own ways to set one (AWS_ENDPOINT_URL, a profile's endpoint_url) count too; addresses under AWS's
        domains, such as a VPC endpoint's, are AWS.
        """
        url = str(self._client("lambda", region).meta.endpoint_url).rstrip("/")
        host = urlsplit(url).hostname or ""
        return AWS_ENDPOINT if host.endswith(_aws_domains()) else url

    def identity(self, region: str) -> Identity:
        """Ask who we are.

        Raises:
            PhplayerError: no credentials, not accepted, or nothing answers.

        """
        with self._calls("sts:GetCallerIdentity", region):
            answer = self._client("sts", region).get_caller_identity()
            return Identity(account=answer["Account"], principal=answer["Arn"])

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
        """Publish a new version of the layer.

        Raises:
            OutcomeUnknownError: the version may exist all the same.
            PhplayerError: it was refused.

        """
        optional = {"LicenseInfo": license_info} if license_info else {}
        with self._calls("lambda:PublishLayerVersion", region):
            answer = self._client("lambda", region, once=True).publish_layer_version(
                LayerName=layer,
                Content={"ZipFile": archive},
                Description=description,
                CompatibleRuntimes=list(runtimes),
                CompatibleArchitectures=list(architectures),
                **optional,
            )
            return _version(answer)

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield all versions of the layer, newest first; none if there is no such layer.

        Raises:
            PhplayerError: it was refused.

        """
        with self._calls("lambda:ListLayerVersions", region):
            pages = self._client("lambda", region).get_paginator("list_layer_versions").paginate(LayerName=layer)
            for page in pages:
                for item in page.get("LayerVersions", ()):
                    yield _version(item)

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        """Return one version, with its content's digest.

        Raises:
            PhplayerError: it was refused, or does not exist.

        """
        with self._calls("lambda:GetLayerVersion", region):
            return _version(self._client("lambda", region).get_layer_version(LayerName=layer, VersionNumber=number))

    def layer_content(self, arn: LayerArn) -> LayerContent:
        """Return where the content of a layer version is, one of another account's included.

        Raises:
            PhplayerError: it was refused, or does not exist.

        """
        with self._calls("lambda:GetLayerVersion", arn.region):
            content = self._client("lambda", arn.region).get_layer_version_by_arn(Arn=str(arn))["Content"]
            return LayerContent(url=content["Location"], code_sha256=content["CodeSha256"], size=content["CodeSize"])

    @contextmanager
    def _calls(self, permission: str, region: str) -> Iterator[None]:
        with _translated(permission, region, self._endpoint_url or ""):
            yield

    def _client(self, service: str, region: str, *, once: bool = False) -> Any:
        """Return a client, made when first asked for. ``once`` is for calls that must not be sent twice."""
        from botocore.config import Config

        config = Config(
            connect_timeout=_HASTY_TIMEOUT if self._hasty else _CONNECT_TIMEOUT,
            read_timeout=_HASTY_TIMEOUT if self._hasty else _PUBLISH_TIMEOUT if once else _READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": 1 if once or self._hasty else 4},
        )
        with self._lock:
            key = (service, region, once)
            if key not in self._clients:
                with _translated("", region, self._endpoint_url or ""):
                    self._clients[key] = self._session.client(
                        service, region_name=region, endpoint_url=self._endpoint_url, config=config
                    )
            return self._clients[key]


def _version(answer: Any) -> LayerVersion:
    content = answer.get("Content", {})
    return LayerVersion(
        arn=LayerArn.parse(answer["LayerVersionArn"]),
        description=answer.get("Description", ""),
        code_sha256=content.get("CodeSha256", ""),
        size=content.get("CodeSize", 0),
    )


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


@cache
def _aws_domains() -> tuple[str, ...]:
    """Return the domains of AWS's endpoints, with a leading dot, from botocore's data."""
    import botocore.session

    partitions = botocore.session.Session().get_data("partitions")["partitions"]
    names = {each["outputs"].get(kind) for each in partitions for kind in ("dnsSuffix", "dualStackDnsSuffix")}
    return tuple(f".{name}" for name in names if name)


@contextmanager
def _translated(permission: str, region: str, endpoint_url: str) -> Iterator[None]:
    """Turn what botocore raises while ``permission`` is used into our errors."""
    from botocore import exceptions, parsers

    where = " ".join(part for part in (region and f"in {region}", endpoint_url and f"at {endpoint_url}") if part)
    try:
        yield
    except exceptions.ClientError as error:
        told: Any = error.response.get("Error", {})
        raise refusal(
            str(told.get("Code", "")),
            str(told.get("Message", "")),
            status=int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)),
            permission=permission,
            where=where,
        ) from error
    except exceptions.ProfileNotFound as error:
        raise _unknown_profile(error) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        missing = isinstance(error, exceptions.NoCredentialsError)
        raise EnvironmentMissingError(
            "No AWS credentials were found." if missing else f"The AWS credentials are incomplete: {error}",
            remedy="Set AWS_PROFILE or pass --profile, sign in with `aws sso login`, or export AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
        ) from error
    except (
        exceptions.SSOError,
        exceptions.SSOTokenLoadError,
        exceptions.TokenRetrievalError,
        exceptions.CredentialRetrievalError,
    ) as error:
        raise EnvironmentMissingError(
            f"The AWS credentials could not be obtained: {error}", remedy="Sign in again: aws sso login"
        ) from error
    except (
        exceptions.EndpointConnectionError,
        exceptions.ConnectTimeoutError,
        exceptions.ProxyConnectionError,
        exceptions.SSLError,
    ) as error:
        raise EnvironmentMissingError(
            f"AWS cannot be reached {where}: {error}", remedy="Check the network, the proxy and --endpoint-url."
        ) from error
    except exceptions.HTTPClientError as error:  # the rest of them break off after the request was sent
        raise OutcomeUnknownError(
            f"{permission} {where} got no answer: {error}",
            remedy="Run the same command again: it looks first whether the call took effect.",
        ) from error
    except (parsers.ResponseParserError, KeyError) as error:
        raise AwsRefusedError(
            f"{permission} {where} got an answer that is not AWS's.",
            remedy="Check --endpoint-url.",
            details=(str(error).splitlines()[0],),
        ) from error
    except exceptions.BotoCoreError as error:
        raise UsageError(
            f"boto3 cannot work as it is configured: {error}", remedy="Check ~/.aws/config and the AWS_ variables."
        ) from error


def _unknown_profile(error: Exception) -> UsageError:
    import botocore.session

    name = str(getattr(error, "kwargs", {}).get("profile", ""))
    known = botocore.session.Session(profile=None).available_profiles
    near = did_you_mean(name, known)
    rest = f"Known: {', '.join(known)}." if known else "Create it with: aws configure --profile NAME"
    return UsageError(f"There is no AWS profile {name!r}.", remedy=f"{near}{rest}")
