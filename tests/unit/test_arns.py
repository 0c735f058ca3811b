from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from phplayer import arns
from phplayer.arns import Filters, Form
from phplayer.cli.arns import FORMS
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.ledger import Entry, Ledger
from phplayer.parameters import DEFAULT_PATTERN, parameters
from tests.ledger_entries import entry

REGIONS = ("eu-west-1", "us-east-1")


def vendor(region: str = "eu-west-1", layer: str = "php-vendor", arch: str = "x86_64") -> Entry:
    return entry(layer, region, kind="vendor", arch=arch)


@pytest.fixture
def recorded() -> Ledger:
    both = [entry(region=region, version=2) for region in REGIONS]
    old = [entry(region=region, version=1, current=False) for region in REGIONS]
    arm = [entry("php-84-arm64", region, arch="arm64") for region in REGIONS]
    older_php = [entry("php-82-x86_64", "eu-west-1", php="8.2.32")]
    return Ledger(entries=(*both, *old, *arm, *older_php, *(vendor(region) for region in REGIONS)))


def chosen(recorded: Ledger, *, endpoint: str = "aws", **filters: Any) -> list[str]:
    selected = arns.select(recorded, msgspec.convert(filters, Filters), endpoint=endpoint)
    return [f"{each.region}/{each.layer}:{each.version}" for each in selected]


def text(form: Form, entries: tuple[Entry, ...], pattern: str = DEFAULT_PATTERN) -> str:
    return arns.render(form, entries, ssm_pattern=pattern)


def test_the_command_line_names_every_form() -> None:
    assert list(FORMS) == [form.value for form in Form]


def test_there_is_one_version_of_each_layer_in_each_region(recorded: Ledger) -> None:
    assert chosen(recorded) == [
        "eu-west-1/php-82-x86_64:1",
        "eu-west-1/php-84-arm64:1",
        "eu-west-1/php-84-x86_64:2",
        "eu-west-1/php-vendor:1",
        "us-east-1/php-84-arm64:1",
        "us-east-1/php-84-x86_64:2",
        "us-east-1/php-vendor:1",
    ]


def test_filters_are_names_or_patterns(recorded: Ledger) -> None:
    assert chosen(recorded, regions=["us-*"], architectures=["arm64"]) == [
        "us-east-1/php-84-arm64:1",
        "us-east-1/php-vendor:1",
    ]
    assert chosen(recorded, layers=["php-8?-x86_64"], regions=["eu-west-1"], php=["8.2"]) == [
        "eu-west-1/php-82-x86_64:1"
    ]
    assert chosen(recorded, layers=["php-8*"], php=["8.4.24"], regions=["us-east-1"], architectures=["x86_64"]) == [
        "us-east-1/php-84-x86_64:2"
    ]


def test_a_vendor_layer_of_the_architecture_goes_before_one_of_another() -> None:
    both = Ledger(entries=(vendor(layer="vendor-x86_64"), vendor(layer="vendor-arm64", arch="arm64")))
    assert chosen(both, architectures=["arm64"]) == ["eu-west-1/vendor-arm64:1"]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"layers": ["php-84-x86-64"]}, "Did you mean 'php-84-x86_64'?"),
        ({"regions": ["ap-*"]}, "Recorded: eu-west-1, us-east-1"),
        ({"php": ["8.1"]}, "phplayer publish"),
    ],
)
def test_where_nothing_passes_it_is_said_what_is_there(recorded: Ledger, filters: dict[str, Any], said: str) -> None:
    with pytest.raises(NothingSelectedError) as caught:
        chosen(recorded, **filters)
    assert said in caught.value.remedy


def test_nothing_recorded_says_what_to_do() -> None:
    with pytest.raises(NothingSelectedError) as caught:
        chosen(Ledger())
    assert "phplayer publish" in caught.value.remedy


def test_a_local_endpoint_never_passes_for_aws() -> None:
    local = Ledger(entries=(entry(endpoint="http://127.0.0.1:5000"),))
    with pytest.raises(NothingSelectedError, match="only for http://127"):
        chosen(local)
    assert chosen(local, endpoint="http://127.0.0.1:5000")


def test_two_accounts_have_to_be_told_apart_unless_their_regions_do() -> None:
    china = msgspec.structs.replace(entry(region="cn-north-1", account="210987654321"))
    assert len(chosen(Ledger(entries=(entry(), china)))) == 2
    twice = Ledger(entries=(entry(), entry(account="210987654321")))
    with pytest.raises(UsageError, match="two accounts"):
        chosen(twice)
    assert len(chosen(twice, account="210987654321")) == 1


def test_json_nests_by_region_and_layer() -> None:
    assert json.loads(text(Form.JSON, (entry(), vendor()))) == {
        "eu-west-1": {"php-84-x86_64": entry().arn, "php-vendor": vendor().arn}
    }


