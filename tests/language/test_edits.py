"""Fixes are splices: they change what they name and nothing else."""

from __future__ import annotations

import pytest

from orchestrator.diagnostics import Diagnostic, Edit, Fix, Span
from orchestrator.language.edits import Splice, apply_edits, apply_fixes, apply_splices, fix_text, unified_diff
from orchestrator.language.flow_reader import parse_flow
from tests.language.support import FILE, found

BROKEN = """\
# about this flow
flow: a   # its name
inputs:
  tags: 'list[str]'  # odd
steps:
  work:
    on:  Start
    title: Issue #12
    call: http.get
    retyr: 3   # thrice
    timeout: 30 s
"""
MENDED = """\
# about this flow
flow: a   # its name
inputs:
  tags: '[str]'  # odd
steps:
  work:
    on:  Start
    title: "Issue #12"
    call: http.get
    retry: {max: 3}   # thrice
    timeout: 30s
"""


def check(data: bytes) -> tuple[Diagnostic, ...]:
    return parse_flow(data, FILE).diagnostics


def edit(line: int, start: int, end: int, text: str) -> Edit:
    return Edit(Span(FILE, line, start, line, end), text)


def test_fixing_keeps_comments_and_layout() -> None:
    fixed = fix_text(BROKEN, FILE, check)
    assert fixed.text == MENDED
    assert (len(fixed.applied), fixed.diagnostics) == (5, ())


def test_unsafe_fixes_are_only_applied_when_asked_for() -> None:
    text = MENDED.replace("30s", "30")
    assert fix_text(text, FILE, check).text == text
    assert fix_text(text, FILE, check, with_unsafe=True).text == MENDED


def test_edits_are_applied_from_the_end() -> None:
    assert apply_edits("abc\ndef\n", [edit(1, 1, 2, "X"), edit(2, 3, 4, "YY"), edit(1, 3, 3, "-")]) == "Xb-c\ndeYY\n"


def test_overlapping_splices_are_refused_and_overlapping_fixes_wait() -> None:
    with pytest.raises(ValueError, match="overlap"):
        apply_splices("abcdef", [Splice(0, 3, "x"), Splice(2, 4, "y")])
    one, two = Fix("one", (edit(1, 1, 4, "x"),)), Fix("two", (edit(1, 3, 5, "y"),))
    assert apply_fixes("abcdef", [one, two], FILE) == ("xdef", (one,))


def test_fixes_of_other_files_are_left_out() -> None:
    other = Fix("other", (Edit(Span("g", 1, 1, 1, 2), "x"),))
    assert apply_fixes("abc", [other], FILE) == ("abc", ())


def test_a_fix_that_mends_nothing_ends_the_search() -> None:
    useless = Diagnostic(
        "X",
        parse_flow(b"", FILE).diagnostics[0].severity,
        "m",
        Span(FILE, 1, 1, 1, 1),
        fix=Fix("f", (edit(1, 1, 1, "a"),)),
    )
    assert fix_text("b", FILE, lambda _: (useless,)).text == "b"


def test_the_diff_is_that_of_diff() -> None:
    assert unified_diff("a\nb\n", "a\nc\n", "f") == "--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    assert unified_diff("a\n", "a\n", "f") == ""
    assert "No newline" in unified_diff("a", "b", "f")


def test_a_misspelt_key_is_mended_where_it_stands() -> None:
    text = "flow: a\nsteps: {w: {onn: Start, emit: Stop}}\n"
    assert found(fix_text(text, FILE, check).text) == []
