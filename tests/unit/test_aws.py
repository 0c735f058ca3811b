from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.parsers
import pytest
from botocore.stub import ANY, Stubber

from phplayer import aws
from phplayer.aws import Aws, answers
from phplayer.aws.refusals import (
    CredentialsUnknownError,
    HalfAnswerError,
    NotFoundError,
    OutcomeUnknownError,
    ThrottledError,
    UnreachableError,
)
from phplayer.errors import AwsRefusedError, EnvironmentMissingError, PhplayerError, UsageError
from phplayer.settings import Settings

REGION = "eu-west-1"
ARN = f"arn:aws:lambda:{REGION}:123456789012:layer:php-84-x86_64:3"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "config").write_text("[profile development]\nregion = eu-north-1\n")


@pytest.fixture
def client() -> Aws:
    return Aws()


@pytest.fixture
def stub(client: Aws) -> Iterator[Callable[..., Stubber]]:
    """Return a function that puts a stub in place of one of the client's connections."""
    stubs = []

    def make(service: str = "lambda", *, once: bool = False) -> Stubber:
        stubber = Stubber(client.connection.client(service, REGION, once=once))
        stubber.activate()
        stubs.append(stubber)
        return stubber

    yield make
    for stubber in stubs:
        stubber.assert_no_pending_responses()


def publish(client: Aws, architecture: str = "x86_64") -> aws.LayerVersion:
    return client.layers.publish(
        REGION,
        aws.Details(
            layer="php-84-x86_64",
            description="PHP 8.4.24",
            runtimes=("provided.al2023",),
            architectures=(architecture,),
            license_info="PHP-3.01",
        ),
        b"zip",
    )


def test_the_caller_is_named(client: Aws, stub: Callable[..., Stubber]) -> None:
    arn = "arn:aws:iam::123456789012:user/me"
    stub("sts").add_response("get_caller_identity", {"Account": "123456789012", "Arn": arn, "UserId": "x"})
    assert client.identity(REGION) == aws.Identity(account="123456789012", principal=arn)


def test_a_published_version_is_returned_with_its_digest(client: Aws, stub: Callable[..., Stubber]) -> None:
    stub(once=True).add_response(
        "publish_layer_version",
        {"LayerVersionArn": ARN, "Version": 3, "Description": "d", "Content": {"CodeSha256": "abc=", "CodeSize": 3}},
        {
            "LayerName": "php-84-x86_64",
            "Content": {"ZipFile": ANY},  # a mark, whose place the archive takes (see test_request_body)
            "Description": "PHP 8.4.24",
            "CompatibleRuntimes": ["provided.al2023"],
            "CompatibleArchitectures": ["x86_64"],
            "LicenseInfo": "PHP-3.01",
        },
    )
    made = publish(client)
    assert (str(made.arn), made.arn.version, made.code_sha256, made.size) == (ARN, 3, "abc=", 3)


def test_the_settings_bound_every_call(tmp_path: Path) -> None:
    settings = Settings.load(start=tmp_path, environment={"PHPLAYER_PUBLISH_TIMEOUT": "7"})
    connection = Aws.of(settings).connection
    for once in (False, True):
        config = connection.client("lambda", REGION, once=once).meta.config
        assert (config.connect_timeout, config.read_timeout) == (7, 7)
    usual = Aws().connection
    assert usual.client("lambda", REGION).meta.config.read_timeout == 60
    assert usual.client("lambda", REGION, once=True).meta.config.read_timeout == 300
    none = Settings.load(start=tmp_path, environment={"PHPLAYER_PUBLISH_TIMEOUT": "0"})
    with pytest.raises(UsageError, match=r"publish\.timeout is 0"):
        Aws.of(none)


@pytest.mark.parametrize("status", [302, 403, 404, 407])
def test_a_refusal_without_a_code_of_aws_is_not_taken_for_one(
    client: Aws, stub: Callable[..., Stubber], status: int
) -> None:
    stub().add_client_error("get_layer_version", str(status), "", status)
    with pytest.raises(AwsRefusedError, match=f"HTTP {status} without an error code of AWS") as caught:
        client.layers.version(REGION, "php-84-x86_64", 3)
    assert not isinstance(caught.value, NotFoundError)  # which would have the version published anew
    assert "--endpoint-url" in caught.value.remedy


def test_a_bucket_of_somebody_else_is_not_used(client: Aws, stub: Callable[..., Stubber]) -> None:
    stub("s3").add_client_error("head_bucket", "403", "Forbidden", 403)
    with pytest.raises(AwsRefusedError, match="belongs to another account than 123456789012") as caught:
        client.buckets.check(REGION, "layers", "123456789012")
    assert "--s3-bucket" in caught.value.remedy


