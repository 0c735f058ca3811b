"""``phplayer layers`` against moto's server: what is recorded, what is there, and what is deleted."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from phplayer import ledger
from phplayer.ledger import Entry
from tests.conftest import SCRIPTS, Phplayer
from tests.integration.aws_endpoint import ACCOUNT, CREDENTIALS, Call, Faults, faulty_proxy
from tests.integration.fault_proxy import Fault

LAYER = "php-84-x86_64"
DESCRIPTION = "PHP 8.4.24, phplayer 0123456789ab"
REGIONS = ("eu-west-1", "us-east-1")


def zipped(text: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo("content", (1980, 1, 1, 0, 0, 0)), text)
    return data.getvalue()


@dataclass
class Account:
    """What a user has at the endpoint, and the ledger of a project."""

    url: str
    project: Path
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.project / "phplayer.lock.json"

    def client(self, region: str, service: str = "lambda") -> Any:
        keys: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items() if "KEY" in name}
        if (service, region) not in self.clients:
            made: Any = boto3.client
            self.clients[service, region] = made(service, region_name=region, endpoint_url=self.url, **keys)
        return self.clients[service, region]

    def publish(
        self, content: str, region: str = "eu-west-1", layer: str = LAYER, *, record: bool = True, of: str = DESCRIPTION
    ) -> Entry:
        data = zipped(content)
        answer = self.client(region).publish_layer_version(
            LayerName=layer, Content={"ZipFile": data}, Description=of, CompatibleRuntimes=["provided.al2023"]
        )
        entry = Entry(
            endpoint=self.url,
            account=ACCOUNT,
            region=region,
            layer=layer,
            version=answer["Version"],
            arn=answer["LayerVersionArn"],
            kind="runtime",
            php="8.4.24",
            architecture="x86_64",
            lambda_runtime="provided.al2023",
            key="0123456789ab",
            code_sha256=base64.b64encode(hashlib.sha256(data).digest()).decode(),
            size=len(data),
        )
        if record:
            ledger.record(self.path, entry)
        return entry

    def use(self, arn: str, name: str = "user", region: str = "eu-west-1") -> None:
        """Make a function that uses a layer version."""
        trust = {"Version": "2012-10-17", "Statement": []}
        role = self.client(region, "iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        self.client(region).create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Role=role["Role"]["Arn"],
            Handler="index",
            Code={"ZipFile": zipped("function")},
            Layers=[arn],
        )

    def numbers(self, region: str = "eu-west-1", layer: str = LAYER) -> list[int]:
        found = self.client(region).list_layer_versions(LayerName=layer)["LayerVersions"]
        return sorted(version["Version"] for version in found)

    def recorded(self) -> list[tuple[str, int]]:
        return [(entry.region, entry.version) for entry in ledger.read(self.path).entries]


@pytest.fixture
def account(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    project = tmp_path / "project"
    project.mkdir()
    made = Account(url=endpoint, project=project)
    yield made
    for client in made.clients.values():
        client.close()


@pytest.fixture
def layers(phplayer: Phplayer, account: Account) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``phplayer layers`` in the project."""

    def run(*arguments: str, url: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {**CREDENTIALS, "PHPLAYER_PUBLISH_ENDPOINT_URL": url or account.url}
        return phplayer("layers", *arguments, cwd=account.project, env=env, check=check)

    return run


Layers = Callable[..., subprocess.CompletedProcess[str]]


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The rows of the table, blanks squeezed."""
    return [" ".join(line.split()) for line in done.stdout.splitlines()[1:]]


# -- list -------------------------------------------------------------------------------------------------------------


def test_the_list_says_that_all_is_as_recorded(account: Account, layers: Layers) -> None:
    sizes = [account.publish(content, region).size for region in REGIONS for content in ("one", "two")]
    done = layers()
    assert f"Looking at account {ACCOUNT} as arn:aws:sts::{ACCOUNT}:user/moto" in done.stderr
    assert "4 versions, all as recorded." in done.stderr
    assert lines(done) == [
        f"{LAYER} eu-west-1 1 as recorded {sizes[0] / 1000:.1f} kB",
        f"{LAYER} eu-west-1 2 (current) as recorded {sizes[1] / 1000:.1f} kB",
        f"{LAYER} us-east-1 1 as recorded {sizes[2] / 1000:.1f} kB",
        f"{LAYER} us-east-1 2 (current) as recorded {sizes[3] / 1000:.1f} kB",
    ]
    assert layers("list").stdout == done.stdout
    assert len(lines(layers("list", "--region", "us-*"))) == 2


def test_the_list_says_where_aws_and_the_ledger_differ(account: Account, layers: Layers) -> None:
    gone = account.publish("one")
    account.publish("two", record=False)
    changed = account.publish("three", record=False)
    ledger.record(account.path, Entry(**{**_fields(changed), "code_sha256": gone.code_sha256}))
    account.client("eu-west-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    document = json.loads(layers("--json").stdout)
    assert document["drift"] is True
    assert [(each["version"], each["state"], each["current"]) for each in document["versions"]] == [
        (1, "gone", False),
        (2, "unrecorded", False),
        (3, "changed", True),
    ]
    assert document["versions"][1]["description"] == DESCRIPTION
    said = layers()
    assert "3 of 3 versions differ." in said.stderr
    for advice in ("take its lines out of", "drops the records of what is gone", "records what is built"):
        assert advice in said.stderr
    assert "recorded, gone from AWS" in said.stdout
    assert account.recorded() == [("eu-west-1", 1), ("eu-west-1", 3)]


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__struct_fields__}


def test_a_layer_that_is_named_is_looked_at_without_a_record(account: Account, layers: Layers) -> None:
    account.publish("one", record=False)
    done = layers("--layer", LAYER, "--region", "eu-west-1")
    assert lines(done) == [f"{LAYER} eu-west-1 1 not recorded -"]


def test_what_is_recorded_elsewhere_is_not_mixed_in(account: Account, layers: Layers) -> None:
    other = account.publish("one")
    for changes in ({"endpoint": "aws", "region": "cn-north-1"}, {"account": "210987654321", "region": "us-west-2"}):
        ledger.record(account.path, Entry(**{**_fields(other), **changes}))
    done = layers()
    assert [line.split()[1] for line in lines(done)] == ["eu-west-1"]
    assert "1 version, all as recorded." in done.stderr
    assert "Left out: 2 recorded at other endpoints or in other accounts." in done.stderr
    document = json.loads(layers("prune", "--json", "--dry-run").stdout)
    assert [each["region"] for each in document["versions"]] == ["eu-west-1"]


@pytest.fixture
def denying(endpoint: str) -> Iterator[Callable[[str, str], str]]:
    """Return a function that makes an endpoint where calls in a region are refused whose path contains the text."""
    faults = Faults()

    def deny(region: str, path: str) -> str:
        faults.refuse = lambda call: call.region == region and path in call.path
        return url

    with faulty_proxy(endpoint, faults) as url:
        yield deny


def through(account: Account, url: str) -> None:
    """Have the ledger's entries be of another endpoint."""
    text = account.path.read_text()
    account.path.write_text(text.replace(account.url, url))


def test_a_region_that_refuses_does_not_stop_the_others(
    account: Account, layers: Layers, denying: Callable[[str, str], str]
) -> None:
    for region in REGIONS:
        account.publish("one", region)
    url = denying("us-east-1", "/versions")
    through(account, url)
    done = layers(url=url, check=False)
    assert done.returncode == 8
    assert [line.split()[1] for line in lines(done)] == ["eu-west-1"]
    assert f"us-east-1 {LAYER}: These credentials lack lambda:ListLayerVersions in us-east-1" in done.stderr
    document = json.loads(layers("--json", url=url, check=False).stdout)
    assert document["error"]["exit_code"] == 8
    assert [failure["where"] for failure in document["failures"]] == [f"us-east-1 {LAYER}"]
    assert layers("--region", "us-east-1", url=url, check=False).returncode == 7


# -- prune ------------------------------------------------------------------------------------------------------------


def test_prune_keeps_the_newest_and_what_is_in_use(account: Account, layers: Layers) -> None:
    entries = [account.publish(f"content {number}") for number in range(1, 9)]
    account.publish("foreign", record=False, of="made by hand")
    account.use(entries[1].arn)
    layers("keep", entries[2].arn)
    ledger.record(account.path, entries[3])  # the project went back to it
    planned = layers("prune", "--keep", "2", "--dry-run")
    assert lines(planned) == [
        f"{LAYER} eu-west-1 1 delete",
        f"{LAYER} eu-west-1 2 kept: used by a function",
        f"{LAYER} eu-west-1 3 kept: marked in use",
        f"{LAYER} eu-west-1 4 kept: current",
        f"{LAYER} eu-west-1 5 delete",
        f"{LAYER} eu-west-1 6 delete",
        f"{LAYER} eu-west-1 7 kept: among the newest",
        f"{LAYER} eu-west-1 8 kept: among the newest",
        f"{LAYER} eu-west-1 9 kept: not made by phplayer",
    ]
    assert account.numbers() == list(range(1, 10))

    refused = layers("prune", "--keep", "2", check=False)
    assert refused.returncode == 2
    assert "pass --yes" in refused.stderr
    assert account.numbers() == list(range(1, 10))

    done = layers("prune", "--keep", "2", "--yes")
    assert [line for line in lines(done) if line.endswith(" deleted")] == [
        f"{LAYER} eu-west-1 {number} deleted" for number in (1, 5, 6)
    ]
    assert account.numbers() == [2, 3, 4, 7, 8, 9]
    assert account.recorded() == [("eu-west-1", number) for number in (2, 3, 4, 7, 8)]
    assert "Nothing to delete." in layers("prune", "--keep", "2", "--yes").stderr

    layers("keep", "--undo", entries[2].arn)
    layers("prune", "--keep", "2", "--yes")
    assert account.numbers() == [2, 4, 7, 8, 9]


def test_what_only_a_published_version_of_a_function_uses_stays(account: Account, layers: Layers) -> None:
    entries = [account.publish(f"content {number}") for number in range(1, 4)]
    account.use(entries[0].arn)
    client = account.client("eu-west-1")
    client.publish_version(FunctionName="user")
    client.update_function_configuration(FunctionName="user", Layers=[entries[2].arn])
    assert [layer["Arn"] for layer in client.get_function_configuration(FunctionName="user")["Layers"]] == [
        entries[2].arn
    ]
    done = layers("prune", "--keep", "1", "--yes")
    assert lines(done) == [
        f"{LAYER} eu-west-1 1 kept: used by a function",
        f"{LAYER} eu-west-1 2 deleted",
        f"{LAYER} eu-west-1 3 kept: current",
    ]


def test_prune_drops_the_record_of_what_is_gone(account: Account, layers: Layers) -> None:
    """As it is after a run that was killed between deleting and dropping the record."""
    for number in range(1, 4):
        account.publish(f"content {number}")
    account.client("eu-west-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    document = json.loads(layers("prune", "--yes", "--json").stdout)
    assert [(each["version"], each["fate"]) for each in document["versions"]] == [
        (1, "forgotten"),
        (2, "newest"),
        (3, "current"),
    ]
    assert account.recorded() == [("eu-west-1", 2), ("eu-west-1", 3)]


def test_where_functions_cannot_be_listed_nothing_is_deleted(
    account: Account, layers: Layers, denying: Callable[[str, str], str]
) -> None:
    for region in REGIONS:
        for number in range(1, 4):
            account.publish(f"content {number}", region)
    url = denying("us-east-1", "/functions")
    through(account, url)
    done = layers("prune", "--keep", "1", "--yes", url=url, check=False)
    assert done.returncode == 8
    assert "us-east-1: These credentials lack lambda:ListFunctions in us-east-1" in done.stderr
    assert account.numbers("eu-west-1") == [3]
    assert account.numbers("us-east-1") == [1, 2, 3]
    assert account.recorded() == [("eu-west-1", 3), *(("us-east-1", number) for number in (1, 2, 3))]


def test_what_one_region_refuses_to_delete_stays_recorded(
    account: Account, layers: Layers, denying: Callable[[str, str], str]
) -> None:
    for region in REGIONS:
        for number in range(1, 4):
            account.publish(f"content {number}", region)
    url = denying("us-east-1", "/versions/1")
    through(account, url)
    done = layers("prune", "--keep", "1", "--yes", "--json", url=url, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["exit_code"]) == (8, 8)
    assert account.numbers("eu-west-1") == [3]
    assert account.numbers("us-east-1") == [1, 2, 3]
    assert ("us-east-1", 1) in account.recorded()


def test_what_was_deleted_before_a_region_refused_is_told(
    account: Account, layers: Layers, faults: Faults, proxy: str
) -> None:
    for number in range(1, 5):
        account.publish(f"content {number}")
    through(account, proxy)
    faults.refuse = lambda call: call.method == "DELETE" and call.path.endswith("/versions/2")
    done = layers("prune", "--keep", "1", "--yes", "--json", url=proxy, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["exit_code"]) == (8, 8)
    assert [(each["version"], each["fate"]) for each in document["versions"]] == [
        (1, "deleted"),
        (2, "left"),
        (3, "left"),
        (4, "current"),
    ]
    assert account.numbers() == [2, 3, 4]
    assert account.recorded() == [("eu-west-1", number) for number in (2, 3, 4)]


def test_what_is_shared_stays_unless_it_is_asked_for(account: Account, layers: Layers) -> None:
    entries = [account.publish(f"content {number}") for number in range(1, 5)]
    share(account, entries[0], "one", "210987654321")
    share(account, entries[1], "everybody", "*")
    kept = layers("prune", "--keep", "1", "--yes")
    assert lines(kept) == [
        f"{LAYER} eu-west-1 1 kept: shared with account:210987654321",
        f"{LAYER} eu-west-1 2 kept: shared with everybody",
        f"{LAYER} eu-west-1 3 deleted",
        f"{LAYER} eu-west-1 4 kept: current",
    ]
    assert "To delete them, too: --shared" in kept.stderr
    assert account.numbers() == [1, 2, 4]
    gone = layers("prune", "--keep", "1", "--shared", "--yes")
    assert lines(gone)[1] == f"{LAYER} eu-west-1 2 deleted (shared with everybody)"
    assert "AWS does not tell" in gone.stderr
    assert account.numbers() == [4]


def test_what_is_shared_while_the_plan_is_made_stays(
    account: Account, layers: Layers, faults: Faults, proxy: str
) -> None:
    entries = [account.publish(f"content {number}") for number in range(1, 3)]
    through(account, proxy)
    looked: list[Call] = []

    def share_after_the_first_look(call: Call) -> bool:
        if call.path.endswith("/versions/1/policy") and call.method == "GET":
            looked.append(call)
            if len(looked) == 2:
                share(account, entries[0], "late", "210987654321")
        return False

    faults.refuse = share_after_the_first_look
    done = layers("prune", "--keep", "1", "--yes", url=proxy)
    assert lines(done)[0] == f"{LAYER} eu-west-1 1 kept: shared with account:210987654321"
    assert account.numbers() == [1, 2]


@pytest.mark.parametrize("path", ["/versions/1/policy", "/layers/php-84-x86_64/versions"])
def test_where_shares_or_versions_cannot_be_looked_at_nothing_is_deleted(
    account: Account, layers: Layers, faults: Faults, proxy: str, path: str
) -> None:
    for number in range(1, 4):
        account.publish(f"content {number}")
    through(account, proxy)
    faults.refuse = lambda call: call.path.partition("?")[0].endswith(path)
    done = layers("prune", "--keep", "1", "--yes", url=proxy, check=False)
    assert done.returncode == 7
    assert "Nothing to delete." not in done.stderr
    assert account.numbers() == [1, 2, 3]
    assert account.recorded() == [("eu-west-1", number) for number in (1, 2, 3)]


def test_a_listing_that_lacks_what_is_there_is_not_believed(
    account: Account, layers: Layers, faults: Faults, proxy: str
) -> None:
    for number in range(1, 4):
        account.publish(f"content {number}")
    through(account, proxy)
    empty = Fault(spoil=lambda _data: b'{"LayerVersions": []}')
    faults.act = lambda call: empty if call.path.partition("?")[0].endswith("/versions") else None
    done = layers("prune", "--keep", "1", "--yes", url=proxy, check=False)
    assert done.returncode == 7
    assert "and does not list it" in done.stderr
    assert account.numbers() == [1, 2, 3]
    assert account.recorded() == [("eu-west-1", number) for number in (1, 2, 3)]


def test_a_prune_that_is_killed_goes_on_when_it_is_run_again(account: Account, layers: Layers) -> None:
    for number in range(1, 13):
        account.publish(f"content {number}")
    deletions: list[Call] = []
    victims: list[subprocess.Popen[str]] = []
    started = threading.Event()
    faults = Faults()

    def kill_after_the_second(call: Call) -> bool:
        if call.method == "DELETE":
            deletions.append(call)
            if len(deletions) == 2:
                started.wait(60)
                victims[0].send_signal(signal.SIGKILL)
                return True  # deleted, and the answer never arrives
        return False

    faults.cut = kill_after_the_second
    with faulty_proxy(account.url, faults) as url:
        through(account, url)
        env = {"PATH": os.environ["PATH"], "PHPLAYER_CACHE": os.environ["PHPLAYER_CACHE"], **CREDENTIALS}
        command: list[str | Path] = [SCRIPTS / "phplayer", "layers", "prune", "--keep", "2", "--yes"]
        command += ["--endpoint-url", url]
        with (account.project / "out").open("w") as out:
            victims.append(subprocess.Popen(command, cwd=account.project, env=env, stdout=out, stderr=out, text=True))
            started.set()
            assert victims[0].wait(120) == -signal.SIGKILL
        assert len(deletions) == 2
        assert account.numbers() == list(range(3, 13))
        assert account.recorded() == [("eu-west-1", number) for number in range(2, 13)]
        layers("prune", "--keep", "2", "--yes", url=url)
    assert account.numbers() == [11, 12]
    assert account.recorded() == [("eu-west-1", 11), ("eu-west-1", 12)]


# -- unshare ----------------------------------------------------------------------------------------------------------


def share(account: Account, entry: Entry, statement: str, principal: str, **more: str) -> None:
    account.client(entry.region).add_layer_version_permission(
        LayerName=entry.layer,
        VersionNumber=entry.version,
        StatementId=statement,
        Action="lambda:GetLayerVersion",
        Principal=principal,
        **more,
    )


def statements(account: Account, entry: Entry) -> list[str]:
    client = account.client(entry.region)
    try:
        answer = client.get_layer_version_policy(LayerName=entry.layer, VersionNumber=entry.version)
    except client.exceptions.ResourceNotFoundException:
        return []
    return sorted(statement["Sid"] for statement in json.loads(answer["Policy"])["Statement"])


def test_unshare_takes_back_what_is_named_and_nothing_else(account: Account, layers: Layers) -> None:
    entries = [account.publish(content, region) for region in REGIONS for content in ("one", "two")]
    for entry in entries:
        share(account, entry, "one", "210987654321")
        share(account, entry, "everybody", "*")
    planned = layers("unshare", "account:210987654321", "--region", "eu-*", "--dry-run")
    assert lines(planned) == [f"{LAYER} eu-west-1 {number} account:210987654321" for number in (1, 2)]
    assert statements(account, entries[0]) == ["everybody", "one"]
    done = layers("unshare", "account:210987654321", "--region", "eu-*", "--yes", "--json")
    assert [(each["region"], each["version"]) for each in json.loads(done.stdout)["shares"]] == [
        ("eu-west-1", 1),
        ("eu-west-1", 2),
    ]
    assert [statements(account, entry) for entry in entries] == [["everybody"]] * 2 + [["everybody", "one"]] * 2
    layers("unshare", "--public", "--yes")
    assert [statements(account, entry) for entry in entries] == [[], [], ["one"], ["one"]]
    share(account, entries[0], "narrow", "arn:aws:iam::210987654321:user/somebody")
    again = layers("unshare", "--public", "--yes")
    assert f"narrow of {LAYER}:1 in eu-west-1" in again.stderr
    assert (again.stdout, "Nothing is shared with everybody." in again.stderr) == ("", True)


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--region", "eu-wset-1"), 2, "Did you mean 'eu-west-1'?"),
        (("--region", "eu-west-1", "prune"), 2, "Options stand behind the command"),
        (("prune", "--layer", "php-84-x86-64"), 3, f"Did you mean '{LAYER}'?"),
        (("prune", "--keep", "0"), 2, "--keep"),
        (("prune", "--ledger", "other.json"), 3, "Publish first"),
        (("unshare",), 2, "Name account:NUMBER or org:ID, or pass --public"),
        (("unshare", "account:12345"), 2, "It has 12 digits"),
        (("unshare", "org:abc"), 2, "Its id looks like o-"),
        (("keep", "arn"), 2, "is not a LayerVersionArn"),
        (("keep", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:{LAYER}:9"), 2, "is not recorded"),
    ],
)
def test_bad_input(account: Account, layers: Layers, arguments: tuple[str, ...], code: int, said: str) -> None:
    account.publish("one")
    before = account.path.read_bytes()
    done = layers(*arguments, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert account.path.read_bytes() == before


def test_a_ledger_that_is_cut_in_half_is_reported_and_left(account: Account, layers: Layers) -> None:
    account.publish("one")
    half = account.path.read_bytes()[:100]
    account.path.write_bytes(half)
    for command in ((), ("prune", "--yes"), ("unshare", "--public", "--yes")):
        done = layers(*command, check=False)
        assert done.returncode == 2
        assert "is damaged" in done.stderr
    assert account.path.read_bytes() == half
    assert account.numbers() == [1]
