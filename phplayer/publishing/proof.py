"""Proves that AWS holds what was built: that a recorded version still exists, or byte for byte what it has."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from phplayer.aws.refusals import NotFoundError
from phplayer.errors import AwsRefusedError

if TYPE_CHECKING:
    from phplayer.layer import LayerArn
    from phplayer.publishing.lookup import Client
    from phplayer.publishing.planning import Step

_ATTEMPTS = 3
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 60.0  # seconds


def prove(step: Step, arn: LayerArn, client: Client) -> None:
    """Download the version and compare it with the archive, byte for byte by way of SHA-256.

    Raises:
        AwsRefusedError: it holds something else, or cannot be downloaded.
        PhplayerError: AWS refused to tell where it is.

    """
    held = client.layers.version(arn.region, arn.name, arn.version)
    for claimed in (held.code_sha256, _download(held.url, arn)):
        _compare(step, arn, claimed)


def is_there(step: Step, arn: LayerArn, client: Client) -> bool:
    """Tell whether a version that is recorded still exists: somebody may have deleted it.

    Raises:
        AwsRefusedError: it holds something else than the ledger says.
        PhplayerError: AWS refused to tell.

    """
    try:
        held = client.layers.version(arn.region, arn.name, arn.version)
    except NotFoundError:
        return False
    _compare(step, arn, held.code_sha256)
    return True


def _compare(step: Step, arn: LayerArn, claimed: str) -> None:
    if claimed != step.archive.code_sha256:
        raise AwsRefusedError(
            f"{arn} does not hold {step.archive.path}: CodeSha256 {claimed}, not {step.archive.code_sha256}.",
            remedy="Do not use that version: delete it and publish again.",
        )


def _download(url: str, arn: LayerArn) -> str:
    """Return the digest of what is there, as Lambda writes it; nothing is kept."""
    import httpx

    for attempt in range(_ATTEMPTS):
        digest = hashlib.sha256()
        try:
            timeout = httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT)
            with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as answer:
                answer.raise_for_status()
                for block in answer.iter_raw():
                    digest.update(block)
            return base64.b64encode(digest.digest()).decode()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if attempt + 1 == _ATTEMPTS:
                raise AwsRefusedError(
                    f"{arn} is published, but could not be downloaded to verify it: {error or type(error).__name__}",
                    remedy="Publish again with --verify to check it again, or with --no-verify.",
                ) from error
    raise AssertionError
