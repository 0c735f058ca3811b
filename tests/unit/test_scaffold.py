from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phplayer import scaffold
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.ledger import Entry, Ledger
from phplayer.runtime import Architecture
from phplayer.scaffold import FunctionName, LayerChoice, NewFunction

ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def _on_x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def entry(layer: str, **changes: Any) -> Entry:
    region, version = changes.get("region", "eu-west-1"), changes.get("version", 1)
    account = changes.get("account", ACCOUNT)
    fields: dict[str, Any] = {
        "endpoint": "aws",
        "account": account,
        "region": region,
        "layer": layer,
        "version": version,
        "current": True,
        "arn": f"arn:aws:lambda:{region}:{account}:layer:{layer}:{version}",
        "kind": "vendor" if "vendor" in layer else "runtime",
        "php": "8.4.24",
        "architecture": "x86_64",
        "lambda_runtime": "provided.al2023",
        "key": "k",
        "code_sha256": "c",
        "size": 1,
    }
    return Entry(**{**fields, **changes})


def choose(*entries: Entry, **wishes: Any) -> LayerChoice | None:
    return scaffold.choose_layers(Ledger(entries=entries), endpoint=wishes.pop("endpoint", "aws"), **wishes)


def chosen(*entries: Entry, **wishes: Any) -> LayerChoice:
    choice = choose(*entries, **wishes)
    assert choice is not None
    return choice


def create(parent: Path, name: str = "hello", layers: LayerChoice | None = None) -> NewFunction:
    return scaffold.create(FunctionName(name), parent, layers=layers, lambda_runtime="provided.al2023")


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "../a", "a/b", ".", "a" * 65, "ä", "a\n", "a.b"])
def test_names_that_lambda_refuses_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a function"):
        FunctionName(name)


@pytest.mark.parametrize(
    ("name", "logical"),
    [
        ("hello", "HelloFunction"),
        ("hello-world_2", "HelloWorld2Function"),
        ("sendMail", "SendMailFunction"),
        ("--", "Function"),
        ("2nd", "2ndFunction"),
    ],
)
def test_the_logical_id_has_letters_and_digits_only(name: str, logical: str) -> None:
    assert FunctionName(name).logical_id == logical


# -- the choice of layers -------------------------------------------------------------------------------------------


def test_runtime_and_vendor_of_every_region_are_chosen() -> None:
    regions = ("us-east-1", "eu-west-1")
    choice = chosen(*(entry(layer, region=region) for layer in ("php-84-x86_64", "php-vendor") for region in regions))
    assert (choice.runtime, choice.vendor, choice.php) == ("php-84-x86_64", "php-vendor", "8.4.24")
    assert [each.region for each in choice.regions] == ["eu-west-1", "us-east-1"]
    assert choice.regions[0].vendor == f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:php-vendor:1"


def test_layers_of_another_endpoint_do_not_count() -> None:
    local = entry("php-84-x86_64", endpoint="http://127.0.0.1:5000")
    assert choose(local) is None
    assert chosen(local, endpoint="http://127.0.0.1:5000").runtime == "php-84-x86_64"


def test_nothing_recorded_is_no_choice() -> None:
    assert choose() is None
    assert choose(entry("php-vendor")) is None
    assert choose(entry("php-84-x86_64"), regions=("us-east-1",)) is None


def test_this_architecture_comes_before_a_newer_php() -> None:
    older = entry("php-83-x86_64", php="8.3.9")
    newer = entry("php-84-arm64", architecture="arm64")
    assert chosen(older, newer).runtime == "php-83-x86_64"
    assert chosen(newer).architecture is Architecture.ARM64


def test_the_newest_php_is_chosen_by_number() -> None:
    assert chosen(entry("a", php="8.4.9"), entry("b", php="8.4.24")).runtime == "b"
    assert chosen(entry("a", php="8.10.0"), entry("b", php="8.9.0")).runtime == "a"


def test_architecture_and_php_can_be_asked_for() -> None:
    every = [
        entry(f"php-{php.replace('.', '')[:2]}-{architecture}", php=php, architecture=architecture)
        for php in ("8.4.24", "8.5.1")
        for architecture in ("x86_64", "arm64")
    ]
    assert chosen(*every).runtime == "php-85-x86_64"
    assert chosen(*every, architecture=Architecture.ARM64).runtime == "php-85-arm64"
    assert chosen(*every, php="8.4").runtime == "php-84-x86_64"
    assert chosen(*every, php="8.4.24", architecture=Architecture.ARM64).runtime == "php-84-arm64"
    with pytest.raises(NothingSelectedError, match=r"recorded for PHP 8\.6 and arm64") as caught:
        choose(*every, php="8.6", architecture=Architecture.ARM64)
    assert "php-84-arm64, php-84-x86_64" in caught.value.remedy


def test_of_equals_the_one_that_is_named_as_the_project_says() -> None:
    assert chosen(entry("php-84"), entry("web-84"), prefix="php").runtime == "php-84"
    assert chosen(entry("php-84"), entry("web-84"), prefix="web").runtime == "web-84"


