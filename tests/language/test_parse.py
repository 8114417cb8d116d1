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
        ("call: a.b\nretyr: {max: 2}", "6:5", "retry"), ("call: a.b\nretry: {mx: 2}", "6:13", "max"), ("call: a.b\nWITH: {}", "6:5", "with"),
        ("call: a.b\ntime-out: 1s", "6:5", "timeout"), ("if: true\nemit: Stop", "5:5", "when"), ("uses: a.b", "5:5", "call"), ("call: a.b\nargs: {}", "6:5", "with"),
        ("emit: {evnt: Stop}", "5:12", "event"), ("emit: {event: Stop, wiht: {}}", "5:25", "with"), ("ask: {titel: x}", "5:11", "title"),
        ("ask: {to: {group: [a]}}", "5:16", "groups"), ("collect: {cuont: 3}\nemit: none", "5:15", "count"), ("call: a.b\ncatch: [{error: any, event: X}]", "6:14", "errors"),
    ],
)  # fmt: skip
def test_unknown_keys_are_errors_with_the_key_that_was_meant(line: str, place: str, meant: str) -> None:
    text = step_text("on: Start", line)
    assert found(text) == [f"{place} FLW201"]
    assert help_of(text) == f"did you mean `{meant}`?"


def test_an_unknown_key_far_from_any_lists_those_there_are() -> None:
    assert help_of(step_text("on: Start", "call: a.b", "cache: {key: x, zzzzz: 1}")) == "the keys are `key`, `ttl`"


def test_keys_that_begin_with_x_are_kept() -> None:
    assert good("x-a: {b: [1]}\nflow: a\nsteps: {w: {on: Start, emit: Stop}}\n").extensions == {"x-a": {"b": [1]}}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("call: 5", "FLW206"), ("call: [a.b]", "FLW203"), ("call: http", "FLW206"), ("on: [Start, start, start]", "FLW208"), ("on: Some_Event", "FLW206"),
        ("on: a.finished", "FLW206"), ("on: []", "FLW203"), ("on:", "FLW203"), ("emit: 5", "FLW206"), ("emit: []", "FLW203"), ("emit: {}", "FLW202"),
        ("emit: a.done", "FLW206"), ("emit: {event: Paid, cancel: true}", "FLW210"), ("emit: {event: Stop, cancel: yes}", "FLW203"), ("when:", "FLW203"),
        ("when: [a]", "FLW203"), ("when: ''", "FLW203"), ("set: 5", "FLW203"), ("set: [a]", "FLW203"), ("wait: 5", "FLW215"), ("wait: Paid", "FLW203"),
        ("wait: frid 17:00", "FLW215"), ("wait: x ${{ ev.t }}", "FLW217"), ("wait: {match: {a: 1}}", "FLW202"), ("ask: true", "FLW203"),
        ("ask: {to: {users: kim}}", "FLW203"), ("ask: {quorum: 2}", "FLW203"), ("ask: {quorum: {approve: 0}}", "FLW205"), ("ask: {quorum: {approve: '2'}}", "FLW203"),
        ("ask: {remind: [soon]}", "FLW215"), ("ask: {escalate: {after: 1d}}", "FLW202"), ("ask: {form: [a]}", "FLW203"), ("ask: {delegate: 1}", "FLW203"),
        ("ask: {show: {diff: yesterday}}", "FLW204"), ("collect: some", "FLW204"), ("collect: count", "FLW203"), ("collect: {count: 0}", "FLW205"),
        ("collect: {count: 2, first: 2}", "FLW219"), ("collect: {within: 1h}", "FLW219"), ("collect: {all: true, on_timeout: X}", "FLW210"),
        ("collect: {all: true, cancel: rest}", "FLW210"), ("max_visits: 0", "FLW205"), ("max_visits: many", "FLW203"), ("title: [a]", "FLW203"),
        ("description:", "FLW203"), ("catch: item", "FLW210"), ("catch: {errors: any}", "FLW203"),
        ("'${{ x }}': 1", "FLW201"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_one_error_each(line: str, code: str) -> None:
    lines = ["on: Start"] if not line.startswith("on:") else []
    text = step_text(*lines, *([] if line.startswith(("emit", "wait", "ask", "call")) else ["emit: none"]), line)
    assert [place.split()[1] for place in found(text)] == [code]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("with: [a]", "FLW203"), ("with: {a: '${{ x'}", "FLW116"), ("with: {a: '${{ }}'}", "FLW116"), ("with: {'${{ k }}': 1}", "FLW203"),
        ("id: {a: 1}", "FLW203"), ("cache: 1h", "FLW203"), ("cache: {ttl: 1h}", "FLW202"), ("cache: {key: a, ttl: 60}", "FLW215"),
        ("concurrency: 0", "FLW205"), ("concurrency: lots", "FLW203"), ("concurrency: '4'", "FLW203"), ("rate: 10", "FLW216"), ("rate: 0/1m", "FLW216"),
        ("rate: 10/m", "FLW216"), ("timeout: fri 17:00", "FLW215"), ("timeout: 1 hour", "FLW215"), ("deadline: later", "FLW215"), ("effect: nothing", "FLW204"),
        ("placement: ${{ x }}", "FLW218"), ("placement: 5", "FLW203"), ("retry: 3", "FLW203"), ("retry: {max: 0}", "FLW205"), ("retry: {backoff: 0.5}", "FLW205"),
        ("retry: {jitter: some}", "FLW204"), ("retry: {errors: [HTTP.404]}", "FLW206"), ("retry: {if: 'a ${{ b }}'}", "FLW217"), ("repeat: {every: 1s}", "FLW202"),
        ("repeat: {until: x, every: 5}", "FLW215"), ("fallback: a.b", "FLW203"), ("fallback: {with: {}}", "FLW202"), ("undo: {call: x}", "FLW206"),
        ("for_each: [a, b]", "FLW203"), ("wait: 2h", "FLW209"),
    ],
)  # fmt: skip
def test_what_surrounds_a_call_is_checked(line: str, code: str) -> None:
    text = step_text("on: Start", "call: a.b", line)
    assert [place.split()[1] for place in found(text)] == [code]


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (("emit: Stop", "with: {a: 1}"), "with"), (("emit: Stop", "retry: {max: 2}"), "retry"), (("wait: 1h", "timeout: 1h"), "timeout"),
        (("ask: {title: x}", "deadline: 1d"), "deadline"), (("wait: 1h", "for_each: inputs.a"), "for_each"), (("emit: Stop", "undo: {call: a.b}"), "undo"),
        (("ask: {title: x}", "cache: {key: a}"), "cache"),
    ],
)  # fmt: skip
def test_keys_that_would_do_nothing_are_errors(lines: tuple[str, ...], key: str) -> None:
    (diagnostic,) = parse(step_text("on: Start", *lines)).diagnostics
    assert (diagnostic.code, diagnostic.message.split("`")[1]) == ("FLW210", key)


