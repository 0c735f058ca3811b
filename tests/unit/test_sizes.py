from __future__ import annotations

from pathlib import Path

import pytest

from phplayer import sizes
from phplayer.errors import UsageError
from phplayer.setting_keys import KEYS
from phplayer.settings import Settings


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("12 MB", 12_000_000),
        ("12MB", 12_000_000),
        ("12mb", 12_000_000),
        ("12m", 12_000_000),
        (" 12 M ", 12_000_000),
        ("12 MiB", 12_582_912),
        ("12mib", 12_582_912),
        ("1.5 GB", 1_500_000_000),
        ("0.5 KiB", 512),
        ("12_000_000", 12_000_000),
        ("12000000 bytes", 12_000_000),
        ("3 kB", 3000),
    ],
)
def test_a_size_is_read_however_it_is_written(text: str, size: int) -> None:
    assert sizes.parse(text) == size


def test_no_number_is_too_long() -> None:
    assert (sizes.parse("9" * 400) or 0) > 10**399


@pytest.mark.parametrize(
    "text", ["", "MB", "-3 MB", "8,5 MB", "8 MB zipped", "1e6", "inf", "nan", "0x10", "1__0", "_1", "\u0661 MB", "8 PB"]
)
def test_what_is_no_size_is_none(text: str) -> None:
    assert sizes.parse(text) is None


@pytest.mark.parametrize("name", [key.name for key in KEYS if key.size])
def test_a_setting_that_is_a_size_can_be_a_number_of_bytes(tmp_path: Path, name: str) -> None:
    table, _, key = name.partition(".")
    (tmp_path / "phplayer.toml").write_text(f"[{table}]\n{key} = 12_000_000\n")
    assert Settings.load(start=tmp_path, environment={}).size(name) == 12_000_000


@pytest.mark.parametrize("value", ["-1", "1.5", "true", "[1]"])
def test_and_nothing_else(tmp_path: Path, value: str) -> None:
    (tmp_path / "phplayer.toml").write_text(f"[layer]\nmax_size = {value}\n")
    with pytest.raises(UsageError, match=r"layer\.max_size must be a string"):
        Settings.load(start=tmp_path, environment={})
