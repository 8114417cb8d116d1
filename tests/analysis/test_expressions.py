"""Expressions in the flow around them: which roots exist where, and of what type they are."""

from __future__ import annotations

import pytest

from tests.compiler.support import codes, compile_source

EACH = """
flow: example
outputs: {{text: str}}
events: {{A: {{text: str}}, B: {{size: int}}}}
steps:
  both: {{on: Start, emit: {{all: [{{event: A, with: {{text: x}}}}, {{event: B, with: {{size: 1}}}}]}}}}
  end:
    on: [A, B]
    collect: each
    emit: {{event: Stop, with: {{text: "${{{{ {source} }}}}"}}}}
"""
BY = """
flow: example
outputs: {{text: any}}
steps:
  ask:
    on: Start
    call: text.words
    with: {{text: x}}
    fallback: {{call: text.slug, with: {{text: x}}}}
    emit: {{event: Stop, with: {{text: "${{{{ {source} }}}}"}}}}
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [("events[0].text", []), ("events[-2].text", []), ("events[1].text", ["FLW321"]), ("events[1].size", ["FLW503"])],
)
def test_the_events_of_each_have_their_own_types(source: str, expected: list[str]) -> None:
    assert codes(compile_source(EACH.format(source=source))) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("result.words if meta.by == 'call' else result", []),
        ("result if meta.by != 'call' else result.words", []),
        ("result.wordz if meta.by == 'call' else 0", ["FLW321"]),
    ],
)
def test_the_result_is_known_where_meta_by_is_asked(source: str, expected: list[str]) -> None:
    assert codes(compile_source(BY.format(source=source))) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("title: ${{ result }}", ["FLW322"]),
        ("title: ${{ outcome }}", ["FLW322"]),
        ("title: ${{ inputs.topik }}", ["FLW321"]),
        ("title: ${{ steps.x.result }}", ["FLW320"]),
        ("title: ${{ ev.topic }} ${{ run.id }} ${{ now }}", []),
    ],
)
def test_roots_exist_only_where_they_have_a_value(line: str, expected: list[str]) -> None:
    text = f"flow: x\ninputs: {{topic: str}}\nsteps:\n  a:\n    on: Start\n    ask:\n      {line}\n      form: {{ok: bool}}\n"
    assert codes(compile_source(text + "      to: {users: [kim]}\n    emit: Stop\n")) == expected


def test_a_finding_points_at_the_name_through_folded_text() -> None:
    text = (
        "flow: x\ninputs: {topic: str}\nsteps:\n  a:\n    on: Start\n    call: text.slug\n    with:\n"
        "      text: >\n        one\n        two ${{ inputs.topik }}\n    emit: Stop\n"
    )
    (finding,) = compile_source(text).diagnostics
    assert (finding.span.line, finding.span.column, finding.span.end_column) == (10, 24, 29)


def test_items_of_a_fan_out_have_the_type_of_the_list() -> None:
    text = (
        "flow: x\ninputs: {rows: [{name: str}]}\nevents: {Row: {name: str}}\nsteps:\n  a:\n    on: Start\n"
        "    emit: {event: Row, for_each: inputs.rows, with: {name: '${{ item.nam }}'}}\n"
        "  b: {on: Row, collect: all, emit: Stop}\n"
    )
    assert codes(compile_source(text)) == ["FLW321"]


def test_the_structured_answer_of_a_model_has_the_schema_that_was_asked_for() -> None:
    text = (
        "flow: x\noutputs: {label: str}\nsteps:\n  a:\n    on: Start\n    call: llm.chat\n"
        "    with: {prompt: x, schema: {label: bug | other}}\n"
        "    emit: {event: Stop, with: {label: '${{ result.data.lable }}'}}\n"
    )
    assert codes(compile_source(text)) == ["FLW321"]
