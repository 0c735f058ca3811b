"""What programs print, line by line."""

from __future__ import annotations

from itertools import islice, repeat

import pytest

from phplayer.engines.lines import LONGEST, lines


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb", b"c\n"], ["a", "bc"]),
        ([b"no end"], ["no end"]),
        ([b"\xc3", b"\xa4\n"], ["ä"]),
        ([b"\xff\n"], ["�"]),
        ([b"windows\r\n\n"], ["windows", ""]),
        ([], []),
    ],
)
def test_pieces_become_lines(chunks: list[bytes], expected: list[str]) -> None:
    assert list(lines(iter(chunks))) == expected


def test_a_line_that_never_ends_is_told_in_parts() -> None:
    endless = lines(repeat(b"x" * 1000))
    assert {len(line) for line in islice(endless, 3)} == {LONGEST}


@pytest.mark.parametrize("size", [100, 1000, 100_000, 10_000_000])
def test_a_long_line_is_cut_however_it_comes_and_nothing_is_lost(size: int) -> None:
    text = b"ab" * LONGEST + b"c\n"
    found = list(lines(text[start : start + size] for start in range(0, len(text), size)))
    assert found == ["ab" * (LONGEST // 2), "ab" * (LONGEST // 2), "c"]
