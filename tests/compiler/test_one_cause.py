"""One mistake, one message: what follows from a misspelt declaration is told with it, and nothing hides a second mistake."""

from __future__ import annotations

import pytest

from orchestrator.compiler.compile import compile_text
from orchestrator.diagnostics import Diagnostic
from tests.compiler.support import catalog

FLOW = """\
flow: example
inputs:
  shops: {type: [str], default: [north]}
events:
  Mood: {mood: str}
  Paid:
    external: true
    fields: {order: str, by: str}
steps:
  ask:
    on: Start
    for_each: inputs.shops
    call: demo.upper
    with: {text: "${{ item }}"}
    emit: {event: Mood, with: {mood: good}}
  tell:
    on: Mood
    when: ev.mood == "good"
    wait: {event: Paid, match: {order: "1"}, within: 1d}
    emit: {event: Stop, with: {mood: "${{ ev.mood }}"}}
  late:
    on: tell.timeout
    emit: Stop
outputs: {mood: str | null}
"""


def findings(text: str) -> tuple[Diagnostic, ...]:
    return compile_text(text.encode(), "f.flow.yaml", catalog=catalog()).diagnostics


def test_the_flow_of_these_tests_is_right() -> None:
    assert findings(FLOW) == ()


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("Mood: {mood: str}", "Mood: {mod: str}", "has no field `mood`"),
        ("{type: [str], default", "{tpe: [str], default", "the long form of a type has no key `tpe`"),
        ("type: [str], default", "type: [str, int], default", "a list type has one type in it, not 2"),
        ("    external: true", "    extrnal: true", "the long form of an event has no key `extrnal`"),
        ("    fields: {order", "    fiels: {order", "the long form of an event has no key `fiels`"),
    ],
)
def test_a_mistake_in_a_declaration_is_one_finding(right: str, wrong: str, message: str) -> None:
    found = findings(FLOW.replace(right, wrong))
    assert len(found) == 1
    assert message in found[0].message


def test_the_fix_of_a_misspelt_declaration_mends_every_use() -> None:
    found = findings(FLOW.replace("Mood: {mood: str}", "Mood: {mod: str}"))
    assert found[0].fix is not None
    assert len(found[0].fix.edits) == 3


def test_a_mistake_does_not_hide_another_one_of_its_line() -> None:
    found = findings(FLOW.replace("wait: {event: Paid, match", "wait: {event: Payd, mach"))
    assert {d.code for d in found} == {"FLW201", "FLW401"}


def test_an_event_with_a_field_that_looks_like_a_key_is_left_alone() -> None:
    assert findings(FLOW.replace("Mood: {mood: str}", "Mood: {mood: str, field: str | null, schem: str | null}")) == ()
