"""Sends PublishLayerVersion until it is clear what came of it.

Each such call makes a version, so it is sent anew only when the one before is known to have made none: AWS throttled
it, nothing was reached, or there was no answer and AWS lists no such version after a while.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import version_metadata as metadata
from phplayer.aws.layers import Details
from phplayer.aws.refusals import OutcomeUnknownError, ThrottledError, UnreachableError
from phplayer.errors import AwsRefusedError, PhplayerError
from phplayer.publishing.lookup import find_patiently
from phplayer.publishing.uploads import counter

if TYPE_CHECKING:
    import threading

    from phplayer.aws import LayerVersion, StoredObject
    from phplayer.events import Listener
    from phplayer.publishing.lookup import Client
    from phplayer.publishing.planning import Step
    from phplayer.publishing.turns import Note

ATTEMPTS = 6
"""How often the call is sent at most."""

FIRST_PAUSE = 0.5
"""Seconds before the second attempt, at most; each next one may take twice as long."""

_BASE64 = 3 / 4  # bytes of the archive in one byte of the request


@dataclass(frozen=True, kw_only=True)
class Sending:
    """What sending takes."""

    client: Client
    patience: float  # seconds until a call without an answer counts as one without effect
    stopping: threading.Event


def send(step: Step, content: Path | StoredObject, note: Note, how: Sending, tell: Listener) -> LayerVersion:
    """Publish the content and return its version.

    Raises:
        OutcomeUnknownError: after all attempts it is still not there.
        PhplayerError: it was refused, or holds other bytes than were sent.

    """
    for attempt in range(ATTEMPTS):
        note.write()
        try:
            made = _call(step, content, how, tell)
        except OutcomeUnknownError as error:
            until = time.time() + how.patience
            found = find_patiently(step, how.client, until=until, stopping=how.stopping)
            if found is not None:
                return found
            last: PhplayerError = error
        except (ThrottledError, UnreachableError) as error:  # without effect
            note.remove()
            last = error
        except PhplayerError:
            note.remove()
            raise
        else:
            return _checked(step, made, note)
        pause = FIRST_PAUSE * 2**attempt
        if attempt + 1 == ATTEMPTS or how.stopping.wait(random.uniform(pause / 2, pause)):  # noqa: S311  no secret
            break
    raise last


def _call(step: Step, content: Path | StoredObject, how: Sending, tell: Listener) -> LayerVersion:
    manifest = step.archive.manifest
    details = Details(
        layer=step.place.layer,
        description=metadata.description(manifest),
        runtimes=(manifest.lambda_runtime,),
        architectures=metadata.architectures(manifest),
        license_info=metadata.license_info(manifest),
    )
    sent = counter(step, tell, scale=_BASE64) if isinstance(content, Path) else None
    return how.client.layers.publish(step.place.region, details, content, sent=sent)


def _checked(step: Step, made: LayerVersion, note: Note) -> LayerVersion:
    if made.code_sha256 == step.archive.code_sha256:
        return made
    note.remove()
    raise AwsRefusedError(
        f"{made.arn} does not hold what was sent: CodeSha256 {made.code_sha256}, not {step.archive.code_sha256}.",
        remedy="Delete that version and publish again.",
    )
