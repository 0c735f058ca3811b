"""Names that layers bring with them, as messages show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phplayer.policy.findings import Rule, Severity
from phplayer.printable import printable
from tests.conftest import Phplayer


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("lib/libé.so", "lib/libé.so"),
        ("a b", "a b"),
        ("x\x1b[2Jy", r"x\x1b[2Jy"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("\x9b2J", r"\x9b2J"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_as_an_escape(name: str, shown: str) -> None:
    assert printable(name) == shown
    rule = Rule(name="rule", severity=Severity.NOTE, summary="", remedy="")
    finding = rule.finding(name, f"is {name}", symbols=(name,))
    assert (finding.file, finding.message, finding.symbols) == (shown, f"is {shown}", (shown,))


def test_a_layer_with_such_names_is_verified(phplayer: Phplayer, tmp_path: Path) -> None:
    opt = tmp_path / "opt"
    opt.mkdir()
    for name in (b"a\x1b[31m.env", b"\xff\xfe"):
        path = os.path.join(os.fsencode(opt), name)  # noqa: PTH118  names that are no text
        with open(path, "wb"):  # noqa: PTH123
            pass
        os.chmod(path, 0o666)  # noqa: PTH101, S103
    done = phplayer("verify", opt, check=False)
    assert done.stdout.count("has mode 0666") == 2
    assert r"a\x1b[31m.env has mode" in done.stdout
    assert r"\udcff\udcfe has mode" in done.stdout
    assert "\x1b" not in done.stdout
    assert "Traceback" not in done.stderr