@pytest.mark.parametrize(
    ("top", "code"),
    [
        ("flow: Draft_Review", "FLW206"), ("flow: 5", "FLW206"), ("flow: [a]", "FLW203"), ("flow: a\nformat: 2", "FLW222"), ("flow: a\nformat: '1'", "FLW203"),
        ("flow: a\nversion: [1]", "FLW203"), ("flow: a\ntimezone: Europe/Berlni", "FLW220"), ("flow: a\nimports: [x]", "FLW203"), ("flow: a\nimports: {x: http://y}", "FLW221"),
        ("flow: a\nimports: {x: ../y.flow.yaml}", "FLW221"), ("flow: a\nimports: {x: os}", "FLW221"), ("flow: a\ninputs: [topic]", "FLW203"), ("flow: a\ninputs: {a-b: str}", "FLW206"),
        ("flow: a\nstate: {n: {type: int}}", "FLW213"), ("flow: a\nsecrets: [token]", "FLW206"), ("flow: a\nsecrets: {A: 1}", "FLW203"), ("flow: a\nevents: [A]", "FLW203"),
        ("flow: a\nevents: {paid: {}}", "FLW206"), ("flow: a\nevents: {Stop: {}}", "FLW207"), ("flow: a\nevents: {Paid: str}", "FLW203"), ("flow: a\nevents: {Paid: [a]}", "FLW203"),
        ("flow: a\nevents: {Paid: {external: 1}}", "FLW203"), ("flow: a\ntriggers: {cron: x}", "FLW203"), ("flow: a\ntriggers: [{when: x}]", "FLW219"), ("flow: a\ntriggers: [{cron: '* *'}]", "FLW224"),
        ("flow: a\ntriggers: [{event: paid}]", "FLW206"), ("flow: a\ntriggers: [{webhook: {path: hook, verify: {hmac: A, header: X}}}]", "FLW224"), ("flow: a\ntriggers: [{webhook: {path: /h}}]", "FLW202"),
        ("flow: a\ntriggers: [{event: Paid, timezone: UTC}]", "FLW201"), ("flow: a\nconcurrency: single", "FLW203"), ("flow: a\nconcurrency: {mode: serial}", "FLW204"), ("flow: a\ntimeout: 5", "FLW215"),
        ("flow: a\ndefaults: {retyr: {max: 1}}", "FLW201"), ("flow: a\ndefaults: {timeout: 5}", "FLW215"), ("flow: a\ntests: {name: x}", "FLW203"), ("flow: a\ntests: [{inputs: {}}]", "FLW202"),
        ("flow: a\ntests: [{name: x, mocks: {nope: 1}}]", "FLW225"), ("flow: a\ntests: [{name: x, expect: {path: [nope]}}]", "FLW225"), ("flow: a\ntests: [{name: x, answers: {w: [{verdict: y}]}}]", "FLW202"),
        ("flow: a\ntests: [{name: x}, {name: x}]", "FLW208"),
    ],
)  # fmt: skip
def test_the_top_of_a_flow_is_checked(top: str, code: str) -> None:
    assert [place.split()[1] for place in found(f"{top}\nsteps: {{w: {{on: Start, emit: Stop}}}}\n")] == [code]


@pytest.mark.parametrize(
    "steps",
    [
        "steps: {}",
        "steps:",
        "steps: []",
        "steps: {w: 5}",
        "steps: {w: }",
        "steps: {Work: {emit: Stop}}",
        "steps: {none: {emit: Stop}}",
    ],
)
def test_steps_must_be_steps(steps: str) -> None:
    assert len(found(f"flow: a\n{steps}\n")) == 1


def test_names_of_scripts_without_capitals_are_fine() -> None:
    spec = good(
        "flow: 発行\nevents: {承認: {本文: str}}\nsteps:\n  審査: {on: Start, emit: 承認}\n  تدقيق: {on: 承認, emit: Stop}\n  समीक्षा: {on: 審査, emit: Stop}\n"
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
    assert len(found("flow: a\nsteps:\n" + "".join(f"  s{i}: {{onn: x}}\n" for i in range(1000)))) == 200
