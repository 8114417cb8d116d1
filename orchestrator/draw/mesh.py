"""The layered form of a graph: every node in a layer, every edge cut into hops between neighbouring layers.

Even layers hold nodes, odd ones the labels of edges, so that a label has a place of its own and never covers a box. An edge
over several layers passes through a vertex of no size in each. Back edges and very long edges are no part of the mesh: they
are led around it (see routes.py), which also keeps the mesh linear in the size of the graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.draw.model import START, Graph

LONGEST = 6  # rows that an edge may cross inside the picture
HOPS_PER_ITEM = 8  # and on the whole this many hops per node and edge
Dimension = tuple[float, float]


@dataclass(slots=True, eq=False)
class Mesh:
    """Vertices are numbers: first the nodes of the graph in its order, then labels and bends of edges.

    Shape: chains maps the number of an edge to its vertices from source to target; `outer` are the edges led around.
    """

    size: list[Dimension]
    layer: list[int]
    up: list[list[int]]
    down: list[list[int]]
    is_bend: list[bool]  # belongs to an edge, be it a label or a mere bend
    chains: dict[int, list[int]] = field(default_factory=dict)
    outer: list[int] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    place: list[int] = field(default_factory=list)  # position in the row

    def number_rows(self) -> None:
        """Bring `place` in line with `rows`."""
        for row in self.rows:
            for n, vertex in enumerate(row):
                self.place[vertex] = n


def mesh_of(graph: Graph, nodes: Mapping[str, Dimension], labels: Mapping[str, Dimension]) -> Mesh:
    """The graph in layers, rows in depth-first order.

    Cost: linear in nodes and edges.
    """
    number = {node.id: n for n, node in enumerate(graph.nodes)}
    pairs = [(number[e.source], number[e.target]) for e in graph.edges]
    forward = [n for n, e in enumerate(graph.edges) if not e.is_back]
    rank = _ranks(len(number), [pairs[n] for n in forward], number[START])
    count = len(number)
    mesh = Mesh(
        size=[nodes[node.id] for node in graph.nodes],
        layer=[2 * r for r in rank],
        up=[[] for _ in range(count)],
        down=[[] for _ in range(count)],
        is_bend=[False] * count,
    )
    outer = {n for n, e in enumerate(graph.edges) if e.is_back}
    outer |= _too_long(forward, [rank[t] - rank[s] for s, t in pairs], HOPS_PER_ITEM * (count + len(pairs)))
    mesh.outer = sorted(outer)
    for n in forward:
        if n not in outer:
            _add_chain(mesh, n, *pairs[n], labels.get(graph.edges[n].id))
    fill_rows(mesh)
    return mesh


def _ranks(count: int, edges: list[tuple[int, int]], start: int) -> list[int]:
    """Longest way from a source; sources other than the start then move down to just above what they lead to."""
    out: list[list[int]] = [[] for _ in range(count)]
    open_in = [0] * count
    for source, target in edges:
        out[source].append(target)
        open_in[target] += 1
    is_source = [n == 0 for n in open_in]
    rank = [0] * count
    ready = [n for n in range(count) if is_source[n]]
    for node in ready:
        for target in out[node]:
            rank[target] = max(rank[target], rank[node] + 1)
            open_in[target] -= 1
            if not open_in[target]:
                ready.append(target)
    for node in range(count):
        if is_source[node] and node != start and out[node]:
            rank[node] = min(rank[t] for t in out[node]) - 1
    lowest = min(rank, default=0)
    return [r - lowest for r in rank]


def _too_long(forward: list[int], spans: list[int], budget: int) -> set[int]:
    """The edges that are led around: those over many rows, and the longest when all together would be too many hops."""
    out: set[int] = set()
    for n in sorted(forward, key=lambda n: spans[n]):
        budget -= 2 * spans[n]
        if spans[n] > LONGEST or (budget < 0 and spans[n] > 1):
            out.add(n)
    return out


def _add_chain(mesh: Mesh, edge: int, source: int, target: int, label: Dimension | None) -> None:
    chain = [source]
    for layer in range(mesh.layer[source] + 1, mesh.layer[target]):
        vertex = len(mesh.size)
        is_label = label is not None and layer == mesh.layer[source] + 1
        mesh.size.append(label if is_label and label is not None else (0.0, 0.0))
        mesh.layer.append(layer)
        mesh.is_bend.append(True)
        mesh.up.append([])
        mesh.down.append([])
        chain.append(vertex)
    chain.append(target)
    for above, below in itertools.pairwise(chain):
        mesh.down[above].append(below)
        mesh.up[below].append(above)
    mesh.chains[edge] = chain


def fill_rows(mesh: Mesh, *, is_turned: bool = False) -> None:
    """Put the vertices into rows in depth-first order; `is_turned` takes the ways on in reverse order."""
    count = len(mesh.size)
    mesh.rows = [[] for _ in range(max(mesh.layer, default=-1) + 1)]
    mesh.place = [0] * count
    seen = [False] * count
    for root in sorted(range(count), key=lambda v: (mesh.layer[v], v)):
        stack = [root]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = True
                mesh.rows[mesh.layer[vertex]].append(vertex)
                stack.extend(mesh.down[vertex] if is_turned else reversed(mesh.down[vertex]))
    mesh.number_rows()
