"""Downloads the content of a published layer version, which must be what Lambda says it is."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from phplayer.errors import AwsRefusedError, EnvironmentMissingError

if TYPE_CHECKING:
    from pathlib import Path

    from phplayer.aws import LayerContent

_ATTEMPTS = 4
_TIMEOUT = 60.0  # seconds without a byte


def download(content: LayerContent, into: Path, *, name: str) -> None:
    """Write the zip of a layer version to a file.

    Raises:
        EnvironmentMissingError: the network does not give it.
        AwsRefusedError: what came is not what Lambda says the layer holds.

    """
    import httpx

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            digest = _stream(content, into)
            break
        except httpx.TransportError as error:
            if attempt == _ATTEMPTS:
                raise EnvironmentMissingError(
                    f"The content of {name} could not be downloaded: {error}.", remedy="Check the network; try again."
                ) from error
        except httpx.HTTPStatusError as error:
            raise AwsRefusedError(
                f"The content of {name} could not be downloaded: HTTP {error.response.status_code}.",
                remedy="Try again: the address that AWS gives holds for ten minutes.",
            ) from error
    if digest != content.code_sha256:
        raise AwsRefusedError(
            f"What was downloaded is not {name}: its CodeSha256 is {digest}, not {content.code_sha256}.",
            remedy="Try again; where it repeats, something between here and AWS changes downloads.",
        )


def _stream(content: LayerContent, into: Path) -> str:
    """Write what the address gives, and no more than the layer's size; return the digest in Lambda's form."""
    import httpx

    digest, left = hashlib.sha256(), content.size
    with httpx.stream("GET", content.url, timeout=_TIMEOUT, follow_redirects=True) as answer, into.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            left -= len(chunk)
            if left < 0:
                break  # the digest will tell
            digest.update(chunk)
            file.write(chunk)
    return base64.b64encode(digest.digest()).decode()