def _refuse_architectures(stubber: Stubber) -> None:
    message = f"CompatibleArchitectures are not supported in {REGION}. Please remove the CompatibleArchitectures value"
    stubber.add_client_error("publish_layer_version", "InvalidParameterValueException", message, 400)


def test_a_region_that_takes_no_architectures_gets_none(client: Aws, stub: Callable[..., Stubber]) -> None:
    stubber = stub(once=True)
    _refuse_architectures(stubber)
    stubber.add_response(
        "publish_layer_version",
        {"LayerVersionArn": ARN, "Version": 3, "Content": {"CodeSha256": "abc="}},
        {
            "LayerName": "php-84-x86_64",
            "Content": {"ZipFile": ANY},
            "Description": "PHP 8.4.24",
            "CompatibleRuntimes": ["provided.al2023"],
            "LicenseInfo": "PHP-3.01",
        },
    )
    assert publish(client).arn.version == 3


def test_a_region_without_arm64_gets_no_layer_for_it(client: Aws, stub: Callable[..., Stubber]) -> None:
    _refuse_architectures(stub(once=True))
    with pytest.raises(AwsRefusedError, match="has no functions on arm64") as caught:
        publish(client, "arm64")
    assert "Leave this region out" in caught.value.remedy


def test_publishing_is_sent_once_and_reading_is_retried(client: Aws) -> None:
    publishing = client.connection.client("lambda", REGION, once=True).meta.config
    reading = client.connection.client("lambda", REGION).meta.config
    assert publishing.retries["total_max_attempts"] == 1
    assert reading.retries["total_max_attempts"] > 1
    assert publishing.connect_timeout < publishing.read_timeout < 600


def test_versions_come_from_every_page(client: Aws, stub: Callable[..., Stubber]) -> None:
    stubber = stub()
    for marker, number in (("next", 3), (None, 2)):
        version: dict[str, Any] = {"LayerVersionArn": ARN[:-1] + str(number), "Version": number, "Description": "d"}
        page: dict[str, Any] = {"LayerVersions": [version]} | ({"NextMarker": marker} if marker else {})
        stubber.add_response("list_layer_versions", page)
    assert [each.arn.version for each in client.layers.versions(REGION, "php-84-x86_64")] == [3, 2]


@pytest.mark.parametrize(
    ("code", "status", "error", "words"),
    [
        ("AccessDeniedException", 403, AwsRefusedError, "lack lambda:PublishLayerVersion in eu-west-1"),
        ("ExpiredTokenException", 403, AwsRefusedError, "expired"),
        ("UnrecognizedClientException", 403, CredentialsUnknownError, "not accepted"),
        ("InvalidSignatureException", 403, AwsRefusedError, "signature"),
        ("TooManyRequestsException", 429, ThrottledError, "throttling"),
        ("CodeStorageExceededException", 400, AwsRefusedError, "storage"),
        ("RequestEntityTooLargeException", 413, AwsRefusedError, "too large"),
        ("InvalidParameterValueException", 400, AwsRefusedError, "what AWS wrote"),
        ("ServiceException", 500, OutcomeUnknownError, "failed inside lambda:PublishLayerVersion in eu-west-1"),
    ],
)
def test_a_refusal_says_what_where_and_what_to_do(
    client: Aws, stub: Callable[..., Stubber], code: str, status: int, error: type[PhplayerError], words: str
) -> None:
    stub(once=True).add_client_error("publish_layer_version", code, "what AWS wrote", http_status_code=status)
    with pytest.raises(AwsRefusedError) as caught:
        publish(client)
    assert type(caught.value) is error
    assert words in caught.value.message
    assert caught.value.remedy
    assert "what AWS wrote" in " ".join((caught.value.message, *caught.value.details))


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"), UnreachableError),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="https://x"), UnreachableError),
        (botocore.exceptions.ProxyConnectionError(proxy_url="http://p"), UnreachableError),
        (botocore.exceptions.SSLError(endpoint_url="https://x", error=ValueError("e")), UnreachableError),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), OutcomeUnknownError),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="https://x"), OutcomeUnknownError),
        (botocore.exceptions.NoCredentialsError(), EnvironmentMissingError),
        (botocore.exceptions.PartialCredentialsError(provider="env", cred_var="X"), EnvironmentMissingError),
        (botocore.exceptions.UnauthorizedSSOTokenError(), EnvironmentMissingError),
        (botocore.exceptions.SSOTokenLoadError(error_msg="expired"), EnvironmentMissingError),
        (botocore.exceptions.CredentialRetrievalError(provider="p", error_msg="e"), EnvironmentMissingError),
        (botocore.exceptions.ConfigParseError(path="~/.aws/config"), UsageError),
        (KeyError("LayerVersionArn"), HalfAnswerError),
        (botocore.parsers.ResponseParserError("no XML"), HalfAnswerError),
        (botocore.exceptions.PaginationError(message="the same token twice"), HalfAnswerError),
    ],
)
def test_whatever_boto3_raises_becomes_one_of_our_errors(
    client: Aws, monkeypatch: pytest.MonkeyPatch, raised: Exception, error: type[PhplayerError]
) -> None:
    def fail(*_arguments: object, **_keywords: object) -> None:
        raise raised

    monkeypatch.setattr(client.connection.client("lambda", REGION, once=True), "_make_api_call", fail)
    with pytest.raises(PhplayerError) as caught:
        publish(client)
    assert type(caught.value) is error
    assert caught.value.remedy
    assert caught.value.__cause__ is raised


