"""Carries the plan out, or previews it."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from phplayer import ledger
from phplayer import version_metadata as metadata
from phplayer.aws.refusals import OutcomeUnknownError
from phplayer.errors import AwsRefusedError, PhplayerError, UsageError
from phplayer.events import PhaseFinished, PhaseStarted, Warned, unheard
from phplayer.layer import LayerArn
from phplayer.publishing.lookup import find
from phplayer.publishing.outcome import Happened, Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from phplayer.aws import LayerVersion
    from phplayer.events import Listener
    from phplayer.ledger import LedgerKey
    from phplayer.publishing.lookup import Client
    from phplayer.publishing.planning import Step

CONCURRENCY = 8
"""Steps at once. Each may hold its archive twice (as bytes and in base64), so this bounds memory too."""


def preview(steps: Sequence[Step], client: Client, *, listen: Listener = unheard) -> Result:
    """Say what ``execute`` would do; only reads."""

    def look(step: Step) -> Outcome:
        if step.recorded is not None:
            return _outcome(step, Happened.UNCHANGED, LayerArn.parse(step.recorded.arn))
        found = find(step, client)
        if found is not None:
            return _outcome(step, Happened.WOULD_RECORD, found.arn)
        return _outcome(step, Happened.WOULD_PUBLISH, None)

    return _run(steps, look, listen)


def execute(steps: Sequence[Step], client: Client, ledger_path: Path, *, listen: Listener = unheard) -> Result:
    """Publish what is missing and record every ARN; failures are in the result.

    On Ctrl-C the calls that are under way are finished and recorded, the others are not begun.
    """

    def carry_out(step: Step) -> Outcome:
        if step.recorded is not None:
            if not step.recorded.current:
                _record(step, LayerArn.parse(step.recorded.arn), ledger_path)
            return _outcome(step, Happened.UNCHANGED, LayerArn.parse(step.recorded.arn))
        found, happened = find(step, client), Happened.FOUND
        if found is None:
            found, happened = _publish(step, client), Happened.PUBLISHED
        _record(step, found.arn, ledger_path)
        return _outcome(step, happened, found.arn)

    return _run(steps, carry_out, listen)


def _run(steps: Sequence[Step], work: Callable[[Step], Outcome], listen: Listener) -> Result:
    """Run the steps concurrently. Only this thread tells the listener anything."""
    stopping = threading.Event()

    def guarded(step: Step) -> Outcome:
        if stopping.is_set():
            return _outcome(step, Happened.NOT_STARTED, None)
        begun = time.monotonic()
        try:
            outcome = work(step)
        except PhplayerError as error:
            return Outcome(step=step, happened=Happened.FAILED, error=error, seconds=time.monotonic() - begun)
        return Outcome(step=step, happened=outcome.happened, arn=outcome.arn, seconds=time.monotonic() - begun)

    done: dict[LedgerKey, Outcome] = {}
    with ThreadPoolExecutor(max_workers=CONCURRENCY, thread_name_prefix="publish") as pool:
        try:
            futures = []
            for step in steps:
                futures.append(pool.submit(guarded, step))
                listen(PhaseStarted(subject=step.place.region, phase=step.place.layer))
            for future in as_completed(futures):
                outcome = future.result()
                done[outcome.step.place] = outcome
                _tell(outcome, listen)
        except BaseException:  # Ctrl-C, or a defect: what AWS has begun is finished and recorded
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            listen(Warned(message="Stopping: calls that are under way are finished and recorded."))
            raise
    return Result(outcomes=tuple(done[step.place] for step in steps))


def _tell(outcome: Outcome, listen: Listener) -> None:
    place = outcome.step.place
    version = f", version {outcome.arn.version}" if outcome.arn is not None else ""
    told = f"failed: {outcome.error.message}" if outcome.error is not None else f"{outcome.happened}{version}"
    listen(PhaseFinished(subject=place.region, phase=place.layer, seconds=outcome.seconds, outcome=told))


def _publish(step: Step, client: Client) -> LayerVersion:
    manifest = step.archive.manifest
    data = step.archive.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != step.archive.sha256:
        raise UsageError(f"{step.archive.path} changed while it was being published.", remedy="Publish it again.")
    try:
        made = client.layers.publish(
            step.place.region,
            layer=step.place.layer,
            archive=data,
            description=metadata.description(manifest),
            runtimes=(manifest.lambda_runtime,),
            architectures=metadata.architectures(manifest),
            license_info=metadata.license_info(manifest),
        )
    except OutcomeUnknownError:
        found = find(step, client)
        if found is None:
            raise
        return found
    if made.code_sha256 != step.archive.code_sha256:
        raise AwsRefusedError(
            f"{made.arn} does not hold what was sent: CodeSha256 {made.code_sha256}, not {step.archive.code_sha256}.",
            remedy="Delete that version and publish again.",
        )
    return made


def _record(step: Step, arn: LayerArn, ledger_path: Path) -> None:
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
        ledger.record(ledger_path, entry)
    except OSError as error:
        raise UsageError(
            f"{arn} exists, but {ledger_path} cannot be written: {error.strerror or error}.",
            remedy="Make room or correct its permissions, then publish again: the version is found and recorded.",
        ) from error


def _outcome(step: Step, happened: Happened, arn: LayerArn | None) -> Outcome:
    return Outcome(step=step, happened=happened, arn=arn)
