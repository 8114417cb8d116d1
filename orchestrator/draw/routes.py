"""From rows and columns to boxes and lines: heights of rows, where lines meet boxes, and the points of every line.

Between two rows lie, from above: level lines of lanes that leave the boxes above, the curves of all edges, level lines of
lanes that arrive at the boxes below. So curves never meet a box, and level lines meet other lines at right angles only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from orchestrator.draw.geometry import Box, Layout, Point, Route, Spacing
from orchestrator.draw.lanes import Lane, place_labels, place_lanes, plan_lanes, side_ports
from orchestrator.draw.mesh import Dimension, Mesh
from orchestrator.draw.model import Graph
from orchestrator.draw.ports import levels, spread

_Hop = tuple[int, float, float]  # (index of the upper shown row, x above, x below)
_End = tuple[str, int]  # ("edge", its number), ("lane", number of a lane that enters) or ("exit", edge of a lane)


class Router:
    """Builds one layout. `x` holds the middle of every vertex of the mesh."""

    def __init__(
        self, graph: Graph, mesh: Mesh, x: Sequence[float], labels: Mapping[str, Dimension], spacing: Spacing
    ) -> None:
        self.graph = graph
        self.mesh = mesh
        self.x = x
        self.gaps = spacing
        self.lanes = plan_lanes(graph, mesh, labels)
        place_lanes(self.lanes, mesh, x, spacing)
        # A row of bends only, between two rows of nodes, takes no height: lines pass it in one curve.
        self.shown = [n for n, row in enumerate(mesh.rows) if n % 2 == 0 or any(mesh.size[v][1] for v in row)]
        self.index = {row: n for n, row in enumerate(self.shown)}
        self.top_ports: dict[_End, float] = {}
        self.low_ports: dict[_End, float] = {}
        self.row_top: list[float] = []
        self.row_bottom: list[float] = []
        self.curve_top: list[float] = []
        self.curve_bottom: list[float] = []
        self.side_y: dict[tuple[int, int, bool], float] = {}
        self.exit_track: dict[int, int] = {}  # edge -> level under its row
        self.entry_track: dict[int, int] = {}  # lane -> level over its row

    def layout(self) -> Layout:
        """Everything, moved so that it begins at the margin."""
        self._spread_ports()
        exits, entries = self._take_tracks()
        hops = {n: self._hops(chain, n) for n, chain in self.mesh.chains.items()}
        curves, bends = self._curves(hops)
        self._stack_rows(exits, entries, curves)
        boxes = self._boxes()
        routes: dict[int, Route] = {}
        for n, chain in self.mesh.chains.items():
            ends = boxes[chain[0]], boxes[chain[-1]]
            routes[n] = Route(self._points(n, hops[n], ends, bends), self._label(chain))
        routes.update(self._lane_routes(boxes))
        return self._moved(boxes, routes)

    def _spread_ports(self) -> None:
        """Lines meet a box as nearly below or above of where they go as there is room."""
        low: dict[int, list[tuple[float, _End]]] = {}
        top: dict[int, list[tuple[float, _End]]] = {}
        for n, chain in self.mesh.chains.items():
            shown = [v for v in chain[1:-1] if self.mesh.layer[v] in self.index]
            low.setdefault(chain[0], []).append((self.x[(shown or chain[-1:])[0]], ("edge", n)))
            top.setdefault(chain[-1], []).append((self.x[(shown or chain[:1])[-1]], ("edge", n)))
        for number, lane in enumerate(self.lanes):
            if not lane.enters_sideways:
                top.setdefault(lane.target, []).append((lane.x, ("lane", number)))
            for edge, source, is_sideways in lane.sources:
                if not is_sideways:
                    low.setdefault(source, []).append((lane.x, ("exit", edge)))
        for ends, ports in ((low, self.low_ports), (top, self.top_ports)):
            for node, wanted in ends.items():
                wanted.sort()
                half = max(0.0, self.mesh.size[node][0] / 2 - min(self.gaps.inset, self.mesh.size[node][0] / 4))
                left, right = self.x[node] - half, self.x[node] + half
                places = spread([min(max(x, left), right) for x, _ in wanted], self.gaps.port, left, right)
                for (_, end), place in zip(wanted, places, strict=True):
                    ports[end] = self._grid(place)

    def _take_tracks(self) -> tuple[list[int], list[int]]:
        """Levels of the lanes under and over each row; the nearest to the outside gets the nearest to its row."""
        exits, entries = [0] * len(self.mesh.rows), [0] * len(self.mesh.rows)
        leaving = [
            (lane, edge, self.mesh.layer[source])
            for lane in self.lanes
            for edge, source, is_sideways in lane.sources
            if not is_sideways
        ]
        for _, edge, row in sorted(leaving, key=lambda t: -t[0].side * self.low_ports["exit", t[1]]):
            self.exit_track[edge] = exits[row]
            exits[row] += 1
        entering = [(n, lane) for n, lane in enumerate(self.lanes) if not lane.enters_sideways]
        for n, lane in sorted(entering, key=lambda t: -t[1].side * self.top_ports["lane", t[0]]):
            row = self.mesh.layer[lane.target]
            self.entry_track[n] = entries[row]
            entries[row] += 1
        return exits, entries

    def _hops(self, chain: Sequence[int], edge: int) -> list[_Hop]:
        """The moves of an edge between shown rows."""
        at = self.low_ports["edge", edge]
        out = []
        for vertex in chain[1:]:
            row = self.index.get(self.mesh.layer[vertex])
            if row is not None:
                to = self.top_ports["edge", edge] if vertex == chain[-1] else self.x[vertex]
                out.append((row - 1, at, to))
                at = to
        return out

    def _curves(self, hops: Mapping[int, Sequence[_Hop]]) -> tuple[list[float], dict[tuple[int, int], int]]:
        """The height of the curves in the gap below each shown row; on grids also the level of each move."""
        by_gap: list[list[tuple[int, float, float]]] = [[] for _ in self.shown]
        for n, moves in hops.items():
            for row, start, end in moves:
                by_gap[row].append((n, start, end))
        height: list[float] = []
        bends: dict[tuple[int, int], int] = {}
        for row, gap in enumerate(by_gap):
            if self.gaps.is_orthogonal:
                sideways = [(n, start, end) for n, start, end in gap if start != end]
                taken = levels([(start, end) for _, start, end in sideways])
                bends.update(((n, row), level) for (n, _, _), level in zip(sideways, taken, strict=True))
                height.append(max(taken, default=-1) + 1 + self.gaps.row)
            else:
                far = max((abs(start - end) for _, start, end in gap), default=0.0)
                is_whole = row + 1 < len(self.shown) and self.shown[row + 1] - self.shown[row] == 2
                least = self.gaps.row * (1.5 if is_whole else 1.0)
                height.append(least + min(self.gaps.row_stretch * far, 2 * self.gaps.row))
        if height:
            height[-1] = 0.0  # nothing stands below the last row
        return height, bends

    def _stack_rows(self, exits: Sequence[int], entries: Sequence[int], curves: Sequence[float]) -> None:
        """Set for every shown row: top and bottom of its boxes, and where the curves under it begin and end."""
        y = 0.0
        for n, row in enumerate(self.shown):
            y += self.gaps.track * entries[row] + (self.gaps.arrow if row % 2 == 0 else 0.0)
            self.row_top.append(y)
            y += max((self.mesh.size[v][1] for v in self.mesh.rows[row]), default=0.0)
            self.row_bottom.append(y)
            y += self.gaps.track * (exits[row] + (1 if exits[row] else 0))
            self.curve_top.append(y)
            y += curves[n]
            self.curve_bottom.append(y)

    def _boxes(self) -> list[Box]:
        """The boxes of the nodes, in the middle of their rows."""
        return [self._box(node) for node in range(len(self.graph.nodes))]

    def _box(self, vertex: int) -> Box:
        width, height = self.mesh.size[vertex]
        row = self.index[self.mesh.layer[vertex]]
        y = self._grid((self.row_top[row] + self.row_bottom[row] - height) / 2)
        return Box(self.x[vertex] - self.gaps.half(width), y, width, height)

    def _label(self, chain: Sequence[int]) -> Box | None:
        is_label = len(chain) > 2 and self.mesh.size[chain[1]][1] > 0
        return self._box(chain[1]) if is_label else None

    def _grid(self, at: float) -> float:
        return float(math.floor(at)) if self.gaps.is_orthogonal else at

    def _points(
        self, edge: int, hops: Sequence[_Hop], ends: tuple[Box, Box], bends: Mapping[tuple[int, int], int]
    ) -> tuple[Point, ...]:
        points: list[Point] = [(hops[0][1], ends[0].bottom)]
        for row, start, end in hops:
            top, bottom = self.curve_top[row], self.curve_bottom[row]
            if (edge, row) in bends:
                top = bottom = top + bends[edge, row]
            points += [(start, top), (end, bottom)]
        points.append((hops[-1][2], ends[1].y))
        return _straightened(points)

    def _lane_routes(self, boxes: Sequence[Box]) -> dict[int, Route]:
        self.side_y = side_ports(self.lanes, self.mesh, boxes, self.gaps)
        lines: list[dict[int, list[Point]]] = []
        for number, lane in enumerate(self.lanes):
            way_in = self._way_in(number, lane, boxes[lane.target])
            sources = lane.sources
            lines.append({edge: [*self._way_out(number, edge, boxes, node), *way_in] for edge, node, _ in sources})
        spans = []
        crossing = []
        for lane, of_lane in zip(self.lanes, lines, strict=True):
            heights = [y for points in of_lane.values() for x, y in points if x == lane.x]
            spans.append((min(heights), max(heights)))
            for points in of_lane.values():
                hops = itertools.pairwise(points)
                crossing += [(y0, x0, x1) for (x0, y0), (x1, y1) in hops if y0 == y1]
        place_labels(self.lanes, spans, crossing, boxes, self.gaps)
        return {
            edge: Route(_straightened(points), lane.box if edge == lane.label_edge else None)
            for lane, of_lane in zip(self.lanes, lines, strict=True)
            for edge, points in of_lane.items()
        }

    def _way_out(self, number: int, edge: int, boxes: Sequence[Box], node: int) -> list[Point]:
        lane, box = self.lanes[number], boxes[node]
        sideways = self.side_y.get((number, edge, False))
        if sideways is not None:
            return [(box.right if lane.side > 0 else box.x, sideways), (lane.x, sideways)]
        x = self.low_ports["exit", edge]
        row = self.index[self.mesh.layer[node]]
        y = self.row_bottom[row] + self.gaps.track * (self.exit_track[edge] + 1)
        return [(x, box.bottom), (x, y), (lane.x, y)]

    def _way_in(self, number: int, lane: Lane, box: Box) -> list[Point]:
        sideways = self.side_y.get((number, -1, True))
        if sideways is not None:
            return [(lane.x, sideways), (box.right if lane.side > 0 else box.x, sideways)]
        x = self.top_ports["lane", number]
        row = self.index[self.mesh.layer[lane.target]]
        y = self.row_top[row] - self.gaps.arrow - self.gaps.track * (self.entry_track[number] + 1)
        return [(lane.x, y), (x, y), (x, box.y)]

    def _moved(self, boxes: Sequence[Box], routes: Mapping[int, Route]) -> Layout:
        labels = [r.label for r in routes.values() if r.label is not None]
        xs = [x for r in routes.values() for x, _ in r.points] + [v for b in (*boxes, *labels) for v in (b.x, b.right)]
        ys = [y for r in routes.values() for _, y in r.points] + [v for b in (*boxes, *labels) for v in (b.y, b.bottom)]
        margin = self.gaps.margin
        dx, dy = margin - min(xs), margin - min(ys)
        return Layout(
            width=max(xs) + dx + margin,
            height=max(ys) + dy + margin,
            nodes={node.id: _shifted(box, dx, dy) for node, box in zip(self.graph.nodes, boxes, strict=True)},
            edges={
                edge.id: Route(
                    tuple((x + dx, y + dy) for x, y in routes[n].points),
                    _shifted(label, dx, dy) if (label := routes[n].label) is not None else None,
                )
                for n, edge in enumerate(self.graph.edges)
            },
        )


def _shifted(box: Box, dx: float, dy: float) -> Box:
    return Box(box.x + dx, box.y + dy, box.width, box.height)


def _straightened(points: Sequence[Point]) -> tuple[Point, ...]:
    """Without points that repeat or lie on a level or upright line between their neighbours."""
    out: list[Point] = []
    for point in points:
        if out and out[-1] == point:
            continue
        if len(out) > 1 and (out[-2][0] == out[-1][0] == point[0] or out[-2][1] == out[-1][1] == point[1]):
            out.pop()
        out.append(point)
    return tuple(out)
