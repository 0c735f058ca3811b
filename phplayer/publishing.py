"""Publishes layer archives to regions and remembers every ARN.

The story: ``plan`` sets each archive against each region and the ledger, without any I/O. ``preview`` asks AWS what it
has already and says what would be done. ``execute`` does it: the steps run concurrently; each asks AWS whether the
content is there, publishes it if not, and records the ARN the moment it exists. A step that fails does not stop the
others, so that running again completes what is missing.

Content counts as published when the ledger has its CodeSha256, or when AWS has it: ListLayerVersions does not tell
the digest, so the build key in each version's description narrows the search and GetLayerVersion decides.
"""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from phplayer import ledger
from phplayer import version_metadata as metadata
from phplayer.aws_refusals import OutcomeUnknownError
from phplayer.errors import AwsRefusedError, PhplayerError, PolicyRefusedError, PublishedInPartError, UsageError
from phplayer.events import PhaseFinished, PhaseStarted, Warned, unheard
from phplayer.layer import LayerArn, LayerName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from phplayer.aws import LayerVersion
    from phplayer.events import Listener
    from phplayer.layer import LayerArchive
    from phplayer.ledger import Entry, Ledger, LedgerKey

DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
"""Bytes of a zip in the request itself: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

CONCURRENCY = 8
"""Steps at once. Each may hold its archive twice (as bytes and in base64), so this bounds memory too."""


class Happened(StrEnum):
    """What became of a step."""

    PUBLISHED = "published"
    FOUND = "found on AWS, now recorded"
    UNCHANGED = "unchanged"
    WOULD_PUBLISH = "would publish"
    WOULD_RECORD = "found on AWS, would record"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One archive in one region."""

    archive: LayerArchive
    place: LedgerKey
    recorded: Entry | None  # the same content, as the ledger has it

    @property
    def title(self) -> str:
        """``eu-central-1 php-84-x86_64``."""
        return f"{self.place.region} {self.place.layer}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one step."""

    step: Step
    happened: Happened
    arn: LayerArn | None = None
    error: PhplayerError | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of all steps, in the order of the plan."""

    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The steps that did not come to an ARN."""
        return tuple(outcome for outcome in self.outcomes if outcome.happened is Happened.FAILED)

    @property
    def error(self) -> PhplayerError | None:
        """The error that stands for all failures, or None.

        ``PublishedInPartError`` when some layers are where they should be and some are not. When none is, and all
        failed for one reason, that reason.
        """
        failures = self.failures
        if not failures:
            return None
        reasons = {outcome.error.message: outcome.error for outcome in failures if outcome.error}
        first = next(iter(reasons.values()))
        if len(failures) == len(self.outcomes):
            if len(reasons) == 1 and isinstance(first, AwsRefusedError):
                return first
            return AwsRefusedError("Nothing was published.", remedy=first.remedy, details=tuple(_details(failures)))
        return PublishedInPartError(
            f"{len(failures)} of {len(self.outcomes)} layer versions could not be published.",
            remedy=f"{first.remedy} The same command again publishes only what is missing.",
            details=tuple(_details(failures)),
        )


class Client(Protocol):
    """What publishing needs of ``aws.Aws``."""

    def publish(
        self,
        region: str,
        *,
        layer: str,
        archive: bytes,
        description: str,
        runtimes: tuple[str, ...],
        architectures: tuple[str, ...],
        license_info: str,
    ) -> LayerVersion:
        """Publish a new version."""

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        """Yield the layer's versions, newest first."""

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        """Return one version with its digest."""


# -- the plan -------------------------------------------------------------------------------------------------------


def plan(
    archives: Sequence[LayerArchive], regions: Sequence[str], recorded: Ledger, *, endpoint: str, account: str
) -> tuple[Step, ...]:
    """Set every archive against every region and the ledger.

    Raises:
        UsageError: two different archives have the same layer name, or a manifest's name is none.
        PolicyRefusedError: an archive that is not recorded everywhere is too large to be uploaded.

    """
    distinct: dict[LayerName, LayerArchive] = {}
    for archive in archives:
        name = LayerName(archive.manifest.layer)
        if distinct.setdefault(name, archive).sha256 != archive.sha256:
            raise UsageError(
                f"{distinct[name].path} and {archive.path} differ, and both are named {name}.",
                remedy="Give them different names ([layer] in phplayer.toml) and build again, or keep one of them.",
            )
    steps = []
    for region in regions:
        for name, archive in distinct.items():
            place = ledger.LedgerKey(endpoint=endpoint, account=account, region=region, layer=str(name))
            steps.append(Step(archive=archive, place=place, recorded=recorded.find(place, archive.code_sha256)))
    for step in steps:
        if step.recorded is None and step.archive.size > DIRECT_UPLOAD_LIMIT:
            raise PolicyRefusedError(
                f"{step.archive.path} has {step.archive.size / 1024**2:.1f} MiB; Lambda takes at most "
                f"{DIRECT_UPLOAD_LIMIT / 1024**2:.0f} MiB in one request.",
                remedy="Build it with fewer extensions or packages.",
            )
    return tuple(steps)


# -- its execution --------------------------------------------------------------------------------------------------


def preview(steps: Sequence[Step], client: Client, *, listen: Listener = unheard) -> Result:
    """Say what ``execute`` would do; only reads."""

    def look(step: Step) -> Outcome:
        if step.recorded is not None:
            return _outcome(step, Happened.UNCHANGED, LayerArn.parse(step.recorded.arn))
        found = _find(step, client)
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
        found, happened = _find(step, client), Happened.FOUND
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


def _find(step: Step, client: Client) -> LayerVersion | None:
    """Return the version at AWS that has this content."""
    mark, place = metadata.mark(step.archive.manifest), step.place
    for listed in client.versions(place.region, place.layer):
        if mark in listed.description:
            version = client.version(place.region, place.layer, listed.arn.version)
            if version.code_sha256 == step.archive.code_sha256:
                return version
    return None


def _publish(step: Step, client: Client) -> LayerVersion:
    manifest = step.archive.manifest
    data = step.archive.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != step.archive.sha256:
        raise UsageError(f"{step.archive.path} changed while it was being published.", remedy="Publish it again.")
    try:
        made = client.publish(
            step.place.region,
            layer=step.place.layer,
            archive=data,
            description=metadata.description(manifest),
            runtimes=(manifest.lambda_runtime,),
            architectures=metadata.architectures(manifest),
            license_info=metadata.license_info(manifest),
        )
    except OutcomeUnknownError:
        found = _find(step, client)
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


def _details(failures: Sequence[Outcome]) -> Iterator[str]:
    for outcome in failures:
        if outcome.error is not None:
            yield f"{outcome.step.title}: {outcome.error.message}"
            yield from (f"  {line}" for line in outcome.error.details)
