"""What follows from the wiring of a flow."""

from __future__ import annotations

import pytest

from orchestrator.ir import link
from orchestrator.ir.model import EventIR, FlowIR, JoinIR, StepIR
from tests.analysis.build import flow, step
from tests.support.cost import cpu_seconds

ALL = JoinIR("all")
EACH = JoinIR("each")


def test_an_event_goes_to_every_listener_in_order_of_declaration() -> None:
    found = link.routes(flow(step("b", "Start", "X"), step("a", "Start X", "Stop")))
    assert found == {"Start": ("b", "a"), "X": ("a",)}


def test_the_closing_event_of_a_join_is_routed_to_its_step() -> None:
    found = link.routes(flow(step("a", "Start", "X", join=JoinIR("until", until_event="Closed"))))
    assert found["Closed"] == ("a",)


def test_a_subclass_is_routed_to_steps_that_take_subclasses() -> None:
    steps = {
        "exact": StepIR("exact", ("Base",)),
        "wide": StepIR("wide", ("Base",), accepts_subclasses=True),
    }
    events = {"Base": EventIR("Base"), "Sub": EventIR("Sub", bases=("Base",))}
    assert link.routes(FlowIR("f", events=events, steps=steps))["Sub"] == ("wide",)


def test_a_fan_out_is_closed_by_the_collect_all_after_it() -> None:
    found = link.joins_of(
        flow(step("s", "Start", "X", fans="X"), step("w", "X", "Y"), step("j", "Y", "Stop", join=ALL))
    )
    assert found == {"s": ("j",)}


def test_nested_fan_outs_are_closed_from_the_inside() -> None:
    found = link.joins_of(
        flow(
            step("outer", "Start", "A", fans="A"),
            step("inner", "A", "B", fans="B"),
            step("close_inner", "B", "C", join=ALL),
            step("close_outer", "C", "Stop", join=ALL),
        )
    )
    assert found == {"inner": ("close_inner",), "outer": ("close_outer",)}


def test_each_keeps_a_for_each_level_and_closes_an_all_list() -> None:
    found = link.joins_of(
        flow(
            step("outer", "Start", "A", fans="A"),
            step("both", "A", "B C", all_list=True),
            step("pair", "B C", "D", join=EACH),
            step("end", "D", "Stop", join=ALL),
        )
    )
    assert found == {"both#all": ("pair",), "outer": ("end",)}


def test_a_join_by_key_leaves_the_fan_out() -> None:
    keyed = JoinIR("count", count=2, key="ev.id")
    graph = flow(step("s", "Start", "A", fans="A"), step("k", "A", "B", join=keyed), step("j", "B", "Stop", join=ALL))
    assert link.joins_of(graph) == {}
    assert link.lineage(graph).of_event["B"] == ((),)


@pytest.mark.parametrize("mode", ["all", "first", "count", "until"])
def test_group_joins_take_one_level(mode: str) -> None:
    graph = flow(
        step("s", "Start", "A", fans="A"), step("j", "A", "B", join=JoinIR(mode, count=1)), step("e", "B", "Stop")
    )
    assert link.lineage(graph).of_step["j"] == ((),)


def test_two_fanning_entries_are_two_sites() -> None:
    graph = flow(step("s", "Start", "A B", fans="A B"), step("j", "A B", "Stop", join=ALL))
    assert link.joins_of(graph) == {"s#1": ("j",), "s#2": ("j",)}


def test_a_failure_that_is_caught_stays_in_its_group() -> None:
    graph = flow(
        step("s", "Start", "A", fans="A"),
        step("w", "A", "Done Dead"),
        step("park", "Dead", "Done"),
        step("j", "Done", "Stop", join=ALL),
    )
    assert link.lineage(graph).of_event["Done"] == (("s",),)


def test_a_loop_around_a_fan_out_does_not_grow_for_ever() -> None:
    graph = flow(step("s", "Start A", "A Stop", fans="A"))
    assert link.lineage(graph).of_event["A"] == (("s",),)


def test_cycles_are_the_loops_of_steps() -> None:
    graph = flow(
        step("a", "Start Again", "B"), step("b", "B", "Again C"), step("c", "C", "Stop"), step("d", "C Tick", "Tick")
    )
    assert link.cycles(graph) == (("a", "b"), ("d",))


def test_only_steps_after_start_or_outside_events_are_reachable() -> None:
    graph = flow(
        step("a", "Start", "X"), step("b", "X", "Stop"), step("c", "Y", "Y"), step("d", "Z", "Stop"), external="Z"
    )
    assert link.reachable(graph) == {"a", "b", "d"}


def test_a_step_may_finish_if_a_way_leads_to_an_end() -> None:
    graph = flow(step("a", "Start", "X Y"), step("b", "X", "Failed"), step("c", "Y", "Y"))
    assert link.may_finish(graph) == {"a", "b"}


def test_a_recovering_step_is_reached_from_what_it_covers() -> None:
    steps = {
        "work": StepIR("work", ("Start",), ("Stop",)),
        "rescue": StepIR("rescue", ("StepFailed",), ("Stop",), recovers=("*",)),
    }
    assert link.reachable(FlowIR("f", steps=steps)) == {"work", "rescue"}


def _chain(size: int) -> FlowIR:
    steps = [step(f"s{n}", "Start" if n == 0 else f"E{n}", f"E{n + 1}", fans=f"E{n + 1}") for n in range(size)]
    return flow(*steps, step("back", f"E{size}", "E1 Stop"))


def test_linking_is_linear_in_the_number_of_steps() -> None:
    def cost(size: int) -> float:
        graph = _chain(size)
        return cpu_seconds(
            lambda: (link.joins_of(graph), link.cycles(graph), link.reachable(graph), link.may_finish(graph))
        )

    assert cost(5_000) < 10 * cost(500) * 2.5 + 0.05
