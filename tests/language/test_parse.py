"""Whole flows to specs: every construct, defaults, and that nothing unknown or misspelt is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.language.flow_reader import parse_flow
from orchestrator.language.spec import Located
from orchestrator.language.template_text import ExprSource, Literal, MapValue, Template
from tests.language.support import found, good, good_step, help_of, parse, step_text

FLOWS = Path(__file__).parent / "flows"


def every() -> str:
    return (FLOWS / "every-construct.flow.yaml").read_text("utf-8")


@pytest.mark.parametrize("file", sorted(FLOWS.glob("*.flow.yaml")), ids=lambda file: file.name)
def test_the_example_flows_have_no_finding(file: Path) -> None:
    assert parse_flow(file.read_bytes(), file.name).diagnostics == ()


@pytest.mark.parametrize("word", ["aks", "Ask", "asks", "ask_", "sak"])
def test_a_misspelt_verb_never_starts(word: str) -> None:
    """The flow of Microsoft's framework that published unapproved content, in our wording."""
    text = (FLOWS / "publish-post.flow.yaml").read_text("utf-8").replace("    ask:", f"    {word}:")
    (diagnostic,) = parse(text).diagnostics
    assert (diagnostic.code, diagnostic.severity.value, diagnostic.help) == ("FLW201", "error", "did you mean `ask`?")
    assert diagnostic.fix is not None
    assert diagnostic.fix.edits[0].text == "ask"


def test_microsofts_file_itself_never_starts() -> None:
    text = "kind: Workflow\nid: x\nactions:\n  - kind: Quesiton\n    id: legal\n  - kind: SendActivity\n    activity: PUBLISHED\n"
    parsed = parse(text)
    assert parsed.spec is None or not parsed.spec.steps
    assert {d.code for d in parsed.diagnostics} == {"FLW201", "FLW202"}


def test_a_missing_key_and_its_misspelling_are_one_finding() -> None:
    assert found("flwo: a\nsteps: {w: {on: Start, emit: Stop}}\n") == ["1:1 FLW201"]
    assert found(step_text("on: Start", "wait: {evnet: Paid}")) == ["5:12 FLW201"]
    assert found(step_text("onn: Start", "emit: Stop")) == ["4:5 FLW201"]


@pytest.mark.parametrize(
    ("line", "place", "meant"),
    [
        ("call: a.b\nretyr: {max: 2}", "6:5", "retry"),
        ("call: a.b\nretry: {mx: 2}", "6:13", "max"),
        ("call: a.b\nWITH: {}", "6:5", "with"),
        ("call: a.b\ntime-out: 1s", "6:5", "timeout"),
        ("if: true\nemit: Stop", "5:5", "when"),
        ("uses: a.b", "5:5", "call"),
        ("call: a.b\nargs: {}", "6:5", "with"),
        ("emit: {evnt: Stop}", "5:12", "event"),
        ("emit: {event: Stop, wiht: {}}", "5:25", "with"),
        ("ask: {titel: x}", "5:11", "title"),
        ("ask: {to: {group: [a]}}", "5:16", "groups"),
        ("collect: {cuont: 3}\nemit: none", "5:15", "count"),
        ("call: a.b\ncatch: [{error: any, event: X}]", "6:14", "errors"),
    ],
)
def test_unknown_keys_are_errors_with_the_key_that_was_meant(line: str, place: str, meant: str) -> None:
    text = step_text("on: Start", line)
    assert found(text) == [f"{place} FLW201"]
    assert help_of(text) == f"did you mean `{meant}`?"


def test_an_unknown_key_far_from_any_lists_those_there_are() -> None:
    assert help_of(step_text("on: Start", "call: a.b", "cache: {key: x, zzzzz: 1}")) == "the keys are `key`, `ttl`"


def test_keys_that_begin_with_x_are_kept() -> None:
    assert good("x-a: {b: [1]}\nflow: a\nsteps: {w: {on: Start, emit: Stop}}\n").extensions == {"x-a": {"b": [1]}}


def test_names_of_scripts_without_capitals_are_fine() -> None:
    spec = good(
        "flow: 発行\nevents: {承認: {本文: str}}\nsteps:\n  審査: {on: Start, emit: 承認}\n"
        "  تدقيق: {on: 承認, emit: Stop}\n  समीक्षा: {on: 審査, emit: Stop}\n"
    )
    assert list(spec.steps) == ["審査", "تدقيق", "समीक्षा"]


def test_every_key_of_a_step_reaches_the_spec() -> None:
    step = good(every()).steps["write"]
    assert [name.value for name in step.on or ()] == ["Start", "rework.done"]
    assert step.retry is not None
    assert step.retry.max_delay is not None
    assert (step.retry.max_delay.value.seconds, [e.value for e in step.retry.errors]) == (
        60.0,
        ["http.5xx", "http.*", "timeout", "any"],
    )
    assert step.rate is not None
    assert (step.rate.count, step.rate.per_s) == (10, 60.0)
    assert step.repeat is not None
    assert step.repeat.until.text == "result.done"
    assert [c.event.value for c in step.catch] == ["DeadLetter", "none"]
    assert step.emit is not None
    assert step.emit.entries[0].set is not None
    assert isinstance(step.deadline, Located)


