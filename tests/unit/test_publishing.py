from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from phplayer import ledger, publishing
from phplayer.aws import Audience, Details, LayerVersion, StoredObject, read_audiences
from phplayer.aws.refusals import (
    CredentialsUnknownError,
    NotFoundError,
    OutcomeUnknownError,
    ThrottledError,
    UnreachableError,
)
from phplayer.errors import AwsRefusedError, PolicyRefusedError, PublishedInPartError, UsageError
from phplayer.events import Event, PhaseFinished
from phplayer.layer import LayerArchive, LayerArn, encode_manifest
from phplayer.ledger import Ledger
from phplayer.publishing import Happened, Result, Step, Terms, planning, sending, soundness
from tests.layers import archive, runtime_manifest, vendor_manifest

ACCOUNT = "123456789012"
REGIONS = ("eu-west-1", "us-east-1")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.001)


QUICK = Terms(patience=0.01)


@pytest.fixture
def archives(tmp_path: Path) -> tuple[LayerArchive, ...]:
    return (archive(tmp_path / "runtime.zip", runtime_manifest()), archive(tmp_path / "vendor.zip", vendor_manifest()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


def plan(archives: tuple[LayerArchive, ...], path: Path, regions: tuple[str, ...] = REGIONS) -> tuple[Step, ...]:
    return publishing.plan(archives, regions, ledger.read(path), endpoint="aws", account=ACCOUNT)


@dataclass
class FakeAws:
    """Layer versions in memory. ``before`` may raise in a region before a call takes effect, ``after`` after it."""

    before: Callable[[str], None] = lambda _region: None
    after: Callable[[str], None] = lambda _region: None
    url: str = ""
    digest: str = ""  # what it claims to hold, when not what was sent
    claims: str = ""  # what it says that every version holds
    deleted: set[tuple[str, str, int]] = field(default_factory=set)
    held: dict[tuple[str, str], list[LayerVersion]] = field(default_factory=dict)
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    audiences: set[tuple[LayerArn, Audience]] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def layers(self) -> FakeAws:
        return self

    @property
    def buckets(self) -> FakeAws:
        return self

    def check(self, region: str, bucket: str, account: str) -> None:
        self.calls.append(f"check {region} {bucket} {account}")
        if bucket not in self.objects:
            raise NotFoundError(f"There is no bucket {bucket}.", remedy="Make it.")

    def create(self, region: str, bucket: str) -> None:
        self.calls.append(f"create {region} {bucket}")
        self.objects[bucket] = {}

    def upload(
        self, region: str, path: Path, to: StoredObject, *, account: str, progress: Callable[[int], None]
    ) -> None:
        self.calls.append(f"upload {region} {to.bucket} {account}")
        self.objects[to.bucket][to.key] = path.read_bytes()
        progress(path.stat().st_size)

    def remove(self, region: str, stored: StoredObject, *, account: str) -> None:
        self.calls.append(f"remove {region} {stored.bucket} {account}")
        del self.objects[stored.bucket][stored.key]

    @property
    def layer_policies(self) -> FakeAws:
        return self

    def statements(self, region: str, layer: str, number: int) -> tuple[dict[str, Any], ...]:
        place = (region, layer, number)
        held = (audience for arn, audience in self.audiences if (arn.region, arn.name, arn.version) == place)
        return tuple({"Sid": audience.statement} for audience in held)

    def add(self, arn: LayerArn, audience: Audience) -> None:
        self.calls.append(f"share {arn.region} {audience}")
        self.audiences.add((arn, audience))

    def publish(
        self, region: str, details: Details, content: Path | StoredObject, *, sent: Callable[[int], None] | None = None
    ) -> LayerVersion:
        layer, description = details.layer, details.description
        archive = (
            self.objects[content.bucket][content.key] if isinstance(content, StoredObject) else content.read_bytes()
        )
        if sent is not None:
            sent(len(archive) * 4 // 3)
        self.before(region)
        with self.lock:
            self.calls.append(f"publish {region} {layer}")
            versions = self.held.setdefault((region, layer), [])
            version = LayerVersion(
                arn=LayerArn(partition="aws", region=region, account=ACCOUNT, name=layer, version=len(versions) + 1),
                description=description,
                code_sha256=self.digest or base64.b64encode(hashlib.sha256(archive).digest()).decode(),
                size=len(archive),
                url=self.url,
            )
            versions.append(version)
        self.after(region)
        return version

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        with self.lock:
            self.calls.append(f"list {region} {layer}")
            held = self.held.get((region, layer), ())
            versions = [each for each in held if (region, layer, each.arn.version) not in self.deleted]
        yield from reversed(versions)

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        with self.lock:
            self.calls.append(f"get {region} {layer} {number}")
            arn = LayerArn(partition="aws", region=region, account=ACCOUNT, name=layer, version=number)
            if self.claims:
                return LayerVersion(arn=arn, description="", code_sha256=self.claims)
            if (region, layer, number) in self.deleted or len(self.held.get((region, layer), ())) < number:
                raise NotFoundError(f"There is no {arn}.", remedy="Look elsewhere.")
            return self.held[region, layer][number - 1]

    def delete(self, region: str, layer: str, number: int) -> None:
        self.deleted.add((region, layer, number))

    @property
    def published(self) -> list[str]:
        return sorted(call for call in self.calls if call.startswith("publish"))


def happened(result: Result) -> list[Happened]:
    return [outcome.happened for outcome in result.outcomes]


def in_region(refused: str, error: Exception) -> Callable[[str], None]:
    def act(region: str) -> None:
        if region == refused:
            raise error

    return act


def test_the_plan_is_every_archive_in_every_region_in_order(archives: tuple[LayerArchive, ...], path: Path) -> None:
    steps = plan(archives, path)
    assert [step.title for step in steps] == [
        "eu-west-1 php-84-x86_64",
        "eu-west-1 php-vendor",
        "us-east-1 php-84-x86_64",
        "us-east-1 php-vendor",
    ]
    assert steps == plan(archives, path)


def test_the_same_vendor_layer_of_two_builds_is_one_step(tmp_path: Path, path: Path) -> None:
    twice = tuple(archive(tmp_path / name / "vendor.zip", vendor_manifest()) for name in ("a", "b"))
    assert len(plan(twice, path, ("eu-west-1",))) == 1


def test_two_different_archives_of_one_name_are_refused(tmp_path: Path, path: Path) -> None:
    differing = tuple(
        archive(tmp_path / name / "vendor.zip", vendor_manifest(architecture=name)) for name in ("x86_64", "arm64")
    )
    with pytest.raises(UsageError, match="differ, and both are named php-vendor"):
        plan(differing, path)


def test_a_manifest_with_a_name_that_lambda_refuses_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a layer"):
        plan((archive(tmp_path / "a.zip", runtime_manifest(layer="a b")),), path)


def test_an_archive_over_the_limit_is_refused_before_anything_is_sent(
    archives: tuple[LayerArchive, ...], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "DIRECT_UPLOAD_LIMIT", archives[0].size - 1)
    with pytest.raises(PolicyRefusedError, match="at most"):
        plan(archives, path)


def test_all_is_published_and_recorded(archives: tuple[LayerArchive, ...], path: Path) -> None:
    result = publishing.execute(plan(archives, path), FakeAws(), path)
    assert result.error is None
    assert happened(result) == [Happened.PUBLISHED] * 4
    recorded = ledger.read(path)
    assert sorted(entry.arn for entry in recorded.entries) == sorted(str(each.arn) for each in result.outcomes)
    assert {entry.kind for entry in recorded.entries} == {"runtime", "vendor"}


def test_unchanged_content_costs_one_call_for_each_layer_in_each_region(
    archives: tuple[LayerArchive, ...], path: Path
) -> None:
    aws = FakeAws()
    publishing.execute(plan(archives, path), aws, path)
    before = path.read_bytes()
    aws.calls.clear()
    result = publishing.execute(plan(archives, path), aws, path)
    assert happened(result) == [Happened.UNCHANGED] * 4
    assert sorted(aws.calls) == sorted(
        f"get {region} {layer} 1" for region in REGIONS for layer in ("php-84-x86_64", "php-vendor")
    )
    assert path.read_bytes() == before


def test_a_recorded_version_that_was_deleted_is_published_anew(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws()
    publishing.execute(plan(archives, path), aws, path)
    aws.delete("eu-west-1", "php-vendor", 1)
    preview = publishing.preview(plan(archives, path), aws)
    assert happened(preview).count(Happened.WOULD_PUBLISH) == 1
    assert preview.outcomes[1].remarks == ("version 1 is recorded and gone from AWS",)

    result = publishing.execute(plan(archives, path), aws, path)
    assert happened(result) == [Happened.UNCHANGED, Happened.PUBLISHED, Happened.UNCHANGED, Happened.UNCHANGED]
    assert result.outcomes[1].remarks == ("version 1 is recorded and gone from AWS",)
    versions = [entry.version for entry in ledger.read(path).entries if entry.layer == "php-vendor"]
    assert versions == [2, 1]  # in eu-west-1, in us-east-1
    assert happened(publishing.execute(plan(archives, path), aws, path)) == [Happened.UNCHANGED] * 4


def test_a_ledger_that_claims_what_a_version_does_not_hold_is_reported(
    archives: tuple[LayerArchive, ...], path: Path
) -> None:
    publishing.execute(plan(archives[:1], path), FakeAws(), path)
    result = publishing.execute(plan(archives[:1], path), FakeAws(claims="else="), path)
    assert happened(result) == [Happened.FAILED] * 2
    assert result.error is not None
    assert "does not hold" in str(result.error.details)


def test_a_clean_clone_finds_what_aws_has(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws()
    publishing.execute(plan(archives, path), aws, path)
    before = path.read_bytes()
    path.unlink()
    result = publishing.execute(plan(archives, path), aws, path)
    assert happened(result) == [Happened.FOUND] * 4
    assert len(aws.published) == 4
    assert path.read_bytes() == before


def test_the_digest_decides_and_not_the_description(tmp_path: Path, path: Path) -> None:
    aws = FakeAws()
    for content in (b"one", b"two"):  # the same build key, other bytes
        built = (archive(tmp_path / "runtime.zip", runtime_manifest(), content),)
        result = publishing.execute(plan(built, path, ("eu-west-1",)), aws, path)
        assert happened(result) == [Happened.PUBLISHED]
    assert [entry.version for entry in ledger.read(path).entries] == [1, 2]


def test_versions_of_other_builds_are_not_fetched(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws()
    other = LayerArn(partition="aws", region="eu-west-1", account=ACCOUNT, name="php-84-x86_64", version=1)
    aws.held["eu-west-1", "php-84-x86_64"] = [LayerVersion(arn=other, description="by hand")]
    publishing.execute(plan(archives[:1], path, ("eu-west-1",)), aws, path)
    assert not [call for call in aws.calls if call.startswith("get")]


def test_going_back_to_older_content_makes_its_version_current(tmp_path: Path, path: Path) -> None:
    aws = FakeAws()
    for content in (b"one", b"two", b"one"):
        built = (archive(tmp_path / "runtime.zip", runtime_manifest(), content),)
        result = publishing.execute(plan(built, path, ("eu-west-1",)), aws, path)
    assert happened(result) == [Happened.UNCHANGED]
    (current,) = ledger.read(path).current()
    assert current.version == 1


def test_a_preview_says_what_would_be_and_changes_nothing(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws()
    result = publishing.preview(plan(archives, path), aws)
    assert happened(result) == [Happened.WOULD_PUBLISH] * 4
    assert aws.published == []
    assert not path.exists()
    publishing.execute(plan(archives, path, ("eu-west-1",)), aws, path)
    before = path.read_bytes()
    assert happened(publishing.preview(plan(archives[:1], path), aws)) == [Happened.UNCHANGED, Happened.WOULD_PUBLISH]
    path.unlink()
    assert happened(publishing.preview(plan(archives[:1], path, ("eu-west-1",)), aws)) == [Happened.WOULD_RECORD]
    assert not path.exists()
    assert before


def test_a_refusing_region_does_not_stop_the_others(archives: tuple[LayerArchive, ...], path: Path) -> None:
    refusal = AwsRefusedError("These credentials lack it.", remedy="Allow it.", details=("AWS says: no",))
    aws = FakeAws(before=in_region("eu-west-1", refusal))
    result = publishing.execute(plan(archives, path), aws, path)
    assert happened(result) == [Happened.FAILED] * 2 + [Happened.PUBLISHED] * 2
    assert {entry.region for entry in ledger.read(path).entries} == {"us-east-1"}
    error = result.error
    assert isinstance(error, PublishedInPartError)
    assert error.exit_code == 8
    assert "2 of 4" in error.message
    assert "Allow it." in error.remedy
    assert "eu-west-1 php-vendor: These credentials lack it." in error.details

    aws.before = lambda _region: None
    completed = publishing.execute(plan(archives, path), aws, path)
    assert happened(completed) == [Happened.PUBLISHED] * 2 + [Happened.UNCHANGED] * 2


def test_when_all_fail_for_one_reason_it_is_that_reason(archives: tuple[LayerArchive, ...], path: Path) -> None:
    refusal = AwsRefusedError("The credentials have expired.", remedy="Sign in again.")
    aws = FakeAws(before=lambda _region: (_ for _ in ()).throw(refusal))
    result = publishing.execute(plan(archives, path), aws, path)
    assert result.error is refusal


def test_when_all_fail_for_several_reasons_each_is_told(archives: tuple[LayerArchive, ...], path: Path) -> None:
    def refuse(region: str) -> None:
        raise AwsRefusedError(f"Refused in {region}.", remedy="Ask.")

    error = publishing.execute(plan(archives, path), FakeAws(before=refuse), path).error
    assert isinstance(error, AwsRefusedError)
    assert error.exit_code == 7
    assert "us-east-1 php-vendor: Refused in us-east-1." in error.details


def test_after_an_unknown_outcome_the_version_is_looked_for(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws(after=in_region("eu-west-1", OutcomeUnknownError("no answer", remedy="again")))
    result = publishing.execute(plan(archives, path), aws, path)
    assert happened(result) == [Happened.PUBLISHED] * 4
    assert len(aws.published) == 4


def test_an_unknown_outcome_that_came_to_nothing_is_a_failure(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws(before=in_region("eu-west-1", OutcomeUnknownError("no answer", remedy="again")))
    result = publishing.execute(plan(archives[:1], path), aws, path, terms=QUICK)
    assert happened(result) == [Happened.FAILED, Happened.PUBLISHED]


def test_a_version_that_does_not_hold_what_was_sent_is_not_recorded(
    archives: tuple[LayerArchive, ...], path: Path
) -> None:
    result = publishing.execute(plan(archives, path), FakeAws(digest="else="), path)
    assert happened(result) == [Happened.FAILED] * 4
    assert ledger.read(path) == Ledger()


def test_an_archive_that_changes_meanwhile_is_not_published(archives: tuple[LayerArchive, ...], path: Path) -> None:
    steps = plan(archives[:1], path, ("eu-west-1",))
    archives[0].path.write_bytes(b"other")
    aws = FakeAws()
    result = publishing.execute(steps, aws, path)
    assert happened(result) == [Happened.FAILED]
    assert aws.published == []


def test_an_arn_that_cannot_be_recorded_is_told_and_found_again(
    archives: tuple[LayerArchive, ...], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _entry: ledger.Entry, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    aws = FakeAws()
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "record", full)
        result = publishing.execute(plan(archives[:1], path, ("eu-west-1",)), aws, path)
    error = result.outcomes[0].error
    assert error is not None
    assert "layer:php-84-x86_64:1 exists" in error.message
    again = publishing.execute(plan(archives[:1], path, ("eu-west-1",)), aws, path)
    assert happened(again) == [Happened.FOUND]
    assert len(aws.published) == 1


def test_ctrl_c_finishes_and_records_what_is_under_way(archives: tuple[LayerArchive, ...], path: Path) -> None:
    regions = tuple(f"xx-test-{number}" for number in range(publishing.CONCURRENCY + 10))
    begun = threading.Barrier(publishing.CONCURRENCY)
    terms = Terms()

    def wait(_region: str) -> None:
        begun.wait(60)
        terms.stopping.set()  # what Ctrl-C does, once as many calls as can be are under way

    aws = FakeAws(before=wait)
    result = publishing.execute(plan(archives[:1], path, regions), aws, path, terms=terms)
    assert len(aws.published) == publishing.CONCURRENCY
    assert len(ledger.read(path).entries) == publishing.CONCURRENCY
    assert len(result.not_started) == 10
    assert result.error is None


def test_each_step_is_told_with_what_came_of_it(archives: tuple[LayerArchive, ...], path: Path) -> None:
    events: list[Event] = []
    publishing.execute(plan(archives[:1], path, ("eu-west-1",)), FakeAws(), path, listen=events.append)
    (finished,) = [event for event in events if isinstance(event, PhaseFinished)]
    assert finished.subject == "eu-west-1 php-84-x86_64"
    assert finished.outcome == "published, version 1"


def test_a_large_archive_goes_through_a_bucket_and_out_of_it_again(
    archives: tuple[LayerArchive, ...], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "DIRECT_UPLOAD_LIMIT", 0)
    aws = FakeAws()
    arguments: dict[str, Any] = {"endpoint": "aws", "account": ACCOUNT, "bucket": "layers-{region}"}
    steps = publishing.plan(archives, REGIONS, ledger.read(path), **arguments)
    refused = publishing.execute(steps, aws, path)
    assert happened(refused) == [Happened.FAILED] * 4
    assert "There is no bucket layers-eu-west-1." in str(refused.outcomes[0].error)

    result = publishing.execute(steps, aws, path, terms=Terms(create_bucket=True))
    assert happened(result) == [Happened.PUBLISHED] * 4
    assert aws.objects == {"layers-eu-west-1": {}, "layers-us-east-1": {}}
    path.unlink()
    aws.held.clear()
    publishing.execute(steps, aws, path, terms=Terms(keep_upload=True))
    assert [len(held) for held in aws.objects.values()] == [2, 2]


@pytest.mark.parametrize("pattern", ["layers-{regoin}", "Layers", "ab", "layers-", "{", "{0}", "a_b"])
def test_what_cannot_name_a_bucket_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        planning.bucket_name(pattern, region="eu-west-1", account=ACCOUNT)


def test_a_version_is_shared_once(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws()
    wanted = read_audiences(["account:210987654321", "org:o-abc123", "account:210987654321"], public=True)
    steps = publishing.plan(
        archives[:1], REGIONS[:1], ledger.read(path), endpoint="aws", account=ACCOUNT, audiences=wanted
    )
    (first,) = publishing.execute(steps, aws, path).outcomes
    assert first.remarks == (
        "shared with account:210987654321",
        "shared with org:o-abc123",
        "shared with everybody",
    )
    (again,) = publishing.execute(steps, aws, path).outcomes
    assert again.remarks == tuple(f"was {remark}" for remark in first.remarks)
    assert len([call for call in aws.calls if call.startswith("share")]) == 3


@pytest.mark.parametrize("text", ["account:1234", "account:12345678901a", "org:abc", "everybody", "public", ""])
def test_a_grant_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_audiences([text])


def test_a_call_without_effect_is_sent_again(archives: tuple[LayerArchive, ...], path: Path) -> None:
    refusals = [
        ThrottledError("slow down", remedy="wait"),
        UnreachableError("no way", remedy="look"),
        OutcomeUnknownError("no answer", remedy="again"),
    ]

    def refuse(_region: str) -> None:
        if refusals:
            raise refusals.pop()

    aws = FakeAws(before=refuse)
    result = publishing.execute(plan(archives[:1], path, ("eu-west-1",)), aws, path, terms=QUICK)
    assert happened(result) == [Happened.PUBLISHED]
    assert len(aws.published) == 1


def test_what_another_publisher_recorded_meanwhile_costs_no_call(
    archives: tuple[LayerArchive, ...], path: Path
) -> None:
    steps = plan(archives, path)
    publishing.execute(steps, FakeAws(), path)
    late = FakeAws()
    assert happened(publishing.execute(steps, late, path)) == [Happened.UNCHANGED] * 4
    assert late.calls == []


def test_a_region_that_does_not_know_good_credentials_is_not_opted_into(
    archives: tuple[LayerArchive, ...], path: Path
) -> None:
    unknown = CredentialsUnknownError("not accepted", remedy="check")
    aws = FakeAws(before=in_region("us-east-1", unknown))
    result = publishing.execute(plan(archives[:1], path), aws, path, terms=Terms(home="eu-west-1"))
    error = result.outcomes[1].error
    assert error is not None
    assert "has not opted into us-east-1" in error.message
    assert "aws account enable-region --region-name us-east-1" in error.remedy


def test_a_defect_is_not_hidden(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws(before=in_region("us-east-1", ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        publishing.execute(plan(archives, path), aws, path)


class _Downloads(BaseHTTPRequestHandler):
    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_what_aws_holds_is_downloaded_and_compared(archives: tuple[LayerArchive, ...], path: Path) -> None:
    handler = type("Handler", (_Downloads,), {"content": archives[0].path.read_bytes()})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            aws = FakeAws(url=f"http://127.0.0.1:{server.server_port}/layer.zip")
            terms = Terms(verify=True)
            result = publishing.execute(plan(archives, path, ("eu-west-1",)), aws, path, terms=terms)
        finally:
            server.shutdown()
            thread.join()
    runtime, vendor = result.outcomes
    assert runtime.remarks == ("verified",)
    assert vendor.happened is Happened.FAILED
    assert "php-vendor:1 does not hold" in str(vendor.error)
    assert vendor.arn is not None  # it exists, and is recorded
    assert len(ledger.read(path).entries) == 2


def test_what_cannot_be_downloaded_is_not_verified(archives: tuple[LayerArchive, ...], path: Path) -> None:
    aws = FakeAws(url="http://127.0.0.1:1/layer.zip")
    result = publishing.execute(plan(archives[:1], path), aws, path, terms=Terms(verify=True))
    assert "could not be downloaded" in str(result.outcomes[0].error)


def test_a_zip_that_was_changed_after_it_was_built_is_refused(archives: tuple[LayerArchive, ...]) -> None:
    soundness.check(archives[0])
    with zipfile.ZipFile(archives[0].path, "a") as opened:
        opened.writestr("added", b"by hand")
    with pytest.raises(UsageError, match="was changed after it was built: added"):
        soundness.check(LayerArchive.read(archives[0].path))


def test_a_zip_that_is_not_of_the_manifest_beside_it_is_refused(archives: tuple[LayerArchive, ...]) -> None:
    beside = archives[0].path.with_name("manifest.json")
    beside.write_bytes(encode_manifest(archives[0].manifest))
    soundness.check(archives[0])
    beside.write_bytes(encode_manifest(runtime_manifest(php="8.4.23")))
    with pytest.raises(UsageError, match="is not what"):
        soundness.check(archives[0])
