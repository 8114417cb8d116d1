"""Every place in a text leads back to the character that was written."""

from __future__ import annotations

import random

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.language.nodes import MapNode, ScalarNode
from orchestrator.language.scalar_map import span_inside
from orchestrator.language.template_text import ExprSource, MapValue, Template
from tests.language.support import good_step, read


def scalar(text: str) -> ScalarNode:
    root = read(text).root
    assert isinstance(root, MapNode)
    node = root.get("a")
    assert isinstance(node, ScalarNode)
    return node


def written(node: ScalarNode, word: str) -> str:
    """What stands in the file at the span of a word of the scalar."""
    start = node.text.index(word)
    span = span_inside(node, start, start + len(word))
    source = node.source
    return source.text[source.offset(span.line, span.column) : source.offset(span.end_line, span.end_column)]


@pytest.mark.parametrize(
    "text",
    [
        "a: one target two\n",
        "a: 'it''s target'\n",
        'a: "x\\n\\u00e9 target"\n',
        "a: one\n  two\n\n  target three\n",
        "a: 'one\n\n  it''s target'\n",
        'a: "one\\\n  two target"\n',
        "a: |\n  one\n    two target\n",
        "a: |2\n    one\n   target\n",
        "a: >\n  one\n  two\n\n    more\n  target\n",
        "a: >-\n\n  one\n\n\n  target x\n",
        "x: 1\r\na: |\r\n  one\r\n  target\r\n",
        "a: Issue #1 target\n",
        "a: |+\n  x\n\n  target\n\n\n",
        "a: &x target\n",
    ],
)
def test_a_word_in_any_kind_of_scalar_is_found(text: str) -> None:
    assert written(scalar(text), "target") == "target"


def test_escapes_map_to_the_whole_escape() -> None:
    node = scalar('a: "x\\u00e9y"\n')
    span = span_inside(node, 1, 2)
    assert (span.column, node.text[1]) == (6, "é")
    assert span_inside(node, 2, 3).column == 12


@given(
    st.lists(st.sampled_from(["word", "two", "x", "é", "'", '"', "\\", "\n", " ", "  ", "#", ": "]), max_size=12),
    st.randoms(),
)
@settings(max_examples=300, deadline=None)
def test_any_text_that_pyyaml_writes_is_mapped_exactly(parts: list[str], rng: random.Random) -> None:
    value = " ".join(parts) + "target"
    style = rng.choice([None, "'", '"', "|", ">"])
    text = yaml.dump({"a": value}, default_style=style, allow_unicode=True, width=rng.choice([10, 80]))
    assume(yaml.safe_load(text)["a"] == value)  # PyYAML does not fold every text so that it comes back
    root = read(text).root
    assert isinstance(root, MapNode)
    node = next(entry.value for entry in root.entries.values())
    assert isinstance(node, ScalarNode)
    assert node.text == value
    assert written(node, "target").replace("\\\n", "").replace(" ", "") == "target"


def test_expressions_know_their_columns_through_folding_and_quotes() -> None:
    step = good_step(
        "on: Start", "call: a.b", "with:", "  x: >-", "    Hello", "    ${{ inputs.name }}", "  y: 'it''s ${{ ev.z }}'"
    )
    assert step.call is not None
    assert isinstance(step.call.with_, MapValue)
    spans = []
    for value in step.call.with_.entries.values():
        assert isinstance(value, Template)
        expr = value.parts[1]
        assert isinstance(expr, ExprSource)
        spans.append((expr.text, expr.span.line, expr.span.column))
    assert spans == [("inputs.name", 9, 13), ("ev.z", 10, 21)]


def test_part_of_an_expression_has_its_own_span() -> None:
    step = good_step("on: Start", "when: inputs.a == ev.bad", "emit: Stop")
    assert step.when is not None
    assert str(step.when.span_of(12, 18)) == "f.flow.yaml:5:23"
