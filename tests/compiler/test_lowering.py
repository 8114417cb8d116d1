"""What each construct of the language becomes in FlowIR."""

from __future__ import annotations

import textwrap

from orchestrator.ir.codec import flow_from_json, flow_hash, flow_to_json
from orchestrator.ir.model import CatchIR, FillIR, FlowIR, RateIR, RepeatIR, RetryIR, StepIR, TriggerIR
from tests.compiler.support import compile_source


def lower(text: str) -> FlowIR:
    found = compile_source("flow: example\n" + textwrap.dedent(text))
    assert found.flow is not None, found.diagnostics
    return found.flow


def lower_step(lines: str, top: str = "", name: str = "work") -> StepIR:
    body = textwrap.indent(textwrap.dedent(lines).strip("\n"), "    ")
    return lower(f"{textwrap.dedent(top).strip()}\nsteps:\n  {name}:\n{body}\n").steps[name]


GET = "call: http.get\nwith: {url: https://example.com}\n"


def test_a_step_without_emit_ends_in_its_done_event() -> None:
    flow = lower(
        f"steps:\n  a:\n    on: Start\n    {GET.replace(chr(10), chr(10) + '    ')}\n  b:\n    on: a\n    emit: Stop\n"
    )
    entry = flow.steps["a"].emit.entries[0]  # type: ignore[union-attr]
    assert (entry.event, entry.with_) == ("a.done", {"result": {"$expr": "result"}})
    assert flow.steps["b"].accepts == ("a.done",)
    assert flow.events["a.done"].schema["properties"]["result"]["properties"]["status"]["type"] == "integer"


def test_naming_a_step_in_emit_starts_it_with_the_fields_of_this_event() -> None:
    flow = lower("inputs:\n  title: str\nsteps:\n  a:\n    on: Start\n    emit: b\n  b:\n    emit: Stop\n")
    entry = flow.steps["a"].emit.entries[0]  # type: ignore[union-attr]
    assert (entry.event, entry.starts, entry.fill) == ("b.start", "b", (FillIR("title", "ev"),))
    assert flow.steps["b"].accepts == ("b.start",)
    assert flow.events["b.start"].schema["properties"] == {"title": {"type": "string"}}


def test_a_started_step_gets_the_result_too() -> None:
    flow = lower(
        "steps:\n  a:\n    on: Start\n    call: text.slug\n    with: {text: x}\n    emit: b\n  b:\n    emit: Stop\n"
    )
    assert FillIR("result", "scalar") in flow.steps["a"].emit.entries[0].fill  # type: ignore[union-attr]
    assert flow.events["b.start"].schema["properties"]["result"] == {"type": "string"}


def test_values_keep_their_expressions_marked() -> None:
    step = lower_step("on: Start\ncall: http.post\nwith:\n  url: https://x.example/${{ inputs.id }}\n"
                      "  json: {id: '${{ inputs.id }}', $ref: 1}\nemit: Stop", "inputs: {id: int}")  # fmt: skip
    assert step.body.call is not None
    assert step.body.call.with_ == {
        "url": {"$text": ["https://x.example/", {"$expr": "inputs.id"}]},
        "json": {"$lit": {"id": {"$expr": "inputs.id"}, "$ref": 1}},
    }


def test_policy_keys_become_the_policy() -> None:
    step = lower_step(
        f"on: Start\n{GET}concurrency: 4\nrate: 10/1m\ntimeout: 10s\ndeadline: fri 17:00\neffect: none\nplacement: gpu\n"
        "retry: {max: 3, delay: 500ms, backoff: 2, max_delay: 30s, jitter: full, errors: [http.5xx], if: attempt < 2}\n"
        "repeat: {until: result.status == 200, every: 5s, max: 9, within: 1h}\nemit: Stop"
    )
    policy = step.policy
    assert (policy.concurrency, policy.rate, policy.timeout_s) == (4, RateIR(10, 60.0), 10.0)
    assert (policy.deadline, policy.effect, policy.placement) == ("fri 17:00", "none", "gpu")
    assert policy.retry == RetryIR(3, 0.5, 2.0, 30.0, "full", ("http.5xx",), "attempt < 2")
    assert policy.repeat == RepeatIR("result.status == 200", 5.0, 9, "1h")


def test_only_steps_of_a_loop_get_the_default_bound() -> None:
    flow = lower("""
        events: {Again: {}}
        steps:
          a:
            on: [Start, Again]
            emit: [{when: now > 'x', event: Again}, {event: b}]
          b:
            emit: Stop
        """)
    assert (flow.steps["a"].policy.max_visits, flow.steps["a"].policy.has_default_bound) == (100, True)
    assert flow.steps["b"].policy.max_visits is None


