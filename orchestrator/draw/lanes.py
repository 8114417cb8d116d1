"""The lines that run outside: loops and very long edges. Decides side, way out, way in and distance of each.

Edges to one target with the same words share a lane and its label. A lane leaves a box sideways when nothing stands beyond it
in its row, else below it; it arrives sideways or from above in the same manner. Short lanes run inside of longer ones.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.draw.geometry import Box, Spacing
from orchestrator.draw.mesh import Dimension, Mesh
from orchestrator.draw.model import Edge, Graph


@dataclass(slots=True, eq=False)
class Lane:
    """One line outside. `side` is 1 for right, -1 for left; rows are indices of mesh rows.

    Shape: sources are (edge number, node, leaves sideways); x and label box are set by `place_lanes` and `place_labels`.
    """

    target: int
    side: int
    enters_sideways: bool
    label: Dimension | None
    label_edge: int
    sources: list[tuple[int, int, bool]] = field(default_factory=list)
    first_row: int = 0
    last_row: int = 0
    x: float = 0.0
    label_x: float = 0.0
    box: Box | None = None

    @property
    def is_short(self) -> bool:
        """Whether it stays within one row, as a step's way back to itself does."""
        return self.first_row == self.last_row


def plan_lanes(graph: Graph, mesh: Mesh, labels: Mapping[str, Dimension]) -> list[Lane]:
    """A lane for every outer edge, shared where words and target are the same; the shortest first.

    Cost: linear in the outer edges, but for sorting.
    """
    number = {node.id: n for n, node in enumerate(graph.nodes)}
    lanes: dict[tuple[object, ...], Lane] = {}
    for n in mesh.outer:
        edge = graph.edges[n]
        source, target = number[edge.source], number[edge.target]
        side = _side(mesh, edge, source, target)
        key = (target, side, edge.label, edge.note, edge.kind, edge.is_back, source == target)
        lane = lanes.get(key)
        if lane is None:
            row = mesh.layer[target]
            lane = lanes[key] = Lane(target, side, _beyond(mesh, target, side) == 0, labels.get(edge.id), n)
            lane.first_row = lane.last_row = row
        lane.sources.append((n, source, _beyond(mesh, source, side) == 0))
        lane.first_row = min(lane.first_row, mesh.layer[source])
        lane.last_row = max(lane.last_row, mesh.layer[source])
    return sorted(lanes.values(), key=_reach)


def _reach(lane: Lane) -> tuple[int, int]:
    """Of lanes over as many rows, one that comes from below a box passes outside of one that leaves a box sideways."""
    below = sum(not is_sideways for _, _, is_sideways in lane.sources)
    return lane.last_row - lane.first_row, below + (not lane.enters_sideways)


def _beyond(mesh: Mesh, vertex: int, side: int) -> int:
    """How many vertices of the row stand between this one and the outside."""
    place = mesh.place[vertex]
    return len(mesh.rows[mesh.layer[vertex]]) - 1 - place if side > 0 else place


def _side(mesh: Mesh, edge: Edge, source: int, target: int) -> int:
    right, left = (_beyond(mesh, source, s) + _beyond(mesh, target, s) for s in (1, -1))
    if right == left:
        return 1 if edge.is_back else -1
    return 1 if right < left else -1


def place_lanes(lanes: Sequence[Lane], mesh: Mesh, x: Sequence[float], spacing: Spacing) -> None:
    """Set the x of every lane just outside of the rows it passes and of the lanes inside of it."""
    for side in (1, -1):
        reach = [
            max((side * x[v] + spacing.half(mesh.size[v][0]) for v in row), default=float("-inf")) for row in mesh.rows
        ]  # how far each row is taken, measured towards the side
        for lane in lanes:
            if lane.side != side:
                continue
            rows = slice(lane.first_row, lane.last_row + 1)
            base = max(reach[rows]) + spacing.lane
            width = lane.label[0] if lane.label is not None else 0.0
            half = spacing.half(width)
            # The label of a short lane has no room on the line, so it goes beside it.
            beside = spacing.label / 2 + half if lane.is_short and width else 0.0
            at = base if lane.is_short else base + half
            lane.x = side * at
            lane.label_x = side * (at + beside)
            reach[rows] = [at + beside + half] * (rows.stop - rows.start)


