"""Where everything of a graph stands: boxes of nodes, lines of edges, places of labels. Knows no text and no format.

Rows go from top to bottom. An edge leaves a box at its lower side and enters the next at its upper side; loops and very long
edges run outside of the boxes of the rows they pass. What it gives is the same for the same graph, always.
I1  Boxes of nodes and labels never overlap each other.
I2  Every line starts and ends on the border of its boxes and passes through no other box of a node.
Source: Sugiyama, Tagawa, Toda 1981, in the steps of mesh.py, ordering.py, columns.py, lanes.py and routes.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.draw.columns import place_columns
from orchestrator.draw.geometry import Layout, Spacing
from orchestrator.draw.mesh import Dimension, mesh_of
from orchestrator.draw.model import Graph
from orchestrator.draw.ordering import order_rows
from orchestrator.draw.routes import Router


def lay_out(
    graph: Graph, nodes: Mapping[str, Dimension], labels: Mapping[str, Dimension], spacing: Spacing | None = None
) -> Layout:
    """Place the nodes, whose sizes are given by id, and route the edges, whose labels (if any) have sizes by id.

    Cost: near linear in nodes and edges; a thousand steps take about half a second.
    """
    gaps = spacing or Spacing()
    mesh = mesh_of(graph, nodes, labels)
    order_rows(mesh)
    is_bend, size = mesh.is_bend, mesh.size

    def distance(a: int, b: int) -> float:
        if not is_bend[a] and not is_bend[b]:
            gap = gaps.node
        elif size[a][0] or size[b][0]:
            gap = gaps.label
        else:
            gap = gaps.bend
        return (size[a][0] + size[b][0]) / 2 + gap

    columns = place_columns(mesh, distance)
    if gaps.is_orthogonal:  # sizes are whole and odd there, so that rounding keeps the distances
        columns = [math.floor(x + 0.5) for x in columns]
    return Router(graph, mesh, columns, labels, gaps).layout()
