"""Content that is published again: downloaded when it is not built here, sent anew only when a call had no effect."""

from __future__ import annotations

import contextlib
import functools
import http.server
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from phplayer.aws import Aws, LayerVersion
from phplayer.aws.refusals import OutcomeUnknownError, ThrottledError
from phplayer.errors import AwsRefusedError, PhplayerError
from phplayer.inventory import content
from phplayer.inventory.content import Republisher
from phplayer.layer import LayerArchive, LayerArn
from phplayer.ledger import Entry
from phplayer.settings import Settings
from tests.layers import archive, runtime_manifest
from tests.ledger_entries import entry
from tests.serving import serving


@dataclass
class FakeLayers:
    """Versions in memory. ``errors`` are raised by the first calls to publish; those that took effect name a number."""

    url: str = ""
    digest: str = ""
    numbers: list[int] = field(default_factory=lambda: [1])
    errors: list[tuple[PhplayerError, bool]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def publish(self, region: str, details: Any, data: bytes) -> LayerVersion:
        self.sent.append(data)
        if self.errors:
            error, took_effect = self.errors.pop(0)
            if took_effect:
                self.numbers.append(self.numbers[-1] + 1)
            raise error
        self.numbers.append(self.numbers[-1] + 1)
        return self.version(region, details.layer, self.numbers[-1])

    def versions(self, region: str, layer: str) -> Iterator[LayerVersion]:
        yield from (self.version(region, layer, number) for number in reversed(self.numbers))

    def version(self, region: str, layer: str, number: int) -> LayerVersion:
        arn = LayerArn(partition="aws", region=region, account="123456789012", name=layer, version=number)
        return LayerVersion(arn=arn, description="", code_sha256=self.digest, url=self.url)


@dataclass
class FakeAws:
    layers: FakeLayers


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_PAUSE", 0.0)


@pytest.fixture
def built(tmp_path: Path) -> LayerArchive:
    return archive(tmp_path / "served" / "runtime.zip", runtime_manifest())


@pytest.fixture
def recorded(built: LayerArchive) -> Entry:
    return msgspec.structs.replace(entry(), code_sha256=built.code_sha256)


@contextlib.contextmanager
def republisher(layers: FakeLayers, folder: Path, **environment: str) -> Iterator[Republisher]:
    settings = Settings.load(start=folder, environment={"PHPLAYER_PUBLISH_PATIENCE": "0", **environment})
    with Republisher(settings, cast("Aws", FakeAws(layers))) as made:
        yield made


def at(built: LayerArchive) -> dict[str, str]:
    """Settings with which the archive counts as built."""
    target = built.path.parent.parent / "dist" / "php" / "runtime.zip"
    target.parent.mkdir(parents=True)
    target.write_bytes(built.path.read_bytes())
    return {"PHPLAYER_BUILD_OUTPUT": str(target.parent.parent)}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(built: LayerArchive) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(built.path.parent))
    with serving(handler) as url:
        yield url


def test_what_is_not_built_here_is_downloaded_once(
    built: LayerArchive, recorded: Entry, served: str, tmp_path: Path
) -> None:
    layers = FakeLayers(url=f"{served}/runtime.zip", digest=built.code_sha256)
    with republisher(layers, tmp_path) as made:
        assert made.publish(recorded, 1).arn.version == 2
        layers.url = f"{served}/nowhere"
        assert made.publish(recorded, 2).arn.version == 3
        downloads = list(made._folder.iterdir())
    assert layers.sent == [built.path.read_bytes()] * 2
    assert len(downloads) == 1
    assert not downloads[0].exists()


@pytest.mark.parametrize("path", ["nowhere", "other.zip", "text"])
def test_what_is_not_the_recorded_content_is_not_published(
    built: LayerArchive, recorded: Entry, served: str, tmp_path: Path, path: str
) -> None:
    archive(built.path.with_name("other.zip"), runtime_manifest(), b"other")
    built.path.with_name("text").write_text("no zip")
    layers = FakeLayers(url=f"{served}/{path}", digest=built.code_sha256)
    with republisher(layers, tmp_path) as made, pytest.raises(AwsRefusedError, match="neither built here") as caught:
        made.publish(recorded, 1)
    assert "phplayer build" in caught.value.remedy
    assert layers.sent == []


def test_a_throttled_call_is_sent_anew(built: LayerArchive, recorded: Entry, tmp_path: Path) -> None:
    layers = FakeLayers(digest=built.code_sha256, errors=[(ThrottledError("Slow."), False)] * 2)
    with republisher(layers, tmp_path, **at(built)) as made:
        assert made.publish(recorded, 1).arn.version == 2
    assert len(layers.sent) == 3


def test_a_call_without_an_answer_is_looked_for_and_not_sent_anew(
    built: LayerArchive, recorded: Entry, tmp_path: Path
) -> None:
    lost = OutcomeUnknownError("No answer.")
    layers = FakeLayers(digest=built.code_sha256, errors=[(lost, True)])
    with republisher(layers, tmp_path, **at(built)) as made:
        assert made.publish(recorded, 1).arn.version == 2
        assert len(layers.sent) == 1
        layers.errors.append((lost, False))
        with pytest.raises(OutcomeUnknownError):
            made.publish(recorded, 2)
    assert len(layers.sent) == 2
