"""What a flow becomes as a graph: nodes, edges, their kinds and words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.draw.graph import graph_of
from orchestrator.draw.model import FAILED, OUTSIDE, START, STOP, Edge, EdgeKind, Graph, Node, NodeKind
from orchestrator.ir.model import CatchIR, EmitEntryIR, EventIR, FlowIR, JoinIR, PolicyIR, StepIR
from tests.draw import flows
from tests.draw.flows import flow_of, python_step, rule


def node_of(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.id == name)


def edge_of(graph: Graph, source: str, target: str, event: str | None = None) -> Edge:
    return next(e for e in graph.edges if (e.source, e.target) == (source, target) and event in (None, e.event))


def pairs(graph: Graph) -> list[tuple[str, str]]:
    return [(e.source, e.target) for e in graph.edges]


def test_a_chain_runs_from_start_to_stop_in_the_order_of_the_flow() -> None:
    graph = graph_of(flows.chain())
    assert pairs(graph) == [(START, "fetch"), ("fetch", "summarise"), ("summarise", "publish"), ("publish", STOP)]


def test_an_event_that_the_picture_says_already_has_no_label() -> None:
    labels = [e.label for e in graph_of(flows.chain()).edges]
    assert labels == ["", "", "Summary", ""]  # start, fetch.done, an event of its own, the only stop


def test_a_loop_is_marked_on_the_edges_that_lead_back() -> None:
    back = [(e.source, e.target) for e in graph_of(flows.feedback_monitor()).edges if e.kind is EdgeKind.LOOP_BACK]
    assert back == [("order", "begin"), ("clear", "begin")]


def test_the_ways_out_of_a_python_step_are_branches() -> None:
    graph = graph_of(flows.feedback_monitor())
    assert edge_of(graph, "get_feedback", "order").kind is EdgeKind.BRANCH
    assert edge_of(graph, "begin", STOP).kind is EdgeKind.BRANCH


def test_steps_that_reach_each_other_are_a_group() -> None:
    groups = graph_of(flows.feedback_monitor()).groups
    assert [(g.kind, g.nodes) for g in groups] == [("loop", ("begin", "get_feedback", "order", "clear"))]


def test_a_fan_in_of_three_says_so_on_the_joining_step() -> None:
    graph = graph_of(flows.complex_feedback_monitor())
    assert [b.text for b in node_of(graph, "trading_decision").badges] == ["collect each of 3"]
    assert sum(1 for e in graph.edges if e.target == "trading_decision") == 3


def test_an_outcome_reads_as_one_word_and_the_last_way_as_otherwise() -> None:
    graph = graph_of(flows.content_approval())
    assert edge_of(graph, "review", "publish").condition == "approve"
    assert edge_of(graph, "review", "write").condition == "rework and state.round < inputs.max_rounds"
    assert edge_of(graph, "review", "drop").condition == "otherwise"


def test_a_request_to_people_shows_who_how_many_and_until_when() -> None:
    badges = {b.kind: b.text for b in node_of(graph_of(flows.content_approval()), "review").badges}
    assert badges["people"] == "editors, legal (not inputs.author)"
    assert badges["quorum"] == "approve: 1 editors + 1 legal · rework: 1"
    assert badges["deadline"] == "until fri 17:00"
    assert badges["escalate"] == "after 1d also chiefs"


def test_policies_are_badges_and_a_loop_bound_only_within_a_loop() -> None:
    write = node_of(graph_of(flows.content_approval()), "write")
    assert [b.text for b in write.badges] == ["3 attempts", "timeout 1m", "at most 4 rounds"]
    alone = StepIR("alone", ("Start",), ("Stop",), policy=PolicyIR(max_visits=4))
    assert node_of(graph_of(flow_of("f", alone)), "alone").badges == ()


def test_a_bound_that_nobody_wrote_is_no_badge() -> None:
    policy = PolicyIR(max_visits=100, has_default_bound=True)
    poll = replace(python_step("poll", ("Start", "Again"), ("Again", "Stop")), policy=policy)
    assert node_of(graph_of(flow_of("f", poll)), "poll").badges == ()


def test_a_fan_out_names_what_it_runs_over() -> None:
    edge = edge_of(graph_of(flows.summarise_sections()), "split", "summarise")
    assert (edge.kind, edge.for_each, edge.note) == (EdgeKind.FAN_OUT, "result.sections", "each result.sections")


def test_a_fan_out_and_the_steps_that_join_it_are_a_group() -> None:
    groups = graph_of(flows.summarise_sections()).groups
    assert [(g.kind, g.nodes) for g in groups] == [("fan-out", ("split", "merge"))]


def test_a_caught_error_is_a_failure_edge_with_its_codes() -> None:
    edges = [e for e in graph_of(flows.summarise_sections()).edges if (e.source, e.target) == ("summarise", "merge")]
    assert [e.kind for e in edges] == [EdgeKind.NORMAL, EdgeKind.FAILURE]
    assert edges[1].condition == "llm.rate_limit, timeout"


def test_the_time_out_of_a_join_is_a_time_out_edge() -> None:
    edge = edge_of(graph_of(flows.summarise_sections()), "merge", "tell_editor")
    assert (edge.kind, edge.condition) == (EdgeKind.TIMEOUT, "after 2h")


@pytest.mark.parametrize("outcome", ["timeout", "undecided"])
def test_the_time_out_branch_of_a_request_is_a_time_out_edge(outcome: str) -> None:
    entries = EmitEntryIR("Late", when=f"outcome == '{outcome}'"), EmitEntryIR("Stop")
    ask = StepIR("ask", ("Start",), ("Late", "Stop"), emit=rule(*entries))
    graph = graph_of(flow_of("f", ask, python_step("late", ("Late",), ("Stop",))))
    assert edge_of(graph, "ask", "late").kind is EdgeKind.TIMEOUT


def test_a_listener_to_a_failure_is_reached_by_a_failure_edge() -> None:
    work = StepIR("work", ("Start",), ("Stop",), emit=rule(EmitEntryIR("Stop")))
    mend = python_step("mend", ("work.failed",), ("Stop",))
    edge = edge_of(graph_of(flow_of("f", work, mend)), "work", "mend")
    assert (edge.kind, edge.label) == (EdgeKind.FAILURE, "failed")


def test_a_caught_error_that_starts_a_step_leads_to_it() -> None:
    work = StepIR("work", ("Start",), ("Stop",), catch=(CatchIR(("http.5xx",), "mend.start"),))
    mend = python_step("mend", ("mend.start",), ("Stop",))
    edge = edge_of(graph_of(flow_of("f", work, mend)), "work", "mend")
    assert (edge.kind, edge.label, edge.condition) == (EdgeKind.FAILURE, "", "http.5xx")


def test_a_handler_of_many_steps_has_one_edge_from_a_junction() -> None:
    graph = graph_of(flows.order_saga())
    into = [e for e in graph.edges if e.target == "on_failure"]
    assert [(e.source, e.kind) for e in into] == [("@failure:on_failure", EdgeKind.FAILURE)]
    assert node_of(graph, "@failure:on_failure").title == "any of 7 steps fails"


def test_a_handler_of_few_steps_has_an_edge_from_each() -> None:
    handler = StepIR("mend", (), ("Stop",), recovers=("a", "b"))
    graph = graph_of(flow_of("f", python_step("a", ("Start",), ("E",)), python_step("b", ("E",), ("Stop",)), handler))
    assert [e.source for e in graph.edges if e.target == "mend"] == ["a", "b"]


def test_an_event_from_outside_has_an_entrance_and_leads_to_the_wait() -> None:
    graph = graph_of(flows.order_saga())
    assert node_of(graph, "@event:Paid").kind is NodeKind.OUTSIDE
    assert edge_of(graph, "@event:Paid", "wait_paid").kind is EdgeKind.WAIT


def test_question_and_answer_meet_at_the_world_outside() -> None:
    graph = graph_of(flows.ask_outside())
    assert edge_of(graph, "begin", OUTSIDE).label == "Question"
    assert edge_of(graph, OUTSIDE, "finish").label == "Reply"


def test_undo_calls_and_triggers_are_badges() -> None:
    graph = graph_of(flows.order_saga())
    assert [b.text for b in node_of(graph, "charge_card").badges] == ["undo pay.refund"]
    assert [b.kind for b in node_of(graph, START).badges] == ["webhook", "cron"]


def test_a_call_of_a_flow_is_a_sub_flow_and_failed_is_an_end() -> None:
    graph = graph_of(flows.order_saga())
    assert node_of(graph, "dunning").kind is NodeKind.SUB_FLOW
    assert edge_of(graph, "dunning", FAILED).event == "Failed"


def test_a_whole_function_is_one_procedure() -> None:
    body = replace(flows.PYTHON, kind="procedure", ref="shop.flows:order")
    graph = graph_of(flow_of("f", StepIR("main", ("Start",), ("Stop",), body)))
    assert (node_of(graph, "main").kind, node_of(graph, "main").detail) == (NodeKind.PROCEDURE, "order")


def test_an_event_reaches_a_step_that_takes_its_base() -> None:
    taker = replace(python_step("any", ("Base",), ("Stop",)), accepts_subclasses=True)
    flow = flow_of("f", python_step("a", ("Start",), ("Sub",)), taker, Sub=EventIR("Sub", bases=("Base",)))
    assert edge_of(graph_of(flow), "a", "any").event == "Sub"


def test_a_closing_event_of_a_join_leads_to_it() -> None:
    closing = JoinIR("until", until_event="Closed")
    steps = python_step("a", ("Start",), ("E", "Closed")), python_step("b", ("E",), ("Stop",), closing)
    assert edge_of(graph_of(flow_of("f", *steps)), "a", "b", "Closed").label == "Closed"


def test_many_emitters_and_listeners_of_one_event_meet_at_a_junction() -> None:
    graph = graph_of(flows.crowd(40))
    assert node_of(graph, "@hub:News").kind is NodeKind.EVENT
    assert len(graph.edges) == 1 + 40 + 40 + 40 + 40


def test_the_graph_of_a_flow_with_no_step_is_start_and_stop() -> None:
    graph = graph_of(FlowIR("empty"))
    assert ([n.id for n in graph.nodes], graph.edges) == ([START, STOP], ())


def test_edges_have_ids_in_order_and_every_end_is_a_node() -> None:
    graph = graph_of(flows.generated(40))
    names = {n.id for n in graph.nodes}
    assert [e.id for e in graph.edges] == [f"e{n}" for n in range(len(graph.edges))]
    assert all(e.source in names and e.target in names for e in graph.edges)


def test_the_same_flow_gives_the_same_graph() -> None:
    assert graph_of(flows.order_saga()) == graph_of(flows.order_saga())