def test_every_part_of_an_ask_reaches_the_spec() -> None:
    step = good(every()).steps["review"]
    assert step.ask is not None
    assert list(step.ask.form) == ["verdict", "notes"]
    assert {name: sorted(q.groups) or q.count for name, q in step.ask.quorum.items()}.keys() == {"approve", "rework"}
    assert isinstance(step.ask.deadline, ExprSource)
    assert step.ask.to is not None
    assert isinstance(step.ask.to.groups, ExprSource)
    assert step.ask.delegate
    assert step.emit is not None
    assert step.emit.mode == "outcomes"
    assert [(e.outcome.value, e.event.value) for e in step.emit.entries if e.outcome] == [
        ("approve", "Approved"),
        ("rework", "rework"),
        ("timeout", "Failed"),
    ]


def test_every_form_of_collect_reaches_the_spec() -> None:
    steps = good(every()).steps
    modes = {name: step.collect.mode for name, step in steps.items() if step.collect}
    assert modes == {
        "merge": "all",
        "pairs": "each",
        "three": "count",
        "fastest": "first",
        "until_closed": "until",
        "until_many": "until",
    }
    pairs, fastest = steps["pairs"].collect, steps["fastest"].collect
    assert pairs is not None
    assert fastest is not None
    assert ([n.value for n in pairs.each], pairs.by_arrival, pairs.on_timeout and pairs.on_timeout.value) == (
        ["Paid", "Refunded"],
        True,
        "Expired",
    )
    assert (isinstance(fastest.count, ExprSource), fastest.cancels_rest) == (True, True)


def test_events_triggers_tests_and_imports_reach_the_spec() -> None:
    spec = good(every())
    assert [name for name, event in spec.events.items() if event.is_external] == ["Paid", "Refunded"]
    assert list(spec.events["Refunded"].fields) == ["external", "order"]
    assert [t.kind for t in spec.triggers] == ["cron", "webhook", "event"]
    assert {name: i.kind for name, i in spec.imports.items()} == {
        "translate": "flow",
        "score": "python",
        "Article": "python",
    }
    test = spec.tests[0]
    assert list(test.mocks) == ["write", "write.fallback", "write.undo"]
    assert [answer.value for answer in test.answers["review"]] == [
        {"as": "lee", "verdict": "approve"},
        {"as": "noa", "verdict": "approve"},
    ]
    assert test.events[0].after is not None
    assert test.events[0].after.value.seconds == 3600


def test_defaults_go_to_the_steps_that_can_take_them_and_do_not_write_them() -> None:
    steps = good(every()).steps
    assert steps["summarise"].timeout is not None
    assert steps["summarise"].timeout.value.seconds == 60
    assert steps["write"].timeout is not None
    assert steps["write"].timeout.value.seconds == 30
    assert (steps["review"].timeout, steps["split"].retry) == (None, None)


def test_a_mistake_in_defaults_is_found_once() -> None:
    text = "flow: a\ndefaults: {retry: {max: 0}}\nsteps:\n  a: {on: Start, call: x.y}\n  b: {on: a, call: x.y}\n"
    assert found(text) == ["2:25 FLW205"]


def test_values_keep_their_types_and_split_at_expressions() -> None:
    step = good_step(
        "on: Start",
        "call: a.b",
        "with:",
        "  n: 5",
        "  whole: ${{ ev.x }}",
        "  mixed: \"a ${{ ev.x }} b ${{ {'k': {'n': 1}} }}\"",
        "  deep: [{x: '{{ no }}'}]",
    )
    assert step.call is not None
    assert isinstance(step.call.with_, MapValue)
    n, whole, mixed, _ = step.call.with_.entries.values()
    assert isinstance(n, Literal)
    assert n.value == 5
    assert isinstance(whole, ExprSource)
    assert isinstance(mixed, Template)
    assert [part if isinstance(part, str) else part.text for part in mixed.parts] == [
        "a ",
        "ev.x",
        " b ",
        "{'k': {'n': 1}}",
    ]


@pytest.mark.parametrize("when", ["ev.x", "${{ ev.x }}", "  ${{ev.x}}  ", "'ev.x'", "|-\n      ev.x"])
def test_a_condition_may_be_bare_or_one_whole_expression(when: str) -> None:
    step = good_step("on: Start", f"when: {when}", "emit: Stop")
    assert step.when is not None
    assert step.when.text == "ev.x"


@pytest.mark.parametrize("text", ["${{ a }} ", " ${{ a }}", "${{ a }}${{ b }}"])
def test_text_around_an_expression_makes_a_string(text: str) -> None:
    step = good_step("on: Start", "call: a.b", f"with: {{x: '{text}'}}")
    assert step.call is not None
    assert step.call.with_ is not None
    assert isinstance(step.call.with_.entries["x"], Template)


def test_quotes_and_braces_inside_an_expression_do_not_end_it() -> None:
    step = good_step("on: Start", "call: a.b", "with:", "  x: ${{ '}}' }}", "  y: '${{ \"}}\" ~ x }}!'")
    assert step.call is not None
    assert step.call.with_ is not None
    x = step.call.with_.entries["x"]
    assert isinstance(x, ExprSource)
    assert x.text == "'}}'"


def test_an_empty_file_and_one_of_comments_are_no_flow() -> None:
    assert found("") == ["1:1 FLW200"]
    assert found("# nothing\n") == ["1:1 FLW200"]
    assert found("just text\n") == ["1:1 FLW200"]


def test_names_that_hide_a_character_are_refused_where_they_are_used() -> None:
    assert found(step_text("on: Sta\u200brt", "emit: Stop")) == ["4:9 FLW103"]


def test_findings_stop_at_a_bound() -> None:
    told = found("flow: a\nsteps:\n" + "".join(f"  s{i}: {{onn: x}}\n" for i in range(1000)))
    assert len(told) == 201
    assert told[-1].endswith("FLW118")  # says that there may be more
