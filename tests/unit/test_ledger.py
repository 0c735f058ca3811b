from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from phplayer import cache, ledger
from phplayer.errors import UsageError
from phplayer.ledger import Entry, Ledger


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder / "phplayer.lock.json"


def entry(
    *, region: str = "eu-west-1", layer: str = "php-84-x86_64", version: int = 1, code: str = "a", endpoint: str = "aws"
) -> Entry:
    return Entry(
        endpoint=endpoint,
        account="123456789012",
        region=region,
        layer=layer,
        version=version,
        arn=f"arn:aws:lambda:{region}:123456789012:layer:{layer}:{version}",
        kind="runtime",
        php="8.4.24",
        architecture="x86_64",
        lambda_runtime="provided.al2023",
        key="k",
        code_sha256=code,
        size=1,
    )


def test_a_file_that_does_not_exist_is_an_empty_ledger(path: Path) -> None:
    assert ledger.read(path) == Ledger()
    assert not path.exists()


def test_what_is_recorded_is_read_again(path: Path) -> None:
    ledger.record(path, entry())
    assert ledger.read(path).entries == (msgspec.structs.replace(entry(), current=True),)


def test_the_checkout_holds_the_ledger_and_nothing_else(path: Path) -> None:
    ledger.record(path, entry())
    assert [each.name for each in path.parent.iterdir()] == ["phplayer.lock.json"]


def test_the_file_is_the_same_in_whatever_order_it_was_filled(path: Path) -> None:
    entries = [entry(region=region, layer=layer) for region in ("eu-west-1", "us-east-1") for layer in ("a", "b")]
    for each in entries:
        ledger.record(path, each)
    forwards = path.read_bytes()
    path.unlink()
    for each in reversed(entries):
        ledger.record(path, each)
    assert path.read_bytes() == forwards
    assert forwards.endswith(b"}\n")


def test_recording_the_same_again_does_not_touch_the_file(path: Path) -> None:
    ledger.record(path, entry())
    before = path.stat()
    ledger.record(path, entry())
    assert path.stat().st_ino == before.st_ino


def test_the_current_version_is_the_one_recorded_last(path: Path) -> None:
    ledger.record(path, entry(version=1, code="old"))
    ledger.record(path, entry(version=2, code="new"))
    ledger.record(path, entry(version=1, code="old"))  # the project went back to what version 1 holds
    (current,) = ledger.read(path).current()
    assert current.version == 1
    assert [each.version for each in ledger.read(path).entries] == [1, 2]


def test_after_a_merge_that_marks_two_the_higher_version_is_current() -> None:
    both = tuple(msgspec.structs.replace(entry(version=version), current=True) for version in (1, 2))
    (current,) = Ledger(entries=both).current()
    assert current.version == 2


def test_content_is_found_only_where_it_was_published(path: Path) -> None:
    ledger.record(path, entry())
    place = entry().place
    assert ledger.read(path).find(place, "a") is not None
    assert ledger.read(path).find(place, "b") is None
    assert ledger.read(path).find(entry(endpoint="http://127.0.0.1:5000").place, "a") is None
    assert ledger.read(path).find(entry(region="us-east-1").place, "a") is None


@pytest.mark.parametrize("cut", [1, 10, 100, -3])
def test_half_a_ledger_is_refused_and_left_alone(path: Path, cut: int) -> None:
    ledger.record(path, entry())
    path.write_bytes(path.read_bytes()[:cut])
    half = path.read_bytes()
    with pytest.raises(UsageError, match="is damaged"):
        ledger.read(path)
    with pytest.raises(UsageError, match="is damaged"):
        ledger.record(path, entry(region="us-east-1"))
    assert path.read_bytes() == half


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema_version": 1, "layers": [{}]}', '{"schema_version": "1"}', "\x00"]
)
def test_another_shape_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match="is damaged"):
        ledger.read(path)


def test_a_merge_conflict_is_called_one(path: Path) -> None:
    path.write_text('{\n<<<<<<< HEAD\n"schema_version": 1\n')
    with pytest.raises(UsageError) as caught:
        ledger.read(path)
    assert "phplayer ledger merge" in caught.value.remedy


def test_a_newer_schema_is_refused_whatever_else_it_holds(path: Path) -> None:
    path.write_text(json.dumps({"schema_version": 2, "layers": {"of": "another shape"}}))
    with pytest.raises(UsageError, match="newer phplayer") as caught:
        ledger.read(path)
    assert "Upgrade" in caught.value.remedy


def test_a_missing_folder_is_told_before_anything_is_published(path: Path) -> None:
    with pytest.raises(UsageError, match="folder does not exist"):
        ledger.read(path.parent / "missing" / "ledger.json")


def test_a_folder_that_vanished_is_told_when_something_is_recorded(path: Path) -> None:
    path.parent.rmdir()
    with pytest.raises(UsageError, match="its folder does not exist"):
        ledger.record(path, entry())


def test_a_folder_is_no_ledger(path: Path) -> None:
    path.mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        ledger.read(path)


def test_a_failed_write_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.record(path, entry())
    before = path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        ledger.record(path, entry(region="us-east-1"))
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    path.symlink_to(real)
    ledger.record(path, entry())
    assert path.is_symlink()
    assert ledger.read(real).entries


def _record_many(path: Path, region: str, count: int) -> None:
    os.environ["PHPLAYER_CACHE"] = str(path.parent.with_name(f"cache-{region}"))  # as in containers: one for each
    for number in range(count):
        ledger.record(path, entry(region=region, layer=f"layer-{number}"))


def test_processes_that_record_at_once_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    regions, count = ("eu-west-1", "us-east-1", "sa-east-1"), 8
    writers = [context.Process(target=_record_many, args=(path, region, count)) for region in regions]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(ledger.read(path).entries) == len(regions) * count


def test_a_file_system_that_locks_no_folders_is_locked_in_the_cache(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        locked.append(name)
        yield

    locked: list[str] = []
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(cache, "lock", lock)
    ledger.record(path, entry())
    assert len(locked) == 1
    assert ledger.read(path).entries


def test_where_nothing_can_be_written_that_is_told_before_anything_is_published(path: Path) -> None:
    ledger.check_writable(path)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(UsageError, match="cannot be written") as caught:
        ledger.check_writable(Path("/proc/phplayer.lock.json"))
    assert "--ledger" in caught.value.remedy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arn", "arn:aws:lambda:eu-west-1:123456789012:layer:php:1; rm -rf"),
        ("arn", "arn:aws:lambda:eu-west-1:123456789012:layer:php:1\n"),
        ("arn", "${file(x)}"),
        ("layer", "php $(id)"),
        ("region", "eu west"),
        ("account", "12345"),
        ("kind", "other"),
        ("php", "8.4 #"),
        ("architecture", "x86: 64"),
        ("lambda_runtime", "provided #"),
    ],
)
def test_what_would_mean_more_in_a_script_or_template_is_refused(tmp_path: Path, field: str, value: str) -> None:
    path = tmp_path / "phplayer.lock.json"
    path.write_bytes(ledger.encode(Ledger(entries=(msgspec.structs.replace(entry(), **{field: value}),))))
    with pytest.raises(UsageError, match="is damaged") as caught:
        ledger.read(path)
    assert f"$.layers[0].{field}" in caught.value.message
