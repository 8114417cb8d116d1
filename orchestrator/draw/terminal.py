"""A flow in box-drawing characters for a terminal; too many steps for that, or too wide, and it is an indented list.

The layout is that of all pictures, on a grid of cells. Lines are kept as the four directions in which a cell is connected,
so that crossings and corners come out right whatever is drawn first.
"""

from __future__ import annotations

import itertools

from orchestrator.draw.geometry import Box, Layout, Point, Spacing
from orchestrator.draw.graph import graph_of
from orchestrator.draw.layout import lay_out
from orchestrator.draw.measure import cells, fit_cells
from orchestrator.draw.model import Edge, EdgeKind, Graph, Node, NodeKind
from orchestrator.draw.outline import outline
from orchestrator.draw.overlay import Overlay, RunPath, overlay_of
from orchestrator.ir.model import FlowIR

MAX_STEPS = 40
_GRID = Spacing(
    node=3,
    label=2,
    bend=2,
    row=1,
    row_stretch=0,
    track=1,
    lane=3,
    port=2,
    inset=2,
    arrow=1,
    margin=0,
    is_orthogonal=True,
)
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_STATE_SIGNS = {"done": "✓", "failed": "✗", "running": "▶", "waiting": "‖", "skipped": "-"}
_MAX_BOX, _MAX_LABEL = 34, 26


def to_ascii(flow: FlowIR, path: RunPath | None = None, *, width: int = 160) -> str:
    """The flow, or a run's path through it, as text of at most `width` columns; an indented list if it does not fit."""
    graph = graph_of(flow)
    overlay = overlay_of(graph, path) if path is not None else None
    if sum(1 for node in graph.nodes if node.step) <= MAX_STEPS:
        picture = _picture(graph, overlay)
        if max(map(cells, picture), default=0) <= width:
            return "\n".join(picture) + "\n"
    return outline(graph, overlay, width)


def _picture(graph: Graph, overlay: Overlay | None) -> list[str]:
    texts = {node.id: _box_rows(node, overlay) for node in graph.nodes}
    labels = {edge.id: rows for edge in graph.edges if (rows := _label_rows(edge, overlay))}
    layout = lay_out(
        graph,
        {name: (float(_odd(max(map(cells, rows)) + 4)), float(len(rows) + 2)) for name, rows in texts.items()},
        {name: (float(_odd(max(map(cells, rows)) + 2)), float(len(rows))) for name, rows in labels.items()},
        _GRID,
    )
    canvas = _Canvas(layout)
    for edge in graph.edges:
        canvas.line(layout.edges[edge.id].points, is_dashed=edge.kind in (EdgeKind.FAILURE, EdgeKind.TIMEOUT))
    for edge in graph.edges:
        box = layout.edges[edge.id].label
        if box is not None:
            canvas.words(box, labels[edge.id], 1)
    for node in graph.nodes:
        canvas.box(layout.nodes[node.id], texts[node.id], is_round=not node.step)
    for edge in graph.edges:
        canvas.ends(layout.edges[edge.id].points, layout.nodes[edge.source])
    return canvas.rows()


def _odd(width: int) -> int:
    return width | 1


def _box_rows(node: Node, overlay: Overlay | None) -> list[str]:
    title = node.title
    visit = overlay.nodes.get(node.id) if overlay is not None else None
    if visit is not None and node.step:
        title += f" {_STATE_SIGNS[visit.state]}" + (f" {visit.remark}" if visit.remark else "")
    rows = [title]
    if node.step and node.kind is not NodeKind.NONE:
        rows.append(f"{node.kind} {node.detail}" if node.detail else str(node.kind))
    elif node.detail:
        rows.append(node.detail)
    rows += [f"· {badge.text}" for badge in node.badges]
    return [fit_cells(row, _MAX_BOX) for row in rows]


def _label_rows(edge: Edge, overlay: Overlay | None) -> list[str]:
    count = overlay.edges.get(edge.id, 0) if overlay is not None else 0
    event = f"{edge.label} ×{count}".strip() if count > 1 else edge.label
    return [fit_cells(row, _MAX_LABEL) for row in (event, edge.note) if row]


