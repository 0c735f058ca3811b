"""Carries the plan out, or previews it."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from phplayer import ledger
from phplayer.errors import PhplayerError, UsageError
from phplayer.events import unheard
from phplayer.layer import LayerArn
from phplayer.publishing import running, uploads
from phplayer.publishing.lookup import find, find_patiently
from phplayer.publishing.outcome import Happened, Outcome, Result
from phplayer.publishing.planning import upload_of
from phplayer.publishing.proof import is_there, prove
from phplayer.publishing.sending import Sending, send
from phplayer.publishing.sharing import share
from phplayer.publishing.turns import Note, turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from phplayer.aws import LayerVersion
    from phplayer.events import Listener
    from phplayer.publishing.lookup import Client
    from phplayer.publishing.planning import Step

PATIENCE = 20.0
"""Seconds until a call without an answer counts as one without effect, when AWS lists no version by then."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a plan is carried out."""

    home: str = ""  # a region in which the credentials are known to be good
    create_bucket: bool = False
    keep_upload: bool = False
    patience: float = PATIENCE
    verify: bool = False  # download what AWS has and compare it
    stopping: threading.Event = field(default_factory=threading.Event, compare=False)  # set by Ctrl-C


def preview(steps: Sequence[Step], client: Client, *, terms: Terms | None = None, listen: Listener = unheard) -> Result:
    """Say what ``execute`` would do; only reads."""
    terms = terms or Terms()

    def look(step: Step, _tell: Listener) -> Outcome:
        sharing = tuple(f"would share with {audience}" for audience in step.audiences)
        remarks = sharing
        if step.recorded is not None:
            arn = LayerArn.parse(step.recorded.arn)
            if is_there(step, arn, client):
                remarks = ("recorded in the ledger", *sharing)
                return Outcome(step=step, happened=Happened.UNCHANGED, arn=arn, remarks=remarks)
            remarks = (_gone(arn), *sharing)
        found = find(step, client)
        if found is not None:
            return Outcome(step=step, happened=Happened.WOULD_RECORD, arn=found.arn, remarks=remarks)
        if step.upload is not None:
            exists = uploads.bucket_exists(step, step.upload, client, create=terms.create_bucket)
            new = "" if exists else " (would be made)"
            remarks = (f"through s3://{step.upload.bucket}{new}", *remarks)
        return Outcome(step=step, happened=Happened.WOULD_PUBLISH, remarks=remarks)

    return running.run(steps, look, home=terms.home, stopping=terms.stopping, listen=listen)


def execute(
    steps: Sequence[Step],
    client: Client,
    ledger_path: Path,
    *,
    terms: Terms | None = None,
    listen: Listener = unheard,
) -> Result:
    """Publish what is missing and record every ARN; failures are in the result.

    Once ``terms.stopping`` is set, calls that are under way are finished and recorded and the rest is not begun.
    """
    terms = terms or Terms()
    execution = _Execution(client=client, ledger_path=ledger_path, terms=terms)
    return running.run(steps, execution.carry_out, home=terms.home, stopping=terms.stopping, listen=listen)


@dataclass(frozen=True, kw_only=True)
class _Execution:
    client: Client
    ledger_path: Path
    terms: Terms

    def carry_out(self, step: Step, tell: Listener) -> Outcome:
        begun = time.monotonic()
        settled = self._settle(step, tell)
        try:
            remarks = (*settled.remarks, *self._afterwards(step, settled.arn))
        except PhplayerError as error:  # it is published and recorded all the same
            settled = replace(settled, happened=Happened.FAILED, error=error)
            remarks = settled.remarks
        return replace(settled, remarks=remarks, seconds=time.monotonic() - begun)

    def _afterwards(self, step: Step, arn: LayerArn | None) -> Iterator[str]:
        """Verify, then share: nobody gets what is not what it should be."""
        if arn is None:
            return
        if self.terms.verify:
            prove(step, arn, self.client)
            yield "verified"
        yield from share(arn, step.audiences, self.client)

    def _settle(self, step: Step, tell: Listener) -> Outcome:
        """Come to the ARN of the version that has this content."""
        gone = None
        if step.recorded is not None:
            arn = LayerArn.parse(step.recorded.arn)
            if is_there(step, arn, self.client):
                return self._recorded(step, step.recorded)
            gone = arn
            if step.upload is None:
                upload_of(step.archive, step.place, "")  # not asked for a bucket when it was planned
        with turn(step, self.terms.stopping) as mine:
            if not mine:
                return Outcome(step=step, happened=Happened.NOT_STARTED)
            meanwhile = ledger.read(self.ledger_path).find(step.place, step.archive.code_sha256)
            # By another publisher, since the plan was made.
            if meanwhile is not None and (gone is None or meanwhile.version != gone.version):
                return self._recorded(step, meanwhile)
            note, happened = Note(step), Happened.FOUND
            since = note.since()
            until = 0.0 if since is None else since + self.terms.patience
            found = find_patiently(step, self.client, until=until, stopping=self.terms.stopping)
            remarks: tuple[str, ...] = () if gone is None else (_gone(gone),)
            if found is None:
                if self.terms.stopping.is_set():
                    return Outcome(step=step, happened=Happened.NOT_STARTED)
                found, happened = self._publish(step, note, tell), Happened.PUBLISHED
                remarks = (f"through {step.upload.bucket}", *remarks) if step.upload is not None else remarks
            self._record(step, found.arn, gone=gone)
            note.remove()
        return Outcome(step=step, happened=happened, arn=found.arn, remarks=remarks)

    def _recorded(self, step: Step, entry: ledger.Entry) -> Outcome:
        arn = LayerArn.parse(entry.arn)
        if not entry.current:
            self._record(step, arn)
        return Outcome(step=step, happened=Happened.UNCHANGED, arn=arn)

    def _publish(self, step: Step, note: Note, tell: Listener) -> LayerVersion:
        terms = self.terms
        how = Sending(client=self.client, patience=terms.patience, stopping=terms.stopping)
        with step.archive.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != step.archive.sha256:
            raise UsageError(f"{step.archive.path} changed while it was being published.", remedy="Publish it again.")
        if step.upload is None:
            return send(step, step.archive.path, note, how, tell)
        with uploads.uploaded(
            step, step.upload, self.client, create=terms.create_bucket, keep=terms.keep_upload, tell=tell
        ) as stored:
            return send(step, stored, note, how, tell)

    def _record(self, step: Step, arn: LayerArn, *, gone: LayerArn | None = None) -> None:
        manifest = step.archive.manifest
        entry = ledger.Entry(
            endpoint=step.place.endpoint,
            account=step.place.account,
            region=step.place.region,
            layer=step.place.layer,
            version=arn.version,
            arn=str(arn),
            kind=step.archive.kind,
            php=manifest.php,
            architecture=manifest.architecture,
            lambda_runtime=manifest.lambda_runtime,
            key=manifest.key,
            code_sha256=step.archive.code_sha256,
            size=step.archive.size,
        )
        try:
            ledger.record(self.ledger_path, entry, gone=None if gone is None else gone.version)
        except OSError as error:
            raise UsageError(
                f"{arn} exists, but {self.ledger_path} cannot be written: {error.strerror or error}.",
                remedy="Make room or correct its permissions, then publish again: the version is found and recorded.",
            ) from error


def _gone(arn: LayerArn) -> str:
    return f"version {arn.version} is recorded and gone from AWS"