def test_a_layer_of_that_name_and_another_architecture_is_another_layer() -> None:
    choice = chosen(entry("php"), entry("php", region="us-east-1", architecture="arm64"))
    assert [each.region for each in choice.regions] == ["eu-west-1"]


def test_only_the_current_version_is_chosen() -> None:
    old, new = entry("php-84-x86_64", version=1), entry("php-84-x86_64", version=2, current=False)
    assert chosen(old, new).regions[0].runtime.endswith(":1")


def test_the_vendor_layer_is_the_one_made_for_this_php() -> None:
    fitting, newer = entry("a-vendor", php="8.4.24"), entry("b-vendor", php="8.5.1")
    assert chosen(entry("php-84-x86_64"), fitting, newer).vendor == "a-vendor"
    assert chosen(entry("php-84-x86_64"), newer).vendor == "b-vendor"


def test_regions_without_the_vendor_layer_are_left_out_and_named() -> None:
    choice = chosen(
        entry("php-84-x86_64"), entry("php-84-x86_64", region="us-east-1"), entry("php-vendor", region="us-east-1")
    )
    assert [each.region for each in choice.regions] == ["us-east-1"]
    assert choice.left_out == ("eu-west-1",)


def test_a_region_that_lacks_the_layer_is_an_error_that_says_how_to_publish_there() -> None:
    with pytest.raises(UsageError, match="not recorded in us-east-1") as caught:
        choose(entry("php-84-x86_64"), regions=("eu-west-1", "us-east-1"))
    assert "phplayer publish --region us-east-1" in caught.value.remedy


def test_of_several_accounts_one_must_be_named() -> None:
    two = (entry("php-84-x86_64"), entry("php-84-x86_64", account="210987654321"))
    with pytest.raises(UsageError, match="2 accounts") as caught:
        choose(*two)
    assert "--account" in caught.value.remedy
    assert ":210987654321:" in chosen(*two, account="210987654321").regions[0].runtime


def test_where_nothing_can_run_a_function_can_still_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert chosen(entry("php-84-arm64", architecture="arm64")).architecture is Architecture.ARM64


# -- the files ------------------------------------------------------------------------------------------------------


def test_the_function_has_code_an_event_a_template_and_a_readme(tmp_path: Path) -> None:
    made = create(tmp_path)
    expected = ["README.md", "events/hello.json", "src/index.php", "template.yaml"]
    assert [str(path) for path in made.files] == expected
    assert sorted(str(path.relative_to(made.folder)) for path in made.folder.rglob("*") if path.is_file()) == expected
    assert json.loads((made.folder / "events/hello.json").read_text()) == {"name": "world"}
    assert "function index(array $event, Context $context): string" in (made.folder / "src/index.php").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["hello"]


def test_one_region_is_written_plainly(tmp_path: Path) -> None:
    made = create(tmp_path, layers=chosen(entry("php-84-x86_64"), entry("php-vendor")))
    template = (made.folder / "template.yaml").read_text()
    assert f"- arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:php-84-x86_64:1" in template
    assert "Mappings" not in template
    assert "Parameters" not in template


def test_several_regions_are_a_mapping(tmp_path: Path) -> None:
    regions = ("eu-west-1", "us-east-1")
    layers = chosen(*(entry("php-84-arm64", architecture="arm64", region=region) for region in regions))
    template = (create(tmp_path, layers=layers).folder / "template.yaml").read_text()
    assert "!FindInMap [Layers, !Ref AWS::Region, Runtime]" in template
    assert "Vendor" not in template
    assert "Architectures: [arm64]" in template


def test_without_recorded_layers_they_are_parameters(tmp_path: Path) -> None:
    template = (create(tmp_path).folder / "template.yaml").read_text()
    assert "!Ref RuntimeLayerArn" in template
    assert "Runtime: provided.al2023" in template


def test_an_architecture_that_is_asked_for_counts_without_a_record_too(tmp_path: Path) -> None:
    made = scaffold.create(
        FunctionName("hello"), tmp_path, layers=None, lambda_runtime="provided.al2023", architecture=Architecture.ARM64
    )
    assert "Architectures: [arm64]" in (made.folder / "template.yaml").read_text()


@pytest.mark.parametrize("occupant", ["file", "folder", "link"])
def test_what_is_there_is_not_touched(tmp_path: Path, occupant: str) -> None:
    place = tmp_path / "hello"
    if occupant == "file":
        place.write_text("mine")
    elif occupant == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to("elsewhere")
    else:
        place.mkdir()
        (place / ".hidden").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError) as caught:
        create(tmp_path)
    assert "another name" in caught.value.remedy
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    assert (create(tmp_path).folder / "src/index.php").is_file()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    def interrupted(_path: Path, _data: bytes) -> None:
        raise interruption

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(type(interruption)):
        create(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_fills_up_meanwhile_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        target.mkdir()
        (target / "mine").touch()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(UsageError, match="not empty"):
        create(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["hello", "mine"]