class _Canvas:
    """Cells of a picture: how each is connected, and what is written over that."""

    def __init__(self, layout: Layout) -> None:
        self.width, self.height = int(layout.width) + 1, int(layout.height) + 1
        self.links = [[0] * self.width for _ in range(self.height)]
        self.dashed = [[False] * self.width for _ in range(self.height)]
        self.text: list[list[str | None]] = [[None] * self.width for _ in range(self.height)]

    def line(self, points: tuple[Point, ...], *, is_dashed: bool) -> None:
        """Connect the cells of an upright and level polyline."""
        for (x0, y0), (x1, y1) in itertools.pairwise((int(x), int(y)) for x, y in points):
            if y0 == y1:
                for x in range(min(x0, x1), max(x0, x1)):
                    self._link(x, y0, _RIGHT, is_dashed)
                    self._link(x + 1, y0, _LEFT, is_dashed)
            else:
                for y in range(min(y0, y1), max(y0, y1)):
                    self._link(x0, y, _DOWN, is_dashed)
                    self._link(x0, y + 1, _UP, is_dashed)

    def _link(self, x: int, y: int, way: int, is_dashed: bool) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            self.links[y][x] |= way
            self.dashed[y][x] = is_dashed

    def ends(self, points: tuple[Point, ...], source: Box) -> None:
        """Where a line leaves its box, and the head of its arrow in the last free cell before the other; after the boxes."""
        x, y = (int(v) for v in points[0])
        if y == source.bottom:
            self._put(x, y - 1, "┬")
            self._link(x, y, _UP, self.dashed[y][x])
        elif x == source.right:
            self._put(x - 1, y, "├")
            self._link(x, y, _LEFT, self.dashed[y][x])
        else:
            self._put(x, y, "┤")
        x0, (x, y) = int(points[-2][0]), (int(v) for v in points[-1])
        if x0 == x:
            self._put(x, y - 1, "▼")
        elif x0 < x:
            self._put(x - 1, y, "►")
        else:
            self._put(x, y, "◄")

    def words(self, box: Box, rows: list[str], pad: int) -> None:
        """Text in the middle of a box, blank around it."""
        room = int(box.width) - 2 * pad
        for n, row in enumerate(rows):
            left = (room - cells(row)) // 2
            line = " " * (pad + left) + row + " " * (room - left - cells(row) + pad)
            self._write(int(box.x), int(box.y) + n, line)

    def box(self, box: Box, rows: list[str], *, is_round: bool) -> None:
        """A framed box with text at the left."""
        corners = "╭╮╰╯" if is_round else "┌┐└┘"
        room = int(box.width) - 4
        x, y = int(box.x), int(box.y)
        self._write(x, y, corners[0] + "─" * (room + 2) + corners[1])
        for n, row in enumerate(rows, 1):
            self._write(x, y + n, "│ " + row + " " * (room - cells(row)) + " │")
        self._write(x, y + len(rows) + 1, corners[2] + "─" * (room + 2) + corners[3])

    def _write(self, x: int, y: int, line: str) -> None:
        for char in line:
            taken = cells(char)
            if not taken:  # a combining mark goes with the character before it
                before = self.text[y][x - 1] or ""
                self.text[y][x - 1] = before + char
                continue
            self._put(x, y, char)
            if taken == 2:
                self._put(x + 1, y, "")
            x += taken

    def _put(self, x: int, y: int, char: str) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            self.text[y][x] = char

    def rows(self) -> list[str]:
        """The lines of the picture, without blanks at their ends and without empty lines at its own."""
        lines = ["".join(self._cell(x, y) for x in range(self.width)).rstrip() for y in range(self.height)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _cell(self, x: int, y: int) -> str:
        written = self.text[y][x]
        if written is not None:
            return written
        links = self.links[y][x]
        if self.dashed[y][x]:
            return {_UP | _DOWN: "┊", _LEFT | _RIGHT: "┄"}.get(links, _LINES[links])
        return _LINES[links]
