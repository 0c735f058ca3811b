"""What is decided before a function runs: the events, the handler, the layers."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from phplayer import invocation
from phplayer.emulator import layers
from phplayer.emulator.layers import LayerZip
from phplayer.emulator.result import FunctionError, InvokeResult
from phplayer.emulator.runtime_api import EVENT_LIMIT
from phplayer.emulator.spec import FunctionSpec, environment
from phplayer.errors import NothingSelectedError, UsageError
from phplayer.layer import LayerArchive
from phplayer.runtime import Architecture
from tests.layers import runtime_manifest


@pytest.mark.parametrize("data", [b"{}", b"null", b'"text"', b" [1, 2.0] \n", '"ü"'.encode(), b"x".join([b'"'] * 2)])
def test_any_json_value_is_an_event(data: bytes) -> None:
    assert invocation.event(data, "here") == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "here is not JSON: Expecting value at line 1, column 1."),
        (b'{\n  "a": 1,\n  b: 2\n}', "line 3, column 3"),
        (b'{\n"a": "\xff"}', "byte 0xff at line 2, column 7 is not UTF-8"),
        (b'"' + b"x" * EVENT_LIMIT + b'"', "has 6,291,458 bytes; Lambda takes events up to 6,291,456."),
        (b"[" * 100_000, "nested too deeply"),
        (b"[NaN]", "here is not JSON: it has no word for NaN."),
        (b"-Infinity", "it has no word for -Infinity"),
        (b"\xef\xbb\xbf{}", "here is not JSON: Unexpected UTF-8 BOM"),
        ("{}".encode("utf-16"), "byte 0xff at line 1, column 1 is not UTF-8"),  # as a Windows shell saves it
    ],
)
def test_what_lambda_would_not_take_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        invocation.event(data, "here")
    assert message in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("template", "handler"),
    [
        ("Resources:\n  F:\n    Properties:\n      Handler: src/app.main # here\n", "src/app.main"),
        ('      Handler: "App\\\\Main"\n', "App\\Main"),  # YAML's double quotes escape, its others do not
        ("      Handler: 'App\\Main'\n", "App\\Main"),
        ("      Handler: App\\Main\n", "App\\Main"),
        ("      Handler: 'app.php'\n", "app.php"),
        ("      Handler: a\n      Handler: b\n", "index"),
        ("      Handler: a\n      Handler: a\n", "a"),
        ("Resources: {}\n", "index"),
        (None, "index"),
    ],
)
def test_the_handler_comes_from_the_template_if_it_names_one(
    tmp_path: Path, template: str | None, handler: str
) -> None:
    if template is not None:
        (tmp_path / "template.yaml").write_text(template)
    assert invocation.handler_of(tmp_path) == handler


@pytest.mark.parametrize(
    ("folder", "name"),
    [("hello_1-x", "hello_1-x"), ("my füñ fn", "my-f-fn"), ("你好", "function"), ("x" * 80, "x" * 64)],
)
def test_a_function_is_called_as_its_folder_in_letters_that_lambda_takes(folder: str, name: str) -> None:
    assert invocation.name_of(Path("/somewhere", folder)) == name


def test_time_and_memory_come_from_the_template_too(tmp_path: Path) -> None:
    assert (invocation.timeout_of(tmp_path), invocation.memory_of(tmp_path)) == (30, 1024)
    (tmp_path / "template.yaml").write_text("      MemorySize: 512 # MB\n      Timeout: 10\n")
    assert (invocation.timeout_of(tmp_path), invocation.memory_of(tmp_path)) == (10, 512)
    (tmp_path / "template.yaml").write_text("      MemorySize: 512\n      MemorySize: 256\n      Timeout: !Ref Time\n")
    assert (invocation.timeout_of(tmp_path), invocation.memory_of(tmp_path)) == (30, 1024)


def archive(folder: str, *, php: str, architecture: str = "x86_64") -> LayerArchive:
    manifest = runtime_manifest(php=php, architecture=architecture)
    return LayerArchive(path=Path(folder, "runtime.zip"), manifest=manifest, size=1, unpacked=1, sha256=php)


def test_the_newest_php_of_this_architecture_is_run() -> None:
    archives = [
        archive("a", php="8.4.9"),
        archive("b", php="8.4.24"),
        archive("c", php="8.5.0", architecture="arm64"),
    ]
    assert invocation.layers_for(archives, Architecture.X86_64) == (archives[1],)
    assert invocation.layers_for(archives, Architecture.ARM64) == (archives[2],)
    with pytest.raises(NothingSelectedError, match="runs arm64 functions, but what was built is for x86_64"):
        invocation.layers_for(archives[:2], Architecture.ARM64)


def zipped(path: Path, files: dict[str, tuple[str, int]]) -> LayerArchive:
    with zipfile.ZipFile(path, "w") as opened:
        for name, (text, mode) in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            opened.writestr(entry, text)
    sha256 = str(hash(path.read_bytes()))
    return LayerArchive(path=path, manifest=runtime_manifest(), size=1, unpacked=1, sha256=sha256)


def test_layers_are_merged_with_their_modes_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    runtime = zipped(tmp_path / "r.zip", {"bin/php": ("php", 0o100755), "both": ("runtime", 0o100644)})
    vendor = zipped(tmp_path / "v.zip", {"vendor/autoload.php": ("auto", 0o100644), "both": ("vendor", 0o100644)})
    tree = layers.unpack([runtime, vendor])
    assert (tree / "bin/php").stat().st_mode & 0o777 == 0o755
    assert (tree / "vendor/autoload.php").read_text() == "auto"
    assert (tree / "both").read_text() == "vendor"
    (tree / "kept").touch()
    assert (layers.unpack([runtime, vendor]) / "kept").exists()
    assert layers.unpack([runtime]) != tree
    assert not list(tree.parent.glob("unfinished-*"))


def test_a_broken_archive_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    runtime = zipped(tmp_path / "r.zip", {"bin/php": ("php", 0o100755), "z": ("z" * 1000, 0o100644)})
    data = bytearray(runtime.path.read_bytes())
    data[data.index(b"zzz") + 10] ^= 1
    runtime.path.write_bytes(data)
    with pytest.raises(UsageError, match=r"r\.zip is damaged: Bad CRC-32"):
        layers.unpack([runtime])
    assert list((tmp_path / "cache" / "layers").iterdir()) == []


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../outside": ("x", 0o100644)}, "would be written outside the layer"),
        ({"/outside": ("x", 0o100644)}, "would be written outside the layer"),
        ({"a/../../outside": ("x", 0o120777)}, "would be written outside the layer"),
        ({"link": ("..", 0o120777), "link/outside": ("x", 0o100644)}, "has link both as a folder and as a symbolic"),
    ],
)
def test_no_layer_writes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, tuple[str, int]], why: str
) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=why):
        layers.unpack([zipped(tmp_path / "bad.zip", files)])
    assert not list(tmp_path.rglob("outside"))


def test_a_file_replaces_the_link_of_a_layer_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHPLAYER_CACHE", str(tmp_path / "cache"))
    below = zipped(tmp_path / "below.zip", {"real": ("real", 0o100644), "name": ("real", 0o120777)})
    above = zipped(tmp_path / "above.zip", {"name": ("new", 0o100644)})
    tree = layers.unpack([below, above])
    assert ((tree / "name").read_text(), (tree / "real").read_text()) == ("new", "real")


def test_lambda_would_not_take_a_sixth_layer_nor_more_than_250_mb(tmp_path: Path) -> None:
    small, large = (LayerZip(path=tmp_path, unpacked=size, sha256="") for size in (1, layers.UNPACKED_LIMIT - 10))
    (tmp_path / "ten.php").write_bytes(b"0123456789")
    layers.check([small] * 5, tmp_path)
    layers.check([large], tmp_path)
    with pytest.raises(UsageError, match="These are 6 layers; Lambda takes 5 at most"):
        layers.check([small] * 6, tmp_path)
    with pytest.raises(UsageError, match="have 262,144,001 bytes unpacked; Lambda takes 262,144,000 at most"):
        layers.check([large, small], tmp_path)


def test_a_layer_may_be_any_zip_but_must_be_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "any.zip", "w") as archive:
        archive.writestr("a/b", "four")
    assert LayerZip.read(tmp_path / "any.zip").unpacked == 4
    (tmp_path / "none.zip").write_text("no zip")
    for name, words in (("none.zip", "none.zip is not a zip"), ("missing.zip", "missing.zip cannot be read: No such")):
        with pytest.raises(UsageError, match=words):
            LayerZip.read(tmp_path / name)


def test_variables_are_names_with_values() -> None:
    assert invocation.variables(["A1=x=y", "B_c="]) == {"A1": "x=y", "B_c": ""}
    for pair in ("A1", "=x", "1A=x", "A-B=x", "A=x", "A1=\0"):
        with pytest.raises(UsageError, match="is not NAME=VALUE"):
            invocation.variables([pair])


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 100_000])
def test_a_client_context_is_a_json_object(text: str) -> None:
    assert invocation.client_context('{"custom": {}}') == '{"custom": {}}'
    with pytest.raises(UsageError, match="--client-context is not a JSON object"):
        invocation.client_context(text)


def test_what_lambda_reserves_goes_before_the_functions_variables_and_those_before_the_rest() -> None:
    mine = {"A": "1", "_HANDLER": "mine", "TZ": "Europe/Rome"}
    spec = FunctionSpec(folder=Path(), layers=Path(), handler="index", name="f", environment=mine)
    variables = environment(spec, api="127.0.0.1:1")
    assert variables["A"] == "1"
    assert variables["_HANDLER"] == "index"
    assert variables["TZ"] == "Europe/Rome"
    assert variables["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:1"
    assert "AWS_LAMBDA_MAX_CONCURRENCY" not in variables
    several = environment(dataclasses.replace(spec, concurrency=4), api="127.0.0.1:1")
    assert several["AWS_LAMBDA_MAX_CONCURRENCY"] == "4"


def test_the_report_is_lambdas_line() -> None:
    plain = InvokeResult(
        request_id="id",
        payload=b"1",
        error=None,
        logs="",
        duration_ms=1.234,
        init_ms=60.1,
        peak_memory_mb=47.2,
        memory_mb=128,
    )
    assert plain.report == (
        "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 62 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 48 MB\tInit Duration: 60.10 ms"
    )
    failed = dataclasses.replace(
        plain, init_ms=None, peak_memory_mb=300.0, status="error", error_type="Runtime.OutOfMemory"
    )
    assert failed.report == (
        "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory"
    )
    assert dataclasses.replace(plain, status="timeout").report.endswith("\tStatus: timeout")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"errorType": "E", "errorMessage": "m", "stackTrace": ["a", "b"]}',
            FunctionError(type="E", message="m", stack=("a", "b")),
        ),
        (b'{"errorType": "E", "stackTrace": "x"}', FunctionError(type="E", message="")),
        (b"[]", FunctionError(type="Unknown", message="[]")),
        (b"\xff", FunctionError(type="Unknown", message="\ufffd")),
    ],
)
def test_errors_are_read_in_whatever_form_they_come(body: bytes, error: FunctionError) -> None:
    assert FunctionError.decode(body) == error


def test_a_client_context_has_lambdas_limit() -> None:
    """3,583 bytes in base64, which writes three bytes with four."""
    largest = '{"a":"%s"}' % ("x" * (3583 // 4 * 3 - 8))
    assert invocation.client_context(largest) == largest
    with pytest.raises(UsageError, match="has 3,584 bytes in base64; Lambda takes up to 3,583"):
        invocation.client_context(largest.replace("x", "xx", 1))