def test_a_written_bound_is_kept_and_unlimited_is_none() -> None:
    text = (
        "events: {{Again: {{}}}}\nsteps:\n  a:\n    on: [Start, Again]\n    max_visits: {}\n"
        "    emit: [{{when: now > 'x', event: Again}}, Stop]\n"
    )
    policies = [lower(text.format(bound)).steps["a"].policy for bound in ("7", "unlimited")]
    assert [(p.max_visits, p.has_default_bound) for p in policies] == [(7, False), (None, False)]


def test_an_item_fan_out_has_a_site_and_its_join() -> None:
    flow = lower("""
        inputs: {names: [str]}
        events: {Name: {name: str}}
        steps:
          split:
            on: Start
            emit: {event: Name, for_each: inputs.names, with: {name: "${{ item }}"}}
          end:
            on: Name
            collect: all
            emit: Stop
        """)
    assert flow.steps["split"].emit.entries[0].site == "split"  # type: ignore[union-attr]
    assert flow.steps["split"].fans == ("split",)
    assert flow.joins_of == {"split": ("end",)}


def test_an_all_list_is_one_group() -> None:
    flow = lower("""
        events: {A: {}, B: {}}
        steps:
          both: {on: Start, emit: {all: [A, B]}}
          end: {on: [A, B], collect: each, emit: Stop}
        """)
    rule = flow.steps["both"].emit
    assert rule is not None
    assert (rule.takes_all, rule.site, flow.joins_of) == (True, "both#all", {"both#all": ("end",)})
    assert flow.steps["end"].join is not None
    assert flow.steps["end"].join.events == ("A", "B")


def test_every_form_of_collect() -> None:
    def join(spec: str) -> object:
        return lower_step(
            f"on: Tick\ncollect: {spec}\nemit: Stop", "events: {Tick: {id: str, external: true}, Late: {}}"
        ).join

    from dataclasses import replace

    from orchestrator.ir.model import JoinIR

    def bare(spec: str) -> JoinIR:
        found = join(spec)
        assert isinstance(found, JoinIR)
        return replace(found, origin=None)

    assert bare("all") == JoinIR("all")
    assert bare("{count: 3, key: ev.id}") == JoinIR("count", count=3, key="ev.id")
    assert bare("{first: 2, cancel: rest}") == JoinIR("first", count=2, cancels_rest=True)
    assert bare("{until: count > 3, order: arrival}") == JoinIR("until", until="count > 3", by_arrival=True)
    assert bare("{until: {event: Late}}") == JoinIR("until", until_event="Late")
    assert bare("{count: 2, within: 1h, on_timeout: Late}") == JoinIR("count", count=2, within="1h", on_timeout="Late")
    assert bare("{each: [Tick]}") == JoinIR("each", events=("Tick",))


def test_catch_fallback_finally_and_undo_become_calls_and_events() -> None:
    step = lower_step(
        f"on: Start\n{GET}fallback: {{call: text.slug, with: {{text: x}}}}\n"
        "catch: [{errors: [http.404], event: Failed}]\nfinally: {call: text.slug, with: {text: a}}\n"
        "undo: {call: text.slug, with: {text: b}}\nemit: Stop"
    )
    assert step.catch == (CatchIR(("http.404",), "Failed", {}, (FillIR("code", "error"), FillIR("message", "error"))),)
    targets = [call.with_ for call in (step.fallback, step.finally_, step.undo) if call is not None]
    assert targets == [{"text": "x"}, {"text": "a"}, {"text": "b"}]
    assert step.emits == ("Stop", "Failed")


def test_failed_and_timeout_events_are_emitted_only_where_somebody_listens() -> None:
    flow = lower("""
        events: {Paid: {external: true}}
        steps:
          pay:
            on: Start
            wait: {event: Paid, within: 3d}
            emit: Stop
          late: {on: [pay.timeout, pay.failed], emit: {event: Failed, with: {code: a.b, message: c}}}
        """)
    assert flow.steps["pay"].emits == ("Stop", "pay.failed", "pay.timeout")
    assert flow.events["pay.failed"].schema["properties"]["error"]["type"] == "object"


