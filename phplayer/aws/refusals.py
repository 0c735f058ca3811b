"""What AWS's error codes mean, in our words, with what to do next. Pure: ``failures`` hands the codes in."""

from __future__ import annotations

from phplayer.errors import AwsRefusedError


class OutcomeUnknownError(AwsRefusedError):
    """The call may or may not have taken effect: no answer arrived, or AWS failed inside."""


_AGAIN = "then run the same command again: what is published already is not published twice."
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
    "throttled": ("AWS is throttling these calls", f"Wait a minute, {_AGAIN}"),
    "storage": (
        "The account's storage for functions and layers is full",
        "Delete old layer versions, or ask AWS for a higher quota, and run again.",
    ),
    "size": ("AWS finds the archive too large", "Build with fewer extensions or packages."),
}
_KINDS = {
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "RequestExpired": "signature",
    "InvalidClientTokenId": "unknown",
    "UnrecognizedClientException": "unknown",
    "InvalidAccessKeyId": "unknown",
    "AuthFailure": "unknown",
    "OptInRequired": "unknown",
    "SignatureDoesNotMatch": "signature",
    "InvalidSignatureException": "signature",
    "IncompleteSignature": "signature",
    "Throttling": "throttled",
    "ThrottlingException": "throttled",
    "TooManyRequestsException": "throttled",
    "CodeStorageExceededException": "storage",
    "RequestEntityTooLargeException": "size",
    "RequestTooLargeException": "size",
}
_SERVER_ERROR = 500  # and above: whether the call took effect is not said


def refusal(code: str, message: str, *, status: int, permission: str, where: str) -> AwsRefusedError:
    """Say what AWS's error code means for a call that needs ``permission``. Its own words go into the details."""
    details = (f"AWS says: {code}: {message}",)
    if code in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}:
        return AwsRefusedError(
            f"These credentials lack {permission} {where}.",
            remedy=f"Allow {permission} to the principal, or use another one with --profile.",
            details=details,
        )
    if code in _KINDS:
        sentence, remedy = _REFUSALS[_KINDS[code]]
        return AwsRefusedError(f"{sentence} ({permission} {where}).", remedy=remedy, details=details)
    if status >= _SERVER_ERROR:
        return OutcomeUnknownError(
            f"AWS failed inside {permission} {where}.",
            remedy="Run the same command again: it looks first whether the call took effect.",
            details=details,
        )
    return AwsRefusedError(
        f"AWS refused {permission} {where}: {message or code}", remedy="Correct what AWS names and run again."
    )
