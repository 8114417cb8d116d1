"""Values of the wrong kind, keys beside the wrong verb, bad names and times: one finding each, with its code."""

from __future__ import annotations

import pytest

from tests.language.support import found, parse, step_text


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("call: 5", "FLW206"),
        ("call: [a.b]", "FLW203"),
        ("call: http", "FLW206"),
        ("on: [Start, start, start]", "FLW208"),
        ("on: Some_Event", "FLW206"),
        ("on: a.finished", "FLW206"),
        ("on: []", "FLW203"),
        ("on:", "FLW203"),
        ("emit: 5", "FLW206"),
        ("emit: []", "FLW203"),
        ("emit: {}", "FLW202"),
        ("emit: a.done", "FLW206"),
        ("emit: {event: Paid, cancel: true}", "FLW210"),
        ("emit: {event: Stop, cancel: yes}", "FLW203"),
        ("when:", "FLW203"),
        ("when: [a]", "FLW203"),
        ("when: ''", "FLW203"),
        ("set: 5", "FLW203"),
        ("set: [a]", "FLW203"),
        ("wait: 5", "FLW215"),
        ("wait: Paid", "FLW203"),
        ("wait: frid 17:00", "FLW215"),
        ("wait: x ${{ ev.t }}", "FLW217"),
        ("wait: {match: {a: 1}}", "FLW202"),
        ("ask: true", "FLW203"),
        ("ask: {to: {users: kim}}", "FLW203"),
        ("ask: {quorum: 2}", "FLW203"),
        ("ask: {quorum: {approve: 0}}", "FLW205"),
        ("ask: {quorum: {approve: '2'}}", "FLW203"),
        ("ask: {remind: [soon]}", "FLW215"),
        ("ask: {escalate: {after: 1d}}", "FLW202"),
        ("ask: {form: [a]}", "FLW203"),
        ("ask: {delegate: 1}", "FLW203"),
        ("ask: {show: {diff: yesterday}}", "FLW204"),
        ("collect: some", "FLW204"),
        ("collect: count", "FLW203"),
        ("collect: {count: 0}", "FLW205"),
        ("collect: {count: 2, first: 2}", "FLW219"),
        ("collect: {within: 1h}", "FLW219"),
        ("collect: {all: true, on_timeout: X}", "FLW210"),
        ("collect: {all: true, cancel: rest}", "FLW210"),
        ("max_visits: 0", "FLW205"),
        ("max_visits: many", "FLW203"),
        ("title: [a]", "FLW203"),
        ("description:", "FLW203"),
        ("catch: item", "FLW210"),
        ("catch: {errors: any}", "FLW203"),
        ("'${{ x }}': 1", "FLW201"),
    ],
)
def test_values_of_the_wrong_kind_are_one_error_each(line: str, code: str) -> None:
    lines = ["on: Start"] if not line.startswith("on:") else []
    text = step_text(*lines, *([] if line.startswith(("emit", "wait", "ask", "call")) else ["emit: none"]), line)
    assert [place.split()[1] for place in found(text)] == [code]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("with: [a]", "FLW203"),
        ("with: {a: '${{ x'}", "FLW116"),
        ("with: {a: '${{ }}'}", "FLW116"),
        ("with: {'${{ k }}': 1}", "FLW203"),
        ("id: {a: 1}", "FLW203"),
        ("cache: 1h", "FLW203"),
        ("cache: {ttl: 1h}", "FLW202"),
        ("cache: {key: a, ttl: 60}", "FLW215"),
        ("concurrency: 0", "FLW205"),
        ("concurrency: lots", "FLW203"),
        ("concurrency: '4'", "FLW203"),
        ("rate: 10", "FLW216"),
        ("rate: 0/1m", "FLW216"),
        ("rate: 10/m", "FLW216"),
        ("timeout: fri 17:00", "FLW215"),
        ("timeout: 1 hour", "FLW215"),
        ("deadline: later", "FLW215"),
        ("effect: nothing", "FLW204"),
        ("placement: ${{ x }}", "FLW218"),
        ("placement: 5", "FLW203"),
        ("retry: 3", "FLW203"),
        ("retry: {max: 0}", "FLW205"),
        ("retry: {backoff: 0.5}", "FLW205"),
        ("retry: {jitter: some}", "FLW204"),
        ("retry: {errors: [HTTP.404]}", "FLW206"),
        ("retry: {if: 'a ${{ b }}'}", "FLW217"),
        ("repeat: {every: 1s}", "FLW202"),
        ("repeat: {until: x, every: 5}", "FLW215"),
        ("fallback: a.b", "FLW203"),
        ("fallback: {with: {}}", "FLW202"),
        ("undo: {call: x}", "FLW206"),
        ("for_each: [a, b]", "FLW203"),
        ("wait: 2h", "FLW209"),
    ],
)
def test_what_surrounds_a_call_is_checked(line: str, code: str) -> None:
    text = step_text("on: Start", "call: a.b", line)
    assert [place.split()[1] for place in found(text)] == [code]


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (("emit: Stop", "with: {a: 1}"), "with"),
        (("emit: Stop", "retry: {max: 2}"), "retry"),
        (("wait: 1h", "timeout: 1h"), "timeout"),
        (("ask: {title: x}", "deadline: 1d"), "deadline"),
        (("wait: 1h", "for_each: inputs.a"), "for_each"),
        (("emit: Stop", "undo: {call: a.b}"), "undo"),
        (("ask: {title: x}", "cache: {key: a}"), "cache"),
    ],
)
def test_keys_that_would_do_nothing_are_errors(lines: tuple[str, ...], key: str) -> None:
    (diagnostic,) = parse(step_text("on: Start", *lines)).diagnostics
    assert (diagnostic.code, diagnostic.message.split("`")[1]) == ("FLW210", key)


