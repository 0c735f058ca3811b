from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from phplayer.aws import Identity
from phplayer.aws.refusals import CredentialsUnknownError
from phplayer.aws.regions import main_region, partition_of, partitions, regions
from phplayer.errors import AwsRefusedError, PhplayerError, UsageError
from phplayer.events import Event, Warned
from phplayer.publishing.destination import destination


@dataclass
class FakeAws:
    opted_out: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ("eu-central-1", "eu-west-1", "us-east-1")
    why: PhplayerError | None = None
    asked: list[str] = field(default_factory=list)

    def identity(self, region: str) -> Identity:
        self.asked.append(region)
        if region in self.opted_out:
            raise CredentialsUnknownError(f"not accepted in {region}", remedy="check")
        return Identity(account="123456789012", principal="arn:aws:iam::123456789012:user/me")

    def endpoint(self, region: str) -> str:
        assert region in self.asked
        return "aws"

    def enabled_regions(self, region: str) -> tuple[tuple[str, ...], PhplayerError | None]:
        assert region in self.asked
        return self.enabled, self.why


def test_named_regions_are_taken_in_their_order_and_once() -> None:
    aws = FakeAws()
    where = destination(["us-east-1", "eu-west-1", "us-east-1"], aws, default="")
    assert where.regions == ("us-east-1", "eu-west-1")
    assert (where.home, aws.asked) == ("us-east-1", ["us-east-1"])


def test_patterns_find_what_the_account_has_opted_into() -> None:
    assert destination(["eu-*"], FakeAws(), default="").regions == ("eu-central-1", "eu-west-1")
    assert destination(["us-east-1", "*"], FakeAws(), default="").regions == ("us-east-1", "eu-central-1", "eu-west-1")


@pytest.mark.parametrize(
    ("pattern", "home"),
    [("eu-*", "us-east-1"), ("cn-*", "cn-northwest-1"), ("us-gov-*", "us-gov-west-1"), ("eusc-*", "eusc-de-east-1")],
)
def test_who_we_are_is_asked_in_the_partition_that_is_meant(pattern: str, home: str) -> None:
    enabled = partitions()[partition_of(home)]
    where = destination([pattern], FakeAws(enabled=enabled), default="")
    assert where.home == home
    assert where.regions
    assert main_region("aws") == "us-east-1"


def test_a_pattern_without_a_region_says_what_there_is() -> None:
    with pytest.raises(UsageError, match="no region 'me-") as caught:
        destination(["me-*"], FakeAws(), default="eu-west-1")
    assert "me-south-1" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        destination(["eu-weird-*"], FakeAws(), default="eu-west-1")
    assert "It has: eu-central-1" in caught.value.remedy


def test_when_nobody_tells_which_regions_there_are_all_of_them_are_meant() -> None:
    events: list[Event] = []
    why = AwsRefusedError("These credentials lack ec2:DescribeRegions.", remedy="Allow it.")
    destination(["eu-*"], FakeAws(why=why), default="", listen=events.append)
    (warned,) = events
    assert isinstance(warned, Warned)
    assert "lack ec2:DescribeRegions" in warned.message


def test_credentials_that_one_region_does_not_know_are_tried_elsewhere() -> None:
    aws = FakeAws(opted_out=("af-south-1",))
    assert destination(["af-south-1", "eu-west-1"], aws, default="").home == "eu-west-1"
    with pytest.raises(CredentialsUnknownError, match="af-south-1"):
        destination(["af-south-1"], FakeAws(opted_out=regions()), default="")


def test_a_region_of_another_partition_is_refused() -> None:
    with pytest.raises(UsageError, match="cn-north-1 is in the partition aws-cn"):
        destination(["eu-west-1", "cn-north-1"], FakeAws(), default="")


def test_an_unknown_region_is_refused_before_anything_is_asked() -> None:
    aws = FakeAws()
    with pytest.raises(UsageError, match="Unknown region 'eu-wset-1'"):
        destination(["eu-west-1", "eu-wset-1"], aws, default="")
    assert aws.asked == []
