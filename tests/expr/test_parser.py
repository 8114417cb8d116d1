"""Reading: precedence, places, and what is said of text that is no expression."""

from __future__ import annotations

import pytest

from orchestrator.expr import ExprSyntaxError, parse
from orchestrator.expr.nodes import Attr, Compare, Filter, Literal, used_names, walk
from orchestrator.expr.unparse import unparse


def fault(source: str) -> ExprSyntaxError:
    with pytest.raises(ExprSyntaxError) as caught:
        parse(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "grouped"),
    [
        ("a or b and not c", "a or (b and (not c))"),
        ("not a == b", "not (a == b)"),
        ("a + b ~ c * d", "a + (b ~ (c * d))"),
        ("a - b - c", "(a - b) - c"),
        ("a + b | length", "a + (b | length)"),
        ("-a | abs", "(-a) | abs"),
        ("-a ** b", "(-a) ** b"),
        ("a * b ** c", "a * (b ** c)"),
        ("a < b <= c", "a < b <= c"),
        ("a not in b", "a not in b"),
        ("x if a else y if b else z", "x if a else (y if b else z)"),
        ("a is not none and b", "(a is not none) and b"),
        ("a + b is number", "a + (b is number)"),
        ("a | first | default('x')", 'a | first | default("x")'),
        ("(1, 2)", "[1, 2]"),
        ("a.0.b[-1][1:2]", "a[0].b[-1][1:2]"),
        ("'a' 'b'", '"ab"'),
        ("a is divisibleby 3", "a is divisibleby(3)"),
    ],
)
def test_operators_bind_as_in_jinja(source: str, grouped: str) -> None:
    assert unparse(parse(source)) == unparse(parse(grouped))


def test_every_node_knows_its_place() -> None:
    source = "ev.score >= (limits['a'] | first) and  not ev.done"
    for node in walk(parse(source)):
        assert 0 <= node.start < node.end <= len(source)
        if isinstance(node, Attr):
            assert source[node.start : node.end].endswith(f".{node.name}")


def test_a_node_spans_its_parentheses() -> None:
    source = "1 + (a | length).b * 2"
    texts = {type(node): source[node.start : node.end] for node in walk(parse(source))}
    assert texts[Filter] == "a | length"
    assert texts[Attr] == "(a | length).b"


def test_words_of_the_language_are_fine_as_fields() -> None:
    assert used_names(parse("ev.in.is.not.true.if")) == {"ev.in.is.not.true.if"}


@pytest.mark.parametrize("source", ["null", "none", "None"])
def test_null_has_three_spellings(source: str) -> None:
    assert parse(source) == Literal(None, 0, len(source))


def test_names_and_paths_that_are_read_are_listed() -> None:
    tree = parse("ev.user.name ~ answers[-1].notes ~ inputs['a'].b ~ (x | default(state.y)) ~ m[ev.k]")
    assert used_names(tree) == {"ev.user.name", "answers[].notes", "inputs.a.b", "x", "state.y", "m[]", "ev.k"}


@pytest.mark.parametrize(
    ("source", "code", "start", "end"),
    [
        ("", "FLW305", 0, 0),
        ("a b", "FLW301", 2, 3),
        ("a +", "FLW301", 2, 3),
        ("a == 'x", "FLW302", 5, 7),
        ("a && b", "FLW306", 2, 4),
        ("a || b", "FLW306", 2, 4),
        ("!a", "FLW306", 0, 1),
        ("a = 1", "FLW306", 2, 3),
        ("a === 1", "FLW306", 2, 5),
        ("a ? b : c", "FLW306", 2, 3),
        ("${{ a }}", "FLW306", 0, 3),
        ("a == “x”", "FLW306", 5, 6),
        ("a | uper", "FLW307", 4, 8),
        ("a is defind", "FLW308", 5, 11),
        ("a | join(x=1)", "FLW309", 9, 10),
        ("a | upper(1)", "FLW309", 10, 11),
        ("a | replace('x')", "FLW309", 4, 11),
        ("a is gt", "FLW309", 5, 7),
        ("a | map('nope')", "FLW307", 9, 13),
        ("a | select('nope')", "FLW308", 12, 16),
        ("a | select('gt')", "FLW309", 12, 14),
        ("a | map(attribute=b)", "FLW309", 18, 19),
        ("a.b.upper()", "FLW310", 4, 9),
        ("len(a)", "FLW310", 0, 3),
        ("a.__class__", "FLW311", 2, 11),
        ("_a", "FLW311", 0, 2),
        ("a | map(attribute='b._c')", "FLW311", 18, 24),
        ("[1, 2", "FLW313", 0, 1),
        ("{'a': 1", "FLW313", 0, 1),
        ("a[1", "FLW313", 1, 2),
        ("007", "FLW314", 0, 3),
        ("1e999", "FLW314", 0, 5),
        ("a if b", "FLW315", 2, 4),
        ("{a: 1}", "FLW301", 1, 2),
        ("a ** b ** c", "FLW301", 7, 9),
        ("a[]", "FLW301", 1, 3),
        ("a\u202eb", "FLW301", 1, 2),
        ("'\\ud800'", "FLW302", 0, 8),
    ],
)
def test_a_mistake_is_found_at_its_column(source: str, code: str, start: int, end: int) -> None:
    found = fault(source)
    assert (found.code, found.start, found.end) == (code, start, end)


@pytest.mark.parametrize(
    ("source", "replacement"),
    [
        ("a&&b", " and "),
        ("a||b", " or "),
        ("a || b", "or"),
        ("a !== 1", "!="),
        ("!a", "not "),
        ("a && b", "and"),
        ("a | uper", "upper"),
        ("a is defind", "defined"),
        ("a = 1", "=="),
        ("{a: 1}", "'a'"),
    ],
)
def test_a_near_miss_comes_with_what_mends_it(source: str, replacement: str) -> None:
    found = fault(source)
    assert found.replacement == replacement
    mended = source[: found.start] + replacement + source[found.end :]
    parse(mended)


def test_the_method_of_another_language_is_answered_with_the_filter() -> None:
    assert fault("ev.name.upper()").help == "write `| upper`"
    assert fault("now()").help == "write `now`, a value"


def test_limits_of_size_count_and_depth_are_enforced() -> None:
    assert fault("'" + "x" * 16_384 + "'").code == "FLW312"
    assert fault("+".join("a" * 45)).code == "FLW312"
    assert fault("[" + ",".join(["1"] * 2_001) + "]").code == "FLW312"
    assert fault("(" * 50 + "1" + ")" * 50).code == "FLW312"
    parse(" or ".join(["a"] * 900))  # long is fine where it is not deep


def test_a_chain_of_comparisons_is_one_node() -> None:
    tree = parse("1 < a <= 3 != b")
    assert isinstance(tree, Compare)
    assert [op for op, _ in tree.rest] == ["<", "<=", "!="]