def test_an_ask_becomes_a_request_with_a_form_and_outcomes() -> None:
    step = lower_step("""
        on: Start
        ask:
          title: Publish ${{ inputs.title }}?
          show: {body: "${{ inputs.title }}", diff: last_approved}
          form: {verdict: approve | rework, notes: str | null}
          edit: body
          to: {groups: [editors], users: "${{ [inputs.title] }}", not: [kim]}
          quorum: {approve: {editors: 2}, rework: 1}
          remind: [4h]
          escalate: {after: 1d, to: {groups: [chiefs]}}
          deadline: 2d
          delegate: true
        emit: {approve: Stop, rework: Stop, timeout: Stop}
        """, "inputs: {title: str}")  # fmt: skip
    ask = step.body.ask
    assert ask is not None
    assert (ask.verdict_field, ask.verdicts, ask.edit, ask.may_delegate) == (
        "verdict",
        ("approve", "rework"),
        "body",
        True,
    )
    assert ask.form["properties"]["verdict"] == {"enum": ["approve", "rework"]}
    assert ask.form["required"] == ["verdict"]
    assert ask.quorum == {"approve": {"editors": 2}, "rework": 1}
    assert (ask.remind, ask.deadline, ask.undecided_as_timeout) == (("4h",), "2d", True)
    assert ask.to is not None
    assert (ask.to.groups, ask.to.users, ask.to.exclude) == (["editors"], {"$expr": "[inputs.title]"}, ["kim"])
    assert step.emit is not None
    assert [entry.when for entry in step.emit.entries][:2] == ['outcome == "approve"', 'outcome == "rework"']


def test_wait_takes_a_time_or_an_event() -> None:
    timed = lower_step("on: Start\nwait: fri 17:00\nemit: Stop").body.wait
    assert timed is not None
    assert timed.until == "fri 17:00"
    paid = lower_step(
        "on: Start\nwait: {event: Paid, match: {order: '${{ inputs.order }}'}}\nemit: Stop",
        "inputs: {order: str}\nevents: {Paid: {order: str, external: true}}",
    ).body.wait
    assert paid is not None
    assert (paid.event, paid.match) == ("Paid", {"order": {"$expr": "inputs.order"}})


def test_a_for_each_step_may_keep_errors() -> None:
    step = lower_step("on: Start\nfor_each: inputs.names\ncall: text.slug\nwith: {text: '${{ item }}'}\ncatch: item\nemit: Stop",
                      "inputs: {names: [str]}")  # fmt: skip
    assert step.for_each is not None
    assert (step.for_each.items, step.for_each.keeps_errors) == ("inputs.names", True)


def test_what_stands_around_the_steps() -> None:
    flow = lower("""
        version: 3
        timezone: Europe/Berlin
        timeout: 2d
        inputs: {topic: {type: str, default: news}}
        outputs: {text: any}
        state: {round: 0, seen: {type: [str], default: []}}
        secrets: [TOKEN]
        concurrency: {mode: queue, key: inputs.topic, max: 2}
        triggers:
          - {cron: 0 6 * * *, timezone: UTC}
          - {webhook: {path: /in, verify: {hmac: TOKEN, header: X-Signature}}, when: ev.ok, inputs: {topic: "${{ ev.topic }}"}}
        steps:
          a: {on: Start, set: {round: "${{ state.round + 1 }}"}, emit: {event: Stop, with: {text: x}, cancel: true, drain: 5s}}
        """)
    assert (flow.version, flow.timezone, flow.timeout, flow.secrets) == (3, "Europe/Berlin", "2d", ("TOKEN",))
    assert flow.state == {"round": 0, "seen": []}
    assert flow.state_schema["properties"]["seen"] == {"type": "array", "items": {"type": "string"}}
    assert (flow.admission.mode, flow.admission.key, flow.admission.max) == ("queue", {"$expr": "inputs.topic"}, 2)
    cron, hook = flow.triggers
    assert isinstance(cron, TriggerIR)
    assert (cron.cron, hook.path, hook.verify["hmac"]) == ("0 6 * * *", "/in", "TOKEN")
    entry = flow.steps["a"].emit.entries[0]  # type: ignore[union-attr]
    assert (entry.cancels, entry.drain_s, flow.steps["a"].set) == (True, 5.0, {"round": {"$expr": "state.round + 1"}})


def test_defaults_apply_to_every_step_that_can_have_them() -> None:
    flow = lower("""
        defaults: {timeout: 5s}
        steps:
          a: {on: Start, call: http.get, with: {url: https://example.com}}
          b: {on: a, emit: Stop}
        """)
    assert (flow.steps["a"].policy.timeout_s, flow.steps["b"].policy.timeout_s) == (5.0, None)


def test_fields_that_only_some_events_have_are_named() -> None:
    step = lower_step("on: [Start, Again]\nemit: [{when: ev.notes == 'x', event: Again, with: {notes: y}}, Stop]",
                      "inputs: {topic: str}\nevents: {Again: {notes: str}}")  # fmt: skip
    assert step.optional_fields == ("topic", "notes")


def test_compiled_flows_survive_the_codec_and_layout_does_not_change_the_hash() -> None:
    text = "steps:\n  a:\n    on: Start\n    emit: Stop\n"
    one = lower(text)
    two = lower("# a comment\n" + text.replace("  a:", "  a:  # another"))
    assert flow_from_json(flow_to_json(one)) == one
    assert flow_hash(one) == flow_hash(two)
    assert one.steps["a"].origin != two.steps["a"].origin