def test_env_has_the_region_in_its_names_only_where_there_are_several() -> None:
    assert text(Form.ENV, (entry(),)) == f"PHP_84_X86_64_ARN={entry().arn}\n"
    both = text(Form.ENV, tuple(entry(region=region) for region in REGIONS))
    assert [line.partition("=")[0] for line in both.splitlines()] == [
        "PHP_84_X86_64_EU_WEST_1_ARN",
        "PHP_84_X86_64_US_EAST_1_ARN",
    ]
    with pytest.raises(UsageError, match="PHP_84_X86_64_ARN"):
        text(Form.ENV, (entry(), entry("php-84-x86-64")))


def test_mappings_have_keys_of_letters_and_digits() -> None:
    document = yaml.safe_load(text(Form.CLOUDFORMATION_MAPPINGS, (entry(), entry("on"), entry("84_a-b"))))
    assert document["Mappings"]["PhpLayers"]["eu-west-1"] == {
        "Php84X8664": entry().arn,
        "On": entry("on").arn,
        "84AB": entry("84_a-b").arn,
    }
    with pytest.raises(UsageError, match="would both be Php84X8664"):
        text(Form.CLOUDFORMATION_MAPPINGS, (entry(), entry("php-84-x86-64")))


@pytest.mark.parametrize("form", [Form.SAM, Form.SERVERLESS])
def test_forms_that_wire_functions_want_one_runtime(form: Form, recorded: Ledger) -> None:
    with pytest.raises(UsageError, match="3 runtime layers") as caught:
        text(form, recorded.current())
    assert "--php" in caught.value.remedy
    with pytest.raises(UsageError, match="none is selected"):
        text(form, (vendor(),))


def test_serverless_finds_its_arns_under_custom() -> None:
    document = yaml.safe_load(text(Form.SERVERLESS, (entry(), vendor())))
    assert document["provider"]["layers"] == [
        "${self:custom.phpLayers.${aws:region}.php-84-x86_64}",
        "${self:custom.phpLayers.${aws:region}.php-vendor}",
    ]
    assert document["provider"]["architecture"] == "x86_64"
    assert document["custom"]["phpLayers"]["eu-west-1"]["php-vendor"] == vendor().arn


def test_cdk_reads_them_as_context() -> None:
    document = json.loads(text(Form.CDK, (entry(),)))
    assert document == {"context": {"phplayer:layers": {"eu-west-1": {"php-84-x86_64": entry().arn}}}}


def test_ssm_prints_one_command_for_each(recorded: Ledger) -> None:
    commands = [shlex.split(line) for line in text(Form.SSM, (entry(), vendor())).splitlines()]
    assert [command[6] for command in commands] == ["/php/php-84-x86_64/x86_64", "/php/php-vendor/x86_64"]
    assert commands[0][:5] == ["aws", "ssm", "put-parameter", "--region", "eu-west-1"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("/php/{nam}/{arch}", "placeholder"),
        ("/php/{name", "placeholder"),
        ("/php/{name.x}", "placeholder"),
        ("/php/{name!r}", "placeholder"),
        ("/php/{name:>9}", "placeholder"),
        ("/php/{name[0]}", "placeholder"),
        ("/php/{}", "placeholder"),
        ("/php/name}", "placeholder"),
        ("php/{name}", "takes no parameter"),
        ("/aws/{name}", "takes no parameter"),
        ("/php//{name}", "takes no parameter"),
        ("/php/{name} x", "takes no parameter"),
        ("/a" * 15 + "/{name}", "too long"),
        ("/" + "a" * 960 + "{name}", "too long"),
        ("/php/{arch}", "would both be"),
    ],
)
def test_a_pattern_that_cannot_name_parameters_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parameters((entry(), vendor()), pattern)


def test_a_placeholder_that_is_not_known_is_told_with_what_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        parameters((entry(),), "/php/{nam}")
    assert "Did you mean 'name'? Known: {name}, {arch}, {php}, {kind}" in caught.value.remedy


def test_the_characters_of_the_arn_before_the_name_count() -> None:
    """https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html."""
    room = 1011 - len("arn:aws:ssm:eu-west-1:123456789012:parameter")
    (parameter,) = parameters((entry(),), "/" + "a" * (room - 1))
    assert len(parameter.name) == room
    with pytest.raises(UsageError, match="too long") as caught:
        parameters((entry(),), "/" + "a" * room)
    assert f"at most {room} characters" in caught.value.remedy


def test_placeholders_of_parameters() -> None:
    (parameter,) = parameters((entry(),), "/{kind}/{php}/{arch}/{name}")
    assert parameter.name == "/runtime/8.4/x86_64/php-84-x86_64"
    assert (parameter.region, parameter.value) == ("eu-west-1", entry().arn)


def test_every_form_ends_with_one_newline(tmp_path: Path) -> None:
    for form in Form:
        shown = text(form, (entry(), vendor()))
        assert shown.endswith("\n")
        assert not shown.endswith("\n\n")
