"""A run's path, matched with the graph."""

from __future__ import annotations

import pytest

from orchestrator.draw.dot import to_dot
from orchestrator.draw.graph import graph_of
from orchestrator.draw.html import to_html
from orchestrator.draw.mermaid import to_mermaid
from orchestrator.draw.model import Edge
from orchestrator.draw.overlay import Overlay, RunPath, StepState, Visit, overlay_of
from orchestrator.draw.svg import to_svg
from orchestrator.draw.terminal import to_ascii
from orchestrator.ir.model import FlowIR
from tests.draw import flows
from tests.draw.runs import APPROVAL_RUN, FAILED_SAGA


def matched(flow: FlowIR, path: RunPath) -> tuple[Overlay, dict[tuple[str, str], Edge]]:
    graph = graph_of(flow)
    return overlay_of(graph, path), {(e.source, e.target): e for e in graph.edges}


def test_visits_and_counts_land_on_their_nodes_and_edges() -> None:
    overlay, edges = matched(flows.content_approval(), APPROVAL_RUN)
    assert overlay.nodes["write"] == Visit(StepState.DONE, 2)
    assert overlay.edges[edges["write", "review"].id] == 2
    assert edges["review", "publish"].id not in overlay.edges


def test_start_is_reached_by_every_run_and_stop_only_if_it_was() -> None:
    overlay, _ = matched(flows.content_approval(), APPROVAL_RUN)
    assert "@start" in overlay.nodes and "@stop" not in overlay.nodes
    done, _ = matched(flows.chain(), RunPath({"publish": Visit(StepState.DONE)}, {("publish", "Stop", "@stop"): 1}))
    assert done.nodes["@stop"] == Visit(StepState.DONE, 1)


def test_a_handler_that_ran_was_reached_from_its_junction() -> None:
    overlay, edges = matched(flows.order_saga(), FAILED_SAGA)
    assert overlay.edges[edges["@failure:on_failure", "on_failure"].id] == 1
    assert overlay.nodes["@failure:on_failure"].state is StepState.FAILED


def test_what_passed_a_junction_is_counted_on_both_sides() -> None:
    taken = {("a0", "News", "b1"): 2, ("a0", "News", "b2"): 1, ("a1", "News", "b1"): 1}
    overlay, edges = matched(flows.crowd(3), RunPath({"a0": Visit(StepState.DONE)}, taken))
    assert overlay.edges[edges["a0", "@hub:News"].id] == 2
    assert overlay.edges[edges["@hub:News", "b1"].id] == 3


def test_of_edges_alike_the_first_takes_the_count() -> None:
    graph = graph_of(flows.summarise_sections())
    overlay = overlay_of(graph, RunPath({}, {("summarise", "Summary", "merge"): 5}))
    alike = [e.id for e in graph.edges if (e.source, e.target) == ("summarise", "merge")]
    assert [overlay.edges.get(e) for e in alike] == [5, None]


def test_names_that_the_flow_does_not_have_are_left_out() -> None:
    overlay, _ = matched(flows.chain(), RunPath({"gone": Visit(StepState.DONE)}, {("gone", "E", "fetch"): 1}))
    assert (overlay.nodes, overlay.edges) == ({}, {})


@pytest.mark.parametrize("render", [to_svg, to_html, to_mermaid, to_dot, to_ascii])
def test_every_format_shows_the_path(render: object) -> None:
    assert callable(render)
    plain, run = render(flows.content_approval()), render(flows.content_approval(), APPROVAL_RUN)
    assert plain != run
    assert "×2" in run and "×2" not in plain
