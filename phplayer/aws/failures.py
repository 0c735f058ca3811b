"""What botocore raises, as our errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from phplayer.aws.answers import HalfAnswer
from phplayer.aws.refusals import HalfAnswerError, OutcomeUnknownError, UnreachableError, refusal
from phplayer.errors import EnvironmentMissingError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def translated(permission: str, region: str, endpoint_url: str) -> Iterator[None]:
    """Turn what botocore raises while ``permission`` is used into our errors.

    Raises:
        PhplayerError: what it means; ``OutcomeUnknownError`` when the call may have taken effect all the same.

    """
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
        raise UnreachableError(
            f"AWS cannot be reached {where}: {error}", remedy="Check the network, the proxy and --endpoint-url."
        ) from error
    except exceptions.HTTPClientError as error:  # the rest of them break off after the request was sent
        raise OutcomeUnknownError(
            f"{permission} {where} got no answer: {error}",
            remedy="Run the same command again: it looks first whether the call took effect.",
        ) from error
    except (HalfAnswer, parsers.ResponseParserError, exceptions.PaginationError, KeyError) as error:
        raise HalfAnswerError(
            f"{permission} {where} got half an answer, or one that is not AWS's.",
            remedy="Check --endpoint-url and the proxy, then run the same command again: it looks first whether the "
            "call took effect.",
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
