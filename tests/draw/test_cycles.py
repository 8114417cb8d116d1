"""Back edges and loops, against what a naive search finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.draw.cycles import back_edges, loops

GRAPHS = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=24))
)


def reachable(size: int, edges: list[tuple[int, int]], start: int) -> set[int]:
    """What a walk of at least one hop finds."""
    found: set[int] = set()
    todo = [t for s, t in edges if s == start]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += [t for s, t in edges if s == node]
    return found


def test_a_way_back_to_an_earlier_step_is_the_back_edge() -> None:
    assert back_edges(3, [(0, 1), (1, 2), (2, 1)]) == [False, False, True]


def test_a_step_that_leads_to_itself_is_a_back_edge() -> None:
    assert back_edges(2, [(0, 1), (1, 1)]) == [False, True]


def test_the_walk_follows_the_order_of_the_steps_not_of_the_edges() -> None:
    # 0 leads to 2 and to 1, and 1 and 2 lead to each other: 1 stands first, so 2 -> 1 is the way back.
    assert back_edges(3, [(0, 2), (0, 1), (2, 1), (1, 2)]) == [False, False, True, False]


def test_a_chain_of_many_thousand_steps_needs_no_recursion() -> None:
    edges = [(n, n + 1) for n in range(20_000)] + [(20_000, 0)]
    assert back_edges(20_001, edges).count(True) == 1
    assert len(loops(20_001, edges)[0]) == 20_001


@given(GRAPHS)
def test_without_its_back_edges_no_graph_has_a_cycle(graph: tuple[int, list[tuple[int, int]]]) -> None:
    size, edges = graph
    rest = [e for e, is_back in zip(edges, back_edges(size, edges), strict=True) if not is_back]
    assert not any(node in reachable(size, rest, node) for node in range(size))


@given(GRAPHS)
def test_every_back_edge_closes_a_cycle(graph: tuple[int, list[tuple[int, int]]]) -> None:
    size, edges = graph
    marked = [e for e, is_back in zip(edges, back_edges(size, edges), strict=True) if is_back]
    assert all(s == t or s in reachable(size, edges, t) for s, t in marked)


@given(GRAPHS)
def test_loops_are_the_sets_of_nodes_that_reach_each_other(graph: tuple[int, list[tuple[int, int]]]) -> None:
    size, edges = graph
    reach = [reachable(size, edges, node) for node in range(size)]
    naive = {tuple(m for m in range(size) if m in reach[n] and n in reach[m]) for n in range(size) if n in reach[n]}
    assert {tuple(members) for members in loops(size, edges)} == naive