def test_no_credentials_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(EnvironmentMissingError, match="No AWS credentials were found") as caught:
        Aws().identity(REGION)
    assert "--profile" in caught.value.remedy


def test_half_of_the_credentials_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(EnvironmentMissingError, match=r"incomplete.*AWS_SECRET_ACCESS_KEY"):
        Aws().identity(REGION)


def test_an_unknown_profile_gets_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match="no AWS profile 'developement'") as caught:
        Aws(profile="developement")
    assert "Did you mean 'development'?" in caught.value.remedy


def test_the_profile_gives_the_default_region() -> None:
    assert Aws(profile="development").default_region == "eu-north-1"
    assert Aws().default_region == ""


@pytest.mark.parametrize("url", ["foo", "127.0.0.1:5000", "ftp://x", "http://", "http://x:99999", "http://[x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not an endpoint URL"):
        Aws(endpoint_url=url)


def test_regions_of_all_partitions_are_known_once_each() -> None:
    assert aws.check_regions(["cn-north-1", "eu-west-1", "us-gov-west-1", "eu-west-1"]) == (
        "cn-north-1",
        "eu-west-1",
        "us-gov-west-1",
    )


@pytest.mark.parametrize(("name", "meant"), [("eu-wset-1", "eu-west-1"), ("us-east1", "us-east-1"), ("moon", "")])
def test_an_unknown_region_gets_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match="Unknown region") as caught:
        aws.check_regions([name])
    assert (f"Did you mean '{meant}'?" if meant else "Such as: ") in caught.value.remedy


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "us-gov-west-1"])
def test_the_endpoints_of_every_partition_are_aws(region: str) -> None:
    assert Aws().endpoint(region) == "aws"


def test_a_vpc_endpoint_is_aws_and_a_local_one_never(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Aws(endpoint_url="https://vpce-1.lambda.eu-west-1.vpce.amazonaws.com").endpoint(REGION) == "aws"
    assert Aws(endpoint_url="http://127.0.0.1:5000/").endpoint(REGION) == "http://127.0.0.1:5000"
    assert Aws(endpoint_url="http://amazonaws.com.evil.test").endpoint(REGION) == "http://amazonaws.com.evil.test"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5001")  # boto3 obeys it, so the ledger must know
    assert Aws().endpoint(REGION) == "http://127.0.0.1:5001"


@pytest.mark.parametrize(
    ("operation", "answer", "missing"),
    [
        ("ListLayerVersions", {"LayerVersions": []}, ""),
        ("ListLayerVersions", {"LayerVersions": [{"LayerVersionArn": ARN}], "NextMarker": "2"}, ""),
        ("ListLayerVersions", {"NextMarker": "2"}, "LayerVersions[].LayerVersionArn"),
        ("ListLayerVersions", {"LayerVersions": [{"LayerVersionArn": ARN}, {}]}, "LayerVersions[].LayerVersionArn"),
        ("PublishLayerVersion", {"LayerVersionArn": ARN, "Content": {"CodeSha256": "abc="}}, ""),
        ("PublishLayerVersion", {"LayerVersionArn": ARN, "Content": {}}, "Content.CodeSha256"),
        ("PublishLayerVersion", {"LayerVersionArn": ARN}, "Content.CodeSha256"),
        ("PublishLayerVersion", {"LayerVersionArn": "arn", "Content": {"CodeSha256": "abc="}}, "LayerVersionArn"),
        ("ListFunctions", {}, "Functions[].FunctionArn"),
        ("GetLayerVersionPolicy", {"Policy": '{"Statement": []}'}, ""),
        ("GetLayerVersionPolicy", {"Policy": '{"Statement": ['}, "Policy"),
        ("DeleteLayerVersion", {}, ""),
    ],
)
def test_an_answer_that_is_not_whole_lacks_something(operation: str, answer: dict[str, Any], missing: str) -> None:
    assert answers.lacking(operation, answer) == missing
