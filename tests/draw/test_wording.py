"""Short texts: values, durations, conditions, and what is taken out of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.draw.measure import cells, fit, fit_cells, mono_width, text_width
from orchestrator.draw.wording import condition_text, duration_text, join_text, one_line, shorten, value_text
from orchestrator.ir.model import JoinIR


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m"), (90, "1m 30s"), (7200, "2h"), (93_784, "1d 2h")],
)
def test_durations_read_as_they_are_written_in_a_flow(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"$expr": "ev.order"}, "ev.order"),
        ({"$text": ["Hi ", {"$expr": "ev.name"}, "!"]}, "Hi {ev.name}!"),
        (("a", "b"), "a, b"),
        ({"on": "x", "n": 2}, "on: x, n: 2"),
        (None, "null"),
        (True, "true"),
    ],
)
def test_values_read_without_their_marks(value: object, text: str) -> None:
    assert value_text(value) == text


def test_a_condition_on_the_outcome_is_its_word() -> None:
    assert condition_text("outcome == 'approve'") == "approve"
    assert condition_text('outcome  ==  "a" or  x') == "a or x"
    assert condition_text(None) == ""


@pytest.mark.parametrize(
    ("join", "text"),
    [
        (JoinIR("all", within="2h"), "collect all, within 2h"),
        (JoinIR("count", count=3, key="ev.id"), "collect 3 by ev.id"),
        (JoinIR("count"), "collect a number"),
        (JoinIR("first", count=2), "take first 2"),
        (JoinIR("until", until="count > 3"), "collect until count > 3"),
        (JoinIR("until", until_event="Closed"), "collect until Closed"),
    ],
)
def test_a_join_reads_as_its_rule(join: JoinIR, text: str) -> None:
    assert join_text(join) == text


@given(st.text())
def test_one_line_is_one_line_and_harmless(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not set("\x1b\x00\x7f\u202e\u2028\ufeff") & set(line)
    line.encode()


def test_marks_that_scripts_and_emoji_need_are_kept() -> None:
    assert one_line("👩\u200d💻 می\u200cخواهم e\u0301") == "👩\u200d💻 می\u200cخواهم e\u0301"


@given(st.text(max_size=60), st.floats(30, 300))
def test_a_cut_text_fits_its_room(text: str, room: float) -> None:
    assert text_width(fit(one_line(text), room, 12), 12) <= room + 0.001
    assert mono_width(fit(one_line(text), room, 12, is_mono=True), 12) <= room + 0.001


@given(st.text(max_size=60), st.integers(1, 40))
def test_a_text_cut_for_a_terminal_fits_its_columns(text: str, room: int) -> None:
    assert cells(fit_cells(one_line(text), room)) <= room


def test_a_cut_text_ends_in_an_ellipsis_and_a_short_one_is_whole() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
    assert fit("abcdef", 1000, 12) == "abcdef"


def test_wide_characters_count_double_and_marks_nothing() -> None:
    assert [cells(t) for t in ("abc", "数据", "e\u0301", "😀")] == [3, 4, 1, 2]
    assert text_width("数", 10) > text_width("M", 10) > text_width("i", 10)