@pytest.mark.parametrize(
    ("top", "code"),
    [
        ("flow: Draft_Review", "FLW206"),
        ("flow: 5", "FLW206"),
        ("flow: [a]", "FLW203"),
        ("flow: a\nformat: 2", "FLW222"),
        ("flow: a\nformat: '1'", "FLW203"),
        ("flow: a\nversion: [1]", "FLW203"),
        ("flow: a\ntimezone: Europe/Berlni", "FLW220"),
        ("flow: a\nimports: [x]", "FLW203"),
        ("flow: a\nimports: {x: http://y}", "FLW221"),
        ("flow: a\nimports: {x: ../y.flow.yaml}", "FLW221"),
        ("flow: a\nimports: {x: os}", "FLW221"),
        ("flow: a\ninputs: [topic]", "FLW203"),
        ("flow: a\ninputs: {a-b: str}", "FLW206"),
        ("flow: a\nstate: {n: {type: int}}", "FLW213"),
        ("flow: a\nsecrets: [token]", "FLW206"),
        ("flow: a\nsecrets: {A: 1}", "FLW203"),
        ("flow: a\nevents: [A]", "FLW203"),
        ("flow: a\nevents: {paid: {}}", "FLW206"),
        ("flow: a\nevents: {Stop: {}}", "FLW207"),
        ("flow: a\nevents: {Paid: str}", "FLW203"),
        ("flow: a\nevents: {Paid: [a]}", "FLW203"),
        ("flow: a\nevents: {Paid: {external: 1}}", "FLW203"),
        ("flow: a\ntriggers: {cron: x}", "FLW203"),
        ("flow: a\ntriggers: [{when: x}]", "FLW219"),
        ("flow: a\ntriggers: [{cron: '* *'}]", "FLW224"),
        ("flow: a\ntriggers: [{event: paid}]", "FLW206"),
        ("flow: a\ntriggers: [{webhook: {path: hook, verify: {hmac: A, header: X}}}]", "FLW224"),
        ("flow: a\ntriggers: [{webhook: {path: /h}}]", "FLW202"),
        ("flow: a\ntriggers: [{event: Paid, timezone: UTC}]", "FLW201"),
        ("flow: a\nconcurrency: single", "FLW203"),
        ("flow: a\nconcurrency: {mode: serial}", "FLW204"),
        ("flow: a\ntimeout: 5", "FLW215"),
        ("flow: a\ndefaults: {retyr: {max: 1}}", "FLW201"),
        ("flow: a\ndefaults: {timeout: 5}", "FLW215"),
        ("flow: a\ntests: {name: x}", "FLW203"),
        ("flow: a\ntests: [{inputs: {}}]", "FLW202"),
        ("flow: a\ntests: [{name: x, mocks: {nope: 1}}]", "FLW225"),
        ("flow: a\ntests: [{name: x, expect: {path: [nope]}}]", "FLW225"),
        ("flow: a\ntests: [{name: x, answers: {w: [{verdict: y}]}}]", "FLW202"),
        ("flow: a\ntests: [{name: x}, {name: x}]", "FLW208"),
    ],
)
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
