from __future__ import annotations

from phplayer.emulator.log import KEPT, LONGEST, Log


def test_lines_are_told_when_they_are_whole_and_the_last_one_at_the_end() -> None:
    lines: list[str] = []
    log = Log(lines.append)
    with log.of_event() as event:
        log.hear(b"one\ntw")
        assert lines == ["one"]
        log.hear(b"o\n\nthree")
        assert lines == ["one", "two", ""]
    assert lines == ["one", "two", "", "three"]
    assert event.text == "one\ntwo\n\nthree"


def test_each_event_has_what_was_printed_while_it_was_under_way() -> None:
    lines: list[str] = []
    log = Log(lines.append)
    with log.of_event() as outer:
        log.hear(b"a")
        with log.of_event() as inner:
            log.hear(b"b")
        assert lines == [], "another is under way, and may end the line"
        log.hear(b"c\n")
    log.hear(b"d\n")
    assert (outer.text, inner.text, lines) == ("abc\n", "b", ["abc", "d"])


def test_of_a_log_that_is_too_long_the_end_is_kept() -> None:
    log = Log(lambda _line: None)
    with log.of_event() as event:
        for number in range(KEPT // 100_000 + 2):
            log.hear(b"%99999d\n" % number)
    said, _, rest = event.text.partition("\n")
    assert said == f"[{(KEPT // 100_000 + 2) * 100_000 - KEPT:,} bytes before this are left out]"
    assert len(rest) == KEPT
    assert rest.endswith(f" {KEPT // 100_000 + 1}\n")


def test_a_line_that_never_ends_is_told_in_parts() -> None:
    lines: list[str] = []
    log = Log(lines.append)
    for _ in range(10 * LONGEST // 50_000):
        log.hear(b"x" * 50_000)
    assert len(lines) > 5
    assert all(LONGEST < len(line) <= LONGEST + 50_000 for line in lines)
