"""Geometry of layouts: nothing overlaps, every line meets its boxes, and cost grows with the size only."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.draw.cards import Drawing, drawing_of
from orchestrator.draw.geometry import Box, Layout, Point, Route, Spacing
from orchestrator.draw.graph import graph_of
from orchestrator.draw.layout import lay_out
from orchestrator.draw.mesh import mesh_of
from orchestrator.draw.model import Edge, Graph, Node, NodeKind
from orchestrator.draw.ports import levels, spread
from orchestrator.ir.model import FlowIR
from tests.draw import flows
from tests.draw.geometry_checks import loose_ends, outside, overlapping, pierced
from tests.support.cost import cpu_seconds

FLOWS: dict[str, Callable[[], FlowIR]] = {
    **flows.SMALL,
    "hostile": flows.hostile,
    "ladder": lambda: flows.ladder(14),
    "star": lambda: flows.star(30),
    "crowd": lambda: flows.crowd(6),
    "layers": lambda: flows.layers(5, 4),
    **{f"forty-{seed}": partial(flows.generated, 40, seed) for seed in range(4)},
}


def drawn(flow: FlowIR) -> Drawing:
    return drawing_of(graph_of(flow))


@pytest.mark.parametrize("name", FLOWS)
def test_no_two_boxes_overlap_and_lines_meet_their_boxes(name: str) -> None:
    drawing = drawn(FLOWS[name]())
    assert overlapping(drawing.layout) == []
    assert loose_ends(drawing.graph, drawing.layout) == []
    assert pierced(drawing.graph, drawing.layout) == []
    assert outside(drawing.layout) == []


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 12))
    nodes = [Node("@start", NodeKind.START, "Start"), *(Node(f"n{n}", NodeKind.NONE, f"n{n}") for n in range(count))]
    ends = st.integers(0, count)
    raw = draw(st.lists(st.tuples(ends, ends), max_size=30))
    edges = [
        Edge(f"e{n}", nodes[a].id, nodes[b].id, label="x" * (n % 9), is_back=b <= a) for n, (a, b) in enumerate(raw)
    ]
    return Graph("g", "g", "", tuple(nodes), tuple(edges))


@settings(deadline=None)
@given(graphs(), st.integers(0, 3))
def test_any_graph_whatever_is_laid_out_without_a_fault(graph: Graph, extra: int) -> None:
    sizes = {n.id: (60.0 + 40 * (len(n.id) + extra), 30.0 + 17 * (i % 4)) for i, n in enumerate(graph.nodes)}
    labels = {e.id: (7.0 * len(e.label) + 12, 20.0) for e in graph.edges if e.label}
    layout = lay_out(graph, sizes, labels)
    assert (overlapping(layout), loose_ends(graph, layout), pierced(graph, layout), outside(layout)) == ([], [], [], [])


@settings(deadline=None)
@given(graphs())
def test_on_a_grid_all_places_are_whole_and_lines_upright_or_level(graph: Graph) -> None:
    sizes = {n.id: (9.0 + 2 * (i % 3), 3.0 + i % 2) for i, n in enumerate(graph.nodes)}
    labels = {e.id: (float(len(e.label) | 1), 1.0) for e in graph.edges if e.label}
    layout = lay_out(graph, sizes, labels, replace(GRID, is_orthogonal=True))
    boxes = [*layout.nodes.values(), *(r.label for r in layout.edges.values() if r.label is not None)]
    assert all(float(v).is_integer() for b in boxes for v in (b.x, b.y))
    for route in layout.edges.values():
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in zip(route.points, route.points[1:], strict=False))
    assert overlapping(layout) == []


GRID = Spacing(node=3, label=2, bend=2, row=1, row_stretch=0, track=1, lane=3, port=2, inset=2, arrow=1, margin=0)


def test_the_checks_see_boxes_that_overlap_and_lines_that_miss() -> None:
    drawing = drawn(flows.chain())
    moved = {**drawing.layout.nodes, "fetch": drawing.layout.nodes["publish"]}
    broken = Layout(drawing.layout.width, drawing.layout.height, moved, drawing.layout.edges)
    assert ("fetch", "publish") in overlapping(broken)
    assert loose_ends(drawing.graph, broken) == ["e0", "e1"]
    assert pierced(drawing.graph, broken) == []
    shifted = {**drawing.layout.nodes, "fetch": Box(0, 0, drawing.layout.width, drawing.layout.height)}
    assert pierced(drawing.graph, Layout(1, 1, shifted, drawing.layout.edges))


def test_a_chain_stands_in_one_straight_column() -> None:
    layout = drawn(flows.chain()).layout
    assert len({round(box.middle, 3) for box in layout.nodes.values()}) == 1
    assert all(len(route.points) == 2 for route in layout.edges.values())


def test_a_fan_in_is_symmetric_about_its_middle_branch() -> None:
    nodes = drawn(flows.complex_feedback_monitor()).layout.nodes
    assert nodes["offline_feedback"].middle == pytest.approx(nodes["trading_decision"].middle, abs=12)
    assert nodes["online_feedback"].middle < nodes["offline_feedback"].middle < nodes["trending_predict"].middle


def test_loops_run_outside_of_all_boxes_in_the_rows_they_pass() -> None:
    drawing = drawn(flows.feedback_monitor())
    for edge in (e for e in drawing.graph.edges if e.is_back):
        xs = [x for x, _ in drawing.layout.edges[edge.id].points]
        boxes = drawing.layout.nodes.values()
        assert min(xs) < min(b.x for b in boxes) or max(xs) > max(b.right for b in boxes)


def test_edges_to_one_target_with_the_same_words_share_one_lane_and_label() -> None:
    drawing = drawn(flows.ladder(30))
    again = [drawing.layout.edges[e.id] for e in drawing.graph.edges if e.event == "Again" and e.source != e.target]
    assert sum(1 for route in again if route.label is not None) <= 2  # one to each side


def slants(route: Route) -> int:
    return sum(1 for (x0, y0), (x1, y1) in itertools.pairwise(route.points) if x0 != x1 and y0 != y1)


def test_a_long_edge_bends_near_its_ends_only() -> None:
    # In this flow short edges cross a long one, and give way to it.
    drawing = drawn(flows.generated(14, 0))
    long = [e.id for e in drawing.graph.edges if not e.is_back]
    assert [e for e in long if slants(drawing.layout.edges[e]) > 2] == []


def test_an_edge_over_many_rows_is_led_around_the_boxes() -> None:
    drawing = drawn(flows.ladder(14))
    edge = next(e for e in drawing.graph.edges if (e.source, e.target) == ("s0", "@stop"))
    xs = [x for x, _ in drawing.layout.edges[edge.id].points]
    boxes = drawing.layout.nodes.values()
    assert min(xs) < min(b.x for b in boxes) or max(xs) > max(b.right for b in boxes)


@pytest.mark.parametrize(("rows", "is_outer"), [(6, False), (7, True)])
def test_an_edge_goes_through_at_most_six_rows(rows: int, is_outer: bool) -> None:
    steps = [flows.python_step(f"s{n}", (f"E{n}",) if n else ("Start",), (f"E{n + 1}",)) for n in range(rows)]
    steps[0] = flows.python_step("s0", ("Start",), ("E1", "Skip"))
    steps.append(flows.python_step("end", (f"E{rows}", "Skip"), ("Stop",)))
    graph = graph_of(flows.flow_of("skip", *steps))
    mesh = mesh_of(graph, {n.id: (90.0, 40.0) for n in graph.nodes}, {})
    assert [graph.edges[n].event for n in mesh.outer] == (["Skip"] if is_outer else [])


def test_two_loops_out_of_one_box_do_not_cross() -> None:
    steps = [flows.python_step(f"s{n}", (f"E{n}", f"L{n}") if n else ("Start",), (f"E{n + 1}",)) for n in range(3)]
    last = flows.python_step("s3", ("E3",), ("L1", "L2", "Stop"))
    drawing = drawn(flows.flow_of("loops", *steps, last))
    one, two = (drawing.layout.edges[e.id].points for e in drawing.graph.edges if e.is_back)
    assert not [p for p in itertools.pairwise(one) for q in itertools.pairwise(two) if crosses(p, q)]


def crosses(one: tuple[Point, Point], two: tuple[Point, Point]) -> bool:
    """Whether a level and an upright stretch meet."""
    level, upright = (one, two) if one[0][1] == one[1][1] else (two, one)
    (x0, y), (x1, y1), x = level[0], level[1], upright[0][0]
    if y != y1 or upright[1][0] != x:
        return False
    low, high = sorted((upright[0][1], upright[1][1]))
    return min(x0, x1) < x < max(x0, x1) and low < y < high


def test_lines_that_leave_below_a_row_keep_apart_and_off_the_boxes() -> None:
    layout = drawn(flows.comb(4)).layout
    low = layout.nodes["arm1"].bottom
    levels_below = {a[1] for r in layout.edges.values() for a, b in itertools.pairwise(r.points) if a[1] == b[1] > low}
    assert sorted(levels_below) == [low + 9, low + 18]


def test_a_loop_from_below_a_box_passes_outside_of_one_that_leaves_sideways() -> None:
    drawing = drawn(flows.comb(4))
    loops = [drawing.layout.edges[e.id].points for e in drawing.graph.edges if e.is_back]
    stretches = [list(itertools.pairwise(points)) for points in loops]
    assert not [1 for a, b in itertools.combinations(stretches, 2) for p in a for q in b if crosses(p, q)]


def test_rows_of_branches_cross_nothing_where_they_need_not() -> None:
    flow = flows.flow_of(
        "crossed",
        flows.python_step("a", ("Start",), ("L", "R")),
        flows.python_step("right", ("R",), ("R2",)),
        flows.python_step("left", ("L",), ("L2",)),
        flows.python_step("left2", ("L2",), ("Stop",)),
        flows.python_step("right2", ("R2",), ("Stop",)),
    )
    nodes = drawn(flow).layout.nodes
    assert (nodes["left"].x < nodes["right"].x) == (nodes["left2"].x < nodes["right2"].x)


def test_the_same_flow_is_laid_out_the_same() -> None:
    assert drawn(flows.generated(60)).layout == drawn(flows.generated(60)).layout


@pytest.mark.parametrize("make", [flows.generated, flows.star, flows.ladder, lambda n: flows.layers(10, n // 10)])
def test_a_thousand_steps_take_less_than_a_second_and_a_half(make: Callable[[int], FlowIR]) -> None:
    graph = graph_of(make(1_000))
    before = time.process_time()
    layout = drawing_of(graph).layout
    assert time.process_time() - before < 1.5
    assert overlapping(layout) == []
    assert loose_ends(graph, layout) == []


@pytest.mark.parametrize("make", [flows.generated, flows.star, flows.ladder])
def test_cost_grows_with_the_size_and_not_with_its_square(make: Callable[[int], FlowIR]) -> None:
    def cost(size: int) -> float:
        graph = graph_of(make(size))
        return cpu_seconds(lambda: drawing_of(graph))

    assert cost(4_000) < 4 * 2.5 * cost(1_000)  # a square would be 16 times


def test_an_empty_flow_is_laid_out() -> None:
    assert drawn(FlowIR("empty")).layout.nodes.keys() == {"@start", "@stop"}


def test_ports_keep_their_distance_and_stay_near_what_they_want() -> None:
    assert spread([0, 0, 0], 10, -50, 50) == [-10, 0, 10]
    assert spread([-90, 3], 10, -50, 50) == [-50, 3]
    assert spread([0, 0, 0], 10, -4, 4) == [-4, 0, 4]
    assert spread([], 10, 0, 1) == []


def test_moves_that_meet_get_levels_and_the_one_that_comes_from_above_passes_first() -> None:
    assert levels([(0, 4), (6, 9)]) == [0, 0]
    assert sorted(levels([(0, 6), (3, 9)])) == [0, 1]
    one, other = levels([(0, 5), (5, 9)])  # the second comes down where the first goes down
    assert other < one
