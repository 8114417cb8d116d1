"""Flows that were written as classes: the same rules, in the words of Python."""

from __future__ import annotations

from orchestrator.analysis.analyse import analyse
from orchestrator.ir.model import BodyIR, EventIR, FlowIR, JoinIR, Origin, StepIR
from orchestrator.plugin.catalog import Catalog

STARTS = {"StartEvent": "start", "StopEvent": "stop", "Asked": "ask", "Answered": "answer", "StepFailedEvent": "failed"}


def method(name: str, accepts: str, emits: str, **more: object) -> StepIR:
    body = BodyIR("python", ref=f"Flow.{name}")
    return StepIR(name, tuple(accepts.split()), tuple(emits.split()), body, origin=Origin("flow.py", len(name)), **more)  # type: ignore[arg-type]


def workflow(*steps: StepIR) -> FlowIR:
    names = dict.fromkeys(["StartEvent", "StopEvent", *(e for s in steps for e in (*s.accepts, *s.emits))])
    events = {n: EventIR(n, kind=STARTS.get(n, "plain")) for n in names}
    return FlowIR(
        "Flow", "class", events=events, steps={s.name: s for s in steps}, start="StartEvent", stop=("StopEvent",),
        origin=Origin("flow.py", 1),
    )  # fmt: skip


def findings(*steps: StepIR) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in analyse(workflow(*steps), Catalog())]


def test_a_loop_of_methods_needs_no_bound() -> None:
    assert findings(
        method("begin", "StartEvent Loop", "GetFeedback StopEvent"),
        method("get_feedback", "GetFeedback", "Order Clear"),
        method("order", "Order", "Loop"),
        method("clear", "Clear", "Loop"),
    ) == []  # fmt: skip


def test_events_that_are_sent_and_collected_are_fine() -> None:
    assert findings(
        method("start", "StartEvent", "Online Offline Trend"),
        method("one", "Online", "A"),
        method("two", "Offline", "B"),
        method("three", "Trend", "C"),
        method("decide", "A B C", "Trade"),
        method("trade", "Trade", "StopEvent"),
    ) == []  # fmt: skip


def test_events_for_and_from_people_need_no_step() -> None:
    assert findings(method("ask", "StartEvent", "Asked"), method("decide", "Answered", "StopEvent")) == []


def test_an_event_for_another_workflow_is_named_with_the_form_that_works() -> None:
    (found,) = analyse(workflow(method("trade", "StartEvent", "StopEvent TradeEventV2")), Catalog())
    assert (found.code, found.message) == ("FLW405", "step `trade` returns `TradeEventV2`, but no step accepts it")
    assert "ctx.send_event(ev, run_id=…)" in (found.help or "")
    assert (found.span.file, found.span.line) == ("flow.py", 5)


def test_a_workflow_that_nothing_starts_says_so_once() -> None:
    assert [code for code, _ in findings(method("trade", "TradeEventV2", "StopEvent"))] == ["FLW802", "FLW403"]


def test_a_workflow_needs_steps_and_a_stop_event() -> None:
    assert findings() == [("FLW801", "workflow `Flow` has no steps")]
    codes = [code for code, _ in findings(method("work", "StartEvent", "Again"), method("again", "Again", "Again"))]
    assert codes == ["FLW803"]


def test_a_misspelt_step_of_a_handler_gets_a_suggestion() -> None:
    steps = (
        method("work", "StartEvent", "StopEvent"),
        method("rescue", "StepFailedEvent", "StopEvent", recovers=("wrok",)),
    )
    (found,) = analyse(workflow(*steps), Catalog())
    assert (found.code, found.help) == ("FLW804", "did you mean `work`?")


def test_two_handlers_for_every_step_are_one_too_many() -> None:
    steps = (
        method("work", "StartEvent", "StopEvent"),
        method("one", "StepFailedEvent", "StopEvent", recovers=("*",)),
        method("two", "StepFailedEvent", "StopEvent", recovers=("*",)),
    )
    assert [code for code, _ in findings(*steps)] == ["FLW805"]


def test_a_typed_join_without_a_fan_out_is_found_in_python_too() -> None:
    codes = [
        code
        for code, _ in findings(
            method("work", "StartEvent", "Item"), method("end", "Item", "StopEvent", join=JoinIR("all", ("Item",)))
        )
    ]
    assert codes == ["FLW414"]


def test_a_fan_out_of_methods_reaches_its_join() -> None:
    assert findings(
        method("work", "StartEvent", "Item", fans=("work",)),
        method("end", "Item", "StopEvent", join=JoinIR("all", ("Item",))),
    ) == []  # fmt: skip


def test_a_function_is_one_step_and_has_no_graph_to_check() -> None:
    step = StepIR("main", ("StartEvent",), ("StopEvent",), BodyIR("procedure", ref="main"))
    assert analyse(FlowIR("f", "function", steps={"main": step}, start="StartEvent"), Catalog()) == []