def side_ports(
    lanes: Sequence[Lane], mesh: Mesh, boxes: Sequence[Box], spacing: Spacing
) -> dict[tuple[int, int, bool], float]:
    """The y at which lanes meet the sides of boxes, so that they do not cross there.

    Shape: (lane number, edge number, is_entry) -> y; the edge is -1 for an entry.
    """
    at_box: dict[tuple[int, int], list[tuple[tuple[int, float], tuple[int, int, bool]]]] = {}
    for n, lane in enumerate(lanes):
        target_row = mesh.layer[lane.target]
        out = abs(lane.x)
        for edge, source, is_sideways in lane.sources:
            if is_sideways:
                goes_up = target_row <= mesh.layer[source]
                at_box.setdefault((source, lane.side), []).append((_rank(goes_up, out), (n, edge, False)))
        if lane.enters_sideways:
            goes_up = target_row >= lane.last_row and target_row != lane.first_row
            at_box.setdefault((lane.target, lane.side), []).append((_rank(goes_up, out), (n, -1, True)))
    found: dict[tuple[int, int, bool], float] = {}
    for (node, _), ports in at_box.items():
        box = boxes[node]
        ports.sort()
        step = min(spacing.port, box.height / (len(ports) + 1))
        if spacing.is_orthogonal:
            step = max(1.0, step // 1)
        first = box.y + box.height / 2 - step * (len(ports) - 1) / 2
        for n, (_, key) in enumerate(ports):
            at = first + n * step
            found[key] = min(box.bottom - 1, at // 1) if spacing.is_orthogonal else at
    return found


def _rank(goes_up: bool, out: float) -> tuple[int, float]:
    """Those that go up come first, the inner before the outer; below them those that go down, the outer first."""
    return (0, out) if goes_up else (1, -out)


def place_labels(
    lanes: Sequence[Lane],
    spans: Sequence[tuple[float, float]],
    crossing: Sequence[tuple[float, float, float]],
    boxes: Sequence[Box],
    spacing: Spacing,
) -> None:
    """Set the label boxes: on the middle of the line, or as near to it as leaves free the lines that cross it.

    Units: spans are (top, bottom) of each lane; crossing lines are (y, from x, to x). The label of a short lane stands
    beside it, anywhere along its box.
    """
    by_height = sorted(crossing)
    for lane, (top, bottom) in zip(lanes, spans, strict=True):
        if lane.label is None:
            continue
        width, height = lane.label
        left = lane.label_x - spacing.half(width)
        own = height / 2 + (0.5 if spacing.is_orthogonal else 3.0)
        middle = (top + bottom) / 2
        low, high = top + own, bottom - own
        if lane.is_short:
            box = boxes[lane.target]
            low, high = box.y + height / 2, box.bottom - height / 2
        within = by_height[bisect_left(by_height, (low - own,)) : bisect_right(by_height, (high + own, math.inf))]
        near = [y for y, x0, x1 in within if min(x0, x1) < left + width and max(x0, x1) > left]
        tries = [middle, *(y for line in near for y in (line - own, line + own) if low <= y <= high)]
        free = [y for y in tries if _is_free(y, near, own)]
        at = min(free, key=lambda y: abs(y - middle), default=middle) - height / 2
        lane.box = Box(left, float(math.floor(at + 0.5)) if spacing.is_orthogonal else at, width, height)


def _is_free(y: float, lines: Sequence[float], distance: float) -> bool:
    n = bisect_left(lines, y)
    return all(abs(y - lines[m]) >= distance - 0.01 for m in (n - 1, n) if 0 <= m < len(lines))
