"""What AWS's error codes mean, in our words, with what to do next. Pure: ``failures`` hands the codes in."""

from __future__ import annotations

from phplayer.errors import AwsRefusedError, EnvironmentMissingError


class OutcomeUnknownError(AwsRefusedError):
    """The call may or may not have taken effect: no answer arrived, or AWS failed inside."""


class HalfAnswerError(OutcomeUnknownError):
    """The answer was cut off, or is not AWS's at all."""


class UnreachableError(EnvironmentMissingError):
    """Nothing listens there, or the way is barred: the call was not sent."""


class ThrottledError(AwsRefusedError):
    """Too many calls; this one had no effect."""


class CredentialsUnknownError(AwsRefusedError):
    """The credentials are not known there: wrong ones, or a region that the account has not opted into."""


class ConflictError(AwsRefusedError):
    """What is to be made exists already."""


class ArchitecturesRefusedError(AwsRefusedError):
    """The region has functions on x86_64 only, and takes no layer that names architectures."""


class ElsewhereError(AwsRefusedError):
    """The bucket exists in another region."""


class NotFoundError(AwsRefusedError):
    """What is asked for does not exist."""


_AGAIN = "then run the same command again: what is published already is not published twice."
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException"}
_REFUSALS: dict[str, tuple[str, str]] = {
    "expired": ("The AWS credentials have expired", f"Sign in again (for SSO: aws sso login), {_AGAIN}"),
    "unknown": (
        "These credentials are not accepted",
        "Check the access key. If it works elsewhere, the account has not opted into this region: enable or omit it.",
    ),
    "signature": (
        "The request's signature is not accepted",
        "Check the secret access key, and this machine's clock (a skew over 5 minutes is refused).",
    ),
    "clock": (
        "This machine's clock is off, so AWS refuses its signature",
        "Set the clock (a skew over 5 minutes is refused): timedatectl set-ntp true",
    ),
    "throttled": ("AWS is throttling these calls", f"Wait a minute, {_AGAIN}"),
    "storage": (
        "The account's storage for functions and layers is full",
        "Delete old layer versions (phplayer layers prune), or ask AWS for a higher quota, and run again.",
    ),
    "architectures": ("The region has no functions on arm64", "Leave this region out for arm64."),
    "size": ("AWS finds the archive too large", "Build with fewer extensions or packages, or pass --s3-bucket."),
    "bucket": ("There is no such bucket", "Pass --create-bucket, or name an existing one with --s3-bucket."),
    "elsewhere": (
        "The bucket is in another region",
        "A layer's bucket must be in its own region: --s3-bucket 'layers-{account}-{region}'",
    ),
    "taken": ("The bucket's name belongs to another account", "Choose another name: --s3-bucket 'NAME-{account}'"),
    "foreign": ("This is not an endpoint of that service", "Check --endpoint-url and AWS_ENDPOINT_URL."),
}
_KINDS = {
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "TokenRefreshRequired": "expired",
    "RequestExpired": "clock",
    "RequestTimeTooSkewed": "clock",
    "InvalidClientTokenId": "unknown",
    "UnrecognizedClientException": "unknown",
    "InvalidAccessKeyId": "unknown",
    "InvalidToken": "unknown",
    "AuthFailure": "unknown",
    "OptInRequired": "unknown",
    "RegionDisabledException": "unknown",
    "SignatureDoesNotMatch": "signature",
    "InvalidSignatureException": "signature",
    "IncompleteSignature": "signature",
    "Throttling": "throttled",
    "ThrottlingException": "throttled",
    "TooManyRequestsException": "throttled",
    "RequestLimitExceeded": "throttled",
    "SlowDown": "throttled",
    "CodeStorageExceededException": "storage",
    "RequestEntityTooLargeException": "size",
    "RequestTooLargeException": "size",
    "413": "size",
    "NoSuchBucket": "bucket",
    "PermanentRedirect": "elsewhere",
    "AuthorizationHeaderMalformed": "elsewhere",
    "IllegalLocationConstraintException": "elsewhere",
    "BucketAlreadyExists": "taken",
    "UnknownOperationException": "foreign",
}
_NO_ARCHITECTURES = "CompatibleArchitectures are not supported"
_CLASSES: dict[str, type[AwsRefusedError]] = {
    "architectures": ArchitecturesRefusedError,
    "throttled": ThrottledError,
    "unknown": CredentialsUnknownError,
}
_WITHOUT_CODES = "s3:"  # S3's answers to HEAD have no body, so no code
_MISSING, _CONFLICT, _THROTTLED = 404, 409, 429
_SERVER_ERROR = 500  # and above: whether the call took effect is not said


def refusal(code: str, message: str, *, status: int, permission: str, where: str) -> AwsRefusedError:
    """Say what AWS's error code means for a call that needs ``permission``. Its own words go into the details."""
    told = ": ".join(part for part in (code, message) if part)
    details = (f"AWS says: {told}",) if told else ()
    if code in _DENIED:
        if "explicit deny" in message:
            return AwsRefusedError(
                f"A policy forbids {permission} {where} by an explicit deny.",
                remedy="Ask who keeps that policy (a service control policy, a permissions boundary), or use "
                "another region or --profile.",
                details=details,
            )
        return AwsRefusedError(
            f"These credentials lack {permission} {where}.",
            remedy=f"Allow {permission} to the principal, or use another one with --profile.",
            details=details,
        )
    kind = _kind(code, message, status)
    if kind:
        sentence, remedy = _REFUSALS[kind]
        made = _CLASSES.get(kind, AwsRefusedError)
        return made(f"{sentence} ({permission} {where}).", remedy=remedy, details=details)
    if status >= _SERVER_ERROR:
        return OutcomeUnknownError(
            f"AWS failed inside {permission} {where}.",
            remedy="Run the same command again: it looks first whether the call took effect.",
            details=details,
        )
    if code in {"", str(status)} and not permission.startswith(_WITHOUT_CODES):
        return AwsRefusedError(
            f"{permission} {where} was refused by something else than AWS: HTTP {status} without an error code of AWS.",
            remedy="Check --endpoint-url, AWS_ENDPOINT_URL and the proxy.",
        )
    plain = {_MISSING: NotFoundError, _CONFLICT: ConflictError}.get(status, AwsRefusedError)
    return plain(f"AWS refused {permission} {where}: {message or code}", remedy="Correct what AWS names and run again.")


def _kind(code: str, message: str, status: int) -> str:
    kind = _KINDS.get(code, "")
    if kind == "signature" and ("Signature expired" in message or "not yet current" in message):
        return "clock"
    if code == "InvalidParameterValueException" and message.startswith(_NO_ARCHITECTURES):
        return "architectures"
    return kind or ("throttled" if status == _THROTTLED else "")
