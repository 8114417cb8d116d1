"""What must hold of every layout, as functions that give the list of faults."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from orchestrator.draw.geometry import Box, Layout, Point
from orchestrator.draw.model import Graph


def overlapping(layout: Layout) -> list[tuple[str, str]]:
    """Pairs of boxes (nodes and labels) that overlap, found by a sweep over y."""
    boxes = [*layout.nodes.items(), *((e, r.label) for e, r in layout.edges.items() if r.label is not None)]
    boxes.sort(key=lambda item: item[1].y)
    faults = []
    open_boxes: list[tuple[str, Box]] = []
    for name, box in boxes:
        open_boxes = [(n, b) for n, b in open_boxes if b.bottom > box.y]
        faults += [(n, name) for n, b in open_boxes if b.overlaps(box)]
        open_boxes.append((name, box))
    return faults


def loose_ends(graph: Graph, layout: Layout) -> list[str]:
    """Edges that do not start at the border of their source and end at that of their target."""
    return [
        edge.id
        for edge in graph.edges
        if not on_border(layout.edges[edge.id].points[0], layout.nodes[edge.source])
        or not on_border(layout.edges[edge.id].points[-1], layout.nodes[edge.target])
    ]


def on_border(point: Point, box: Box) -> bool:
    x, y = point
    is_level = abs(y - box.y) < 0.01 or abs(y - box.bottom) < 0.01
    is_upright = abs(x - box.x) < 0.01 or abs(x - box.right) < 0.01
    inside = box.x - 0.01 <= x <= box.right + 0.01 and box.y - 0.01 <= y <= box.bottom + 0.01
    return inside and (is_level or is_upright)


def pierced(graph: Graph, layout: Layout) -> list[tuple[str, str]]:
    """Pairs (edge, node) where a line passes through the inside of a box."""
    boxes = sorted(layout.nodes.items(), key=lambda item: item[1].y)
    return [
        (edge.id, name)
        for edge in graph.edges
        for stretch in itertools.pairwise(layout.edges[edge.id].points)
        for name, box in boxes
        if _enters(stretch, box)
    ]


def outside(layout: Layout) -> list[str]:
    """Names of what sticks out of the picture."""
    labels = ((e, r.label) for e, r in layout.edges.items() if r.label is not None)
    return [n for n, b in (*layout.nodes.items(), *labels) if not _fits(b, layout)] + list(_points_outside(layout))


def _fits(box: Box, layout: Layout) -> bool:
    return box.x >= 0 and box.y >= 0 and box.right <= layout.width and box.bottom <= layout.height


def _points_outside(layout: Layout) -> Iterator[str]:
    for name, route in layout.edges.items():
        if any(not (0 <= x <= layout.width and 0 <= y <= layout.height) for x, y in route.points):
            yield name


def _enters(stretch: tuple[Point, Point], box: Box) -> bool:
    """Whether the bounding box of a stretch, which holds its curve, meets the inside of a box."""
    (x0, y0), (x1, y1) = stretch
    slack = 0.5
    return (
        max(x0, x1) > box.x + slack
        and min(x0, x1) < box.right - slack
        and max(y0, y1) > box.y + slack
        and min(y0, y1) < box.bottom - slack
    )
