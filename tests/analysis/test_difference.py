"""Two versions of a flow as sentences."""

from __future__ import annotations

import pytest

from orchestrator.analysis.difference import difference
from orchestrator.ir.model import FlowIR
from tests.compiler.support import compile_source

BASE = """
flow: example
inputs: {topic: str}
events: {Approved: {by: [str]}}
steps:
  review:
    on: Start
    ask:
      title: Publish?
      form: {verdict: approve | reject}
      to: {groups: [editors, legal]}
      quorum: {approve: 1}
      deadline: 2d
    emit:
      - {when: outcome == "approve", event: Approved, with: {by: "${{ voters }}"}}
      - event: Stop
  publish:
    on: Approved
    call: http.post
    with: {url: https://cms.example/posts}
    timeout: 10s
    emit: Stop
"""


def flow(text: str) -> FlowIR:
    found = compile_source(text).flow
    assert found is not None
    return found


def changed(old: str, new: str) -> list[str]:
    assert old in BASE
    return difference(flow(BASE), flow(BASE.replace(old, new)))


def test_equal_flows_have_no_difference() -> None:
    assert difference(flow(BASE), flow("# a comment\n" + BASE)) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("approve: 1", "approve: {editors: 2}", "approve of step `review` now needs 2 of editors (was 1)"),
        ("deadline: 2d", "deadline: 3d", 'the deadline of step `review` is now "3d" (was "2d")'),
        ("[editors, legal]", "[editors]", "the groups of step `review`: `editors` (was `editors` and `legal`)"),
        ("topic: str", "topic: int", "the input `topic` is now int (was str)"),
        ("topic: str", "topic: str, lang: str | null", "the input `lang` is new (str | null), which may be left out"),
        ("by: [str]", "by: [str], n: str | null", "the field `n` of event `Approved` is new (str | null), which may be left out"),
        ("    timeout: 10s\n", "", 'the timeout of step `publish` is gone (was "10s")'),
        ("http.post", "http.put", "step `publish` now calls `http.put` (was `http.post`)"),
        ("/posts", "/articles", 'step `publish` passes `url` to "https://cms.example/articles" (was "https://cms.example/posts")'),
        ("    timeout: 10s\n", "    when: now > 'x'\n", "step `publish` is now optional: it runs when `now > 'x'`"),
        ("    on: Approved\n", "    on: [Approved, Start]\n", "step `publish` now also listens to `Start`"),
        ("title: Publish?", "title: Ready?", 'step `review` asks "Ready?" (was "Publish?")'),
        ("approve | reject", "approve | reject | later", "step `review` offers `later`"),
        ("      - event: Stop", "      - event: publish", "step `review` now starts `publish`"),
    ],
    ids=lambda value: value if len(value) < 30 else "",
)  # fmt: skip
def test_a_change_is_one_plain_sentence(old: str, new: str, sentence: str) -> None:
    assert sentence in changed(old, new)


def test_steps_that_come_and_go_are_named() -> None:
    one, two = (
        flow("flow: x\nsteps:\n  a: {on: Start, emit: Stop}\n"),
        flow("flow: x\nsteps:\n  b: {on: Start, wait: 1h, emit: Stop}\n"),
    )
    assert difference(one, two) == ["step `a` is gone", "step `b` is new: after `Start` it waits"]


def test_the_way_back_mentions_what_is_gone() -> None:
    assert changed("deadline: 2d", "delegate: true") == [
        'the deadline of step `review` is gone (was "2d")',
        "people asked by step `review` may now delegate",
    ]
