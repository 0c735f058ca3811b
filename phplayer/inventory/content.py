"""Content that is to be published once more: from the archives that were built, or from AWS itself."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from phplayer import dist, version_metadata
from phplayer.aws.layers import Details
from phplayer.aws.refusals import OutcomeUnknownError, ThrottledError, UnreachableError
from phplayer.errors import AwsRefusedError, NothingSelectedError, PhplayerError
from phplayer.events import unheard
from phplayer.layer import LayerArchive
from phplayer.publishing import uploads
from phplayer.publishing.planning import Step, upload_of
from phplayer.publishing.turns import turn

if TYPE_CHECKING:
    from phplayer.aws import Aws, LayerVersion, StoredObject
    from phplayer.ledger import Entry
    from phplayer.settings import Settings

_ATTEMPTS = 5  # of a call that AWS throttles, or of a download
_PAUSE = 0.5  # seconds before the second attempt; each next one takes twice as long
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 60.0  # seconds


class Republisher:
    """Publishes the content of recorded versions again. Downloads are kept until it is closed."""

    def __init__(self, settings: Settings, aws: Aws) -> None:
        self._aws = aws
        self._bucket = settings.text("publish.bucket")
        self._patience = settings.number("publish.patience")
        self._folder = Path(tempfile.mkdtemp(prefix="phplayer-"))
        self._lock = threading.Lock()
        self._archives = {archive.code_sha256: archive for archive in _built(settings)}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove what was downloaded."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def publish(self, entry: Entry, newest: int) -> LayerVersion:
        """Make a version beyond ``newest`` that has the content of this one, or return one that is there by now.

        It keeps out of the way of other phplayer processes that publish this layer there.

        Raises:
            OutcomeUnknownError: there was no answer, and none is listed.
            PhplayerError: it was refused, or the content is nowhere to be had.

        """
        archive = self._archive(entry)
        upload = upload_of(archive, entry.place, self._bucket)
        step = Step(archive=archive, place=entry.place, recorded=None, upload=upload)
        with turn(step, threading.Event()):
            return self._found(step, newest) or self._upload_and_send(step, newest)

    def _upload_and_send(self, step: Step, newest: int) -> LayerVersion:
        if step.upload is None:
            return self._send(step, step.archive.path.read_bytes(), newest)
        with uploads.uploaded(step, step.upload, self._aws, create=False, keep=False, tell=unheard) as stored:
            return self._send(step, stored, newest)

    def _send(self, step: Step, content: bytes | StoredObject, newest: int) -> LayerVersion:
        """Send the call; anew only when it had no effect."""
        manifest = step.archive.manifest
        details = Details(
            layer=step.place.layer,
            description=version_metadata.description(manifest),
            runtimes=(manifest.lambda_runtime,),
            architectures=version_metadata.architectures(manifest),
            license_info=version_metadata.license_info(manifest),
        )
        for attempt in range(_ATTEMPTS):
            try:
                return self._aws.layers.publish(step.place.region, details, content)
            except OutcomeUnknownError:
                found = self._look(step, newest)
                if found is None:
                    raise
                return found
            except (ThrottledError, UnreachableError):
                if attempt + 1 == _ATTEMPTS:
                    raise
            time.sleep(_PAUSE * 2**attempt)
        raise AssertionError

    def _look(self, step: Step, newest: int) -> LayerVersion | None:
        """Look for what a call without an answer made; it may take a while to be listed."""
        until = time.monotonic() + self._patience
        while True:
            found = self._found(step, newest)
            if found is not None or time.monotonic() >= until:
                return found
            time.sleep(1)

    def _found(self, step: Step, newest: int) -> LayerVersion | None:
        """Return the first version beyond ``newest`` that has the content."""
        region, layer = step.place.region, step.place.layer
        numbers = [listed.arn.version for listed in self._aws.layers.versions(region, layer)]
        for number in sorted(number for number in numbers if number > newest):
            found = self._aws.layers.version(region, layer, number)
            if found.code_sha256 == step.archive.code_sha256:
                return found
        return None

    def _archive(self, entry: Entry) -> LayerArchive:
        with self._lock:  # one download for all regions
            if entry.code_sha256 not in self._archives:
                self._archives[entry.code_sha256] = self._download(entry)
            return self._archives[entry.code_sha256]

    def _download(self, entry: Entry) -> LayerArchive:
        url = self._aws.layers.version(entry.region, entry.layer, entry.version).url
        path = self._folder / f"{len(self._archives)}.zip"
        last: PhplayerError | None = None
        for _attempt in range(_ATTEMPTS):
            try:
                _fetch(url, path)
                archive = LayerArchive.read(path)
            except PhplayerError as error:
                last = error
                continue
            if archive.code_sha256 == entry.code_sha256:
                return archive
            last = AwsRefusedError(f"{entry.arn} does not hold what is recorded.", remedy="See: phplayer layers")
        raise AwsRefusedError(
            f"The content of {entry.arn} is neither built here nor to be had from AWS.",
            remedy="Build it (phplayer build), then run this again.",
            details=(last.message,) if last is not None else (),
        )


def _built(settings: Settings) -> tuple[LayerArchive, ...]:
    try:
        return dist.archives(settings)
    except NothingSelectedError:
        return ()


def _fetch(url: str, path: Path) -> None:
    import httpx

    timeout = httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT)
    try:
        with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as answer, path.open("wb") as file:
            answer.raise_for_status()
            for block in answer.iter_raw():
                file.write(block)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AwsRefusedError(f"It could not be downloaded: {error or type(error).__name__}") from error
