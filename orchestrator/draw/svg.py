"""A drawing as one self-contained SVG: no script, no font file, no request; names and labels are escaped.

Ids: `node-<name>` and `edge-<number>` (with a prefix, where several pictures share a page), names with unusual characters in
`_xx_` form; `data-node`, `data-step` and `data-edge` hold them plain. A page colours a state by adding the class `is-done`,
`is-failed`, `is-running`, `is-waiting` or `is-skipped` to a node, `is-taken` to an edge and `has-path` to the picture.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from orchestrator.draw.cards import (
    CHIP_HEIGHT,
    ICON,
    ICON_GAP,
    PAD,
    Card,
    Drawing,
    Label,
    drawing_of,
)
from orchestrator.draw.geometry import Box, Point
from orchestrator.draw.graph import graph_of
from orchestrator.draw.measure import text_width
from orchestrator.draw.model import Edge, Graph, Node, NodeKind
from orchestrator.draw.overlay import Overlay, RunPath, Visit, edge_words, overlay_of
from orchestrator.draw.theme import ICONS, STATE_ICONS, svg_style
from orchestrator.draw.wording import one_line
from orchestrator.ir.model import FlowIR

_CORNER = 10.0
_TIP_LENGTH, _TIP_HALF = 8.0, 4.2
_UNUSUAL = re.compile(r"[^A-Za-z0-9-]")


def to_svg(flow: FlowIR, path: RunPath | None = None) -> str:
    """The flow, or a run's path through it, as an SVG document."""
    graph = graph_of(flow)
    overlay = overlay_of(graph, path) if path is not None else None
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + svg_element(drawing_of(graph), overlay)


def svg_element(drawing: Drawing, overlay: Overlay | None = None, *, prefix: str = "", style: str | None = None) -> str:
    """The picture as an `<svg>` element for a page. `style` replaces the built-in sheet; empty leaves it to the page."""
    graph, layout = drawing.graph, drawing.layout
    sheet = svg_style() if style is None else style
    width, height = _px(layout.width), _px(layout.height)
    classes = "flow-graph has-path" if overlay is not None else "flow-graph"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="graphics-document"'
        f' aria-labelledby="{prefix}graph-title" aria-describedby="{prefix}graph-desc">',
        f'<title id="{prefix}graph-title">{escape(graph.title)}</title>',
        f'<desc id="{prefix}graph-desc">{escape(summary(graph))}</desc>',
    ]
    if sheet:
        out.append(f"<style>{sheet}</style>")
    out.append(f'<rect class="paper" width="{width}" height="{height}"/>')
    out.append('<g class="edges">')
    taken = overlay.edges if overlay is not None else {}
    in_front_last = sorted(graph.edges, key=lambda edge: edge.id in taken)  # shared stretches show the way taken
    out += [_line(drawing, edge, overlay, prefix) for edge in in_front_last]
    out.append('</g>\n<g class="labels">')
    out += [_words(drawing, edge, overlay, prefix) for edge in graph.edges]
    out.append('</g>\n<g class="nodes">')
    out += [_node(drawing, node, overlay, prefix) for node in graph.nodes]
    out.append("</g>\n</svg>\n")
    return "\n".join(line for line in out if line)


def element_id(kind: str, name: str) -> str:
    """The id of a node's or edge's element: the name, with what an id may not hold written as code points."""
    return f"{kind}-" + _UNUSUAL.sub(lambda m: f"_{ord(m[0]):x}_", name)


def escape(text: str) -> str:
    """Text for XML content and quoted attributes, on one line, without characters that XML forbids."""
    flat = one_line(text)
    return (
        flat.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&#39;")
    )


def summary(graph: Graph) -> str:
    """What the picture shows, in a sentence or two, for those who cannot see it."""
    steps = [node.title for node in graph.nodes if node.step]
    named = ", ".join(steps[:20]) + (f" and {len(steps) - 20} more" if len(steps) > 20 else "")
    text = f"A flow of {len(steps)} steps: {named}." if len(steps) != 1 else f"A flow of one step: {named}."
    return f"{one_line(graph.description)} {text}".strip()


def _line(drawing: Drawing, edge: Edge, overlay: Overlay | None, prefix: str) -> str:
    points = drawing.layout.edges[edge.id].points
    source, target = (drawing.cards[end].title for end in (edge.source, edge.target))
    words = edge_words(edge)
    name = f"{source} to {target}" + (f": {words}" if words else "")
    return (
        f'<g id="{prefix}{element_id("edge", edge.id)}" class="{_edge_class(edge, overlay)}" {_ends(edge)}'
        f' role="graphics-symbol" aria-label="{escape(name)}"><title>{escape(name)}</title>'
        f'<path class="line" d="{line_path(points)}"/><path class="tip" d="{_tip(points)}"/></g>'
    )


def _edge_class(edge: Edge, overlay: Overlay | None) -> str:
    taken = " is-taken" if overlay is not None and edge.id in overlay.edges else ""
    return f"edge {edge.kind}{taken}"


def _words(drawing: Drawing, edge: Edge, overlay: Overlay | None, prefix: str) -> str:
    """The label, and how often the edge was taken; drawn over all lines."""
    route = drawing.layout.edges[edge.id]
    parts: list[str] = []
    if route.label is not None:
        parts += _label(drawing.labels[edge.id], route.label)
    count = overlay.edges.get(edge.id, 0) if overlay is not None else 0
    if count > 1:
        x, y = (route.label.right + 5, route.label.y + 3) if route.label is not None else _halfway(route.points)
        text = f"×{count}"
        width = text_width(text, 11.0, is_bold=True) + 8
        parts.append(
            f'<rect class="mark" x="{_px(x - width / 2)}" y="{_px(y - 8)}" width="{_px(width)}" height="16" rx="8"/>'
        )
        parts.append(f'<text class="mark-text" x="{_px(x)}" y="{_px(y + 4)}">{text}</text>')
    if not parts:
        return ""
    opening = f'<g id="{prefix}{element_id("label", edge.id)}" class="{_edge_class(edge, overlay)}" {_ends(edge)}>'
    return opening + "".join(parts) + "</g>"


def _ends(edge: Edge) -> str:
    return f'data-edge="{edge.id}" data-source="{escape(edge.source)}" data-target="{escape(edge.target)}"'


def _label(label: Label, box: Box) -> list[str]:
    x = _px(box.middle)
    out = [
        f'<rect class="halo" x="{_px(box.x)}" y="{_px(box.y)}" width="{_px(box.width)}" height="{_px(box.height)}" rx="5"/>'
    ]
    if label.event:
        out.append(f'<text class="event" x="{x}" y="{_px(box.y + 14)}">{escape(label.event)}</text>')
    if label.note:
        y = box.y + (28 if label.event else 14)
        out.append(f'<text class="note" x="{x}" y="{_px(y)}">{escape(label.note)}</text>')
    return out


def _node(drawing: Drawing, node: Node, overlay: Overlay | None, prefix: str) -> str:
    card, box = drawing.cards[node.id], drawing.layout.nodes[node.id]
    visit = overlay.nodes.get(node.id) if overlay is not None else None
    classes = ["node", f"kind-{node.kind}"]
    classes += ["pill"] if card.is_pill else []
    classes += [f"is-{visit.state}"] if visit is not None else []
    step = f' data-step="{escape(node.step)}"' if node.step else ""
    parts = [
        f'<g id="{prefix}{element_id("node", node.id)}" class="{" ".join(classes)}" data-node="{escape(node.id)}"{step}'
        f' transform="translate({_px(box.x)} {_px(box.y)})" tabindex="0" role="graphics-symbol"'
        f' aria-label="{escape(_spoken(node, visit))}">',
        f"<title>{escape(_spoken(node, visit))}</title>",
    ]
    radius = card.height / 2 if card.is_pill else 11
    parts.append(f'<rect class="box" width="{_px(card.width)}" height="{_px(card.height)}" rx="{_px(radius)}"/>')
    parts += _pill(card) if card.is_pill else _card(node, card)
    if visit is not None and node.step:
        parts.append(_mark(card, visit))
    parts.append("</g>")
    return "".join(parts)


def _spoken(node: Node, visit: Visit | None) -> str:
    kind = f"{node.kind} step" if node.step else str(node.kind)
    parts = [f"{node.title} ({kind})", node.detail, *(badge.text for badge in node.badges)]
    if visit is not None:
        parts.append(visit.words)
    return "; ".join(part for part in parts if part)


def _pill(card: Card) -> list[str]:
    return [
        f'<text class="title" x="{_px(card.width / 2)}" y="{_px(card.height / 2 + 4.7)}">{escape(card.title)}</text>'
    ]


def _card(node: Node, card: Card) -> list[str]:
    x = PAD + ICON + ICON_GAP
    icon = ICONS.get(node.kind, ICONS[NodeKind.NONE])
    out = [
        f'<rect class="tile" x="{_px(PAD)}" y="12" width="{_px(ICON)}" height="{_px(ICON)}" rx="8"/>',
        f'<path class="icon" transform="translate({_px(PAD + 6)} 18)" d="{icon}"/>',
        f'<text class="title" x="{_px(x)}" y="{24 if card.detail else 31}">{escape(card.title)}</text>',
    ]
    if card.detail:
        mono = " mono" if card.has_mono_detail else ""
        out.append(f'<text class="detail{mono}" x="{_px(x)}" y="40">{escape(card.detail)}</text>')
    for chip in card.chips:
        out.append(
            f'<rect class="chip" x="{_px(chip.x)}" y="{_px(chip.y)}" width="{_px(chip.width)}"'
            f' height="{_px(CHIP_HEIGHT)}" rx="{_px(CHIP_HEIGHT / 2)}"/>'
            f'<text class="chip-text" x="{_px(chip.x + chip.width / 2)}" y="{_px(chip.y + 13.9)}">{escape(chip.text)}</text>'
        )
    return out


def _mark(card: Card, visit: Visit) -> str:
    """How the step stands, on the upper right corner of its card."""
    text = visit.remark
    width = 20 + (text_width(text, 11.0, is_bold=True) + 6 if text else 0)
    words = f'<text class="mark-text" x="18" y="14">{text}</text>' if text else ""
    return (
        f'<g class="state" transform="translate({_px(card.width - width + 8)} -9)">'
        f'<rect class="mark" width="{_px(width)}" height="20" rx="10"/>'
        f'<path class="mark-icon" transform="translate(4 4)" d="{STATE_ICONS[visit.state]}"/>{words}</g>'
    )


def line_path(points: Sequence[Point]) -> str:
    """The polyline as path data: slants become upright-ended curves, corners are rounded, the end leaves room for the tip."""
    points = _shortened(points)
    out = [f"M{_px(points[0][0])} {_px(points[0][1])}"]
    for n in range(1, len(points)):
        (x0, y0), (x, y) = points[n - 1], points[n]
        if x0 != x and y0 != y:
            middle = _px((y0 + y) / 2)
            out.append(f"C{_px(x0)} {middle} {_px(x)} {middle} {_px(x)} {_px(y)}")
        elif n + 1 < len(points) and _is_corner(points[n - 1], points[n], points[n + 1]):
            before, after = points[n - 1], points[n + 1]
            radius = min(_CORNER, math.dist(before, points[n]) / 2, math.dist(points[n], after) / 2)
            bx, by = _towards(points[n], before, radius)
            ax, ay = _towards(points[n], after, radius)
            out.append(f"L{_px(bx)} {_px(by)}Q{_px(x)} {_px(y)} {_px(ax)} {_px(ay)}")
        else:
            out.append(f"L{_px(x)} {_px(y)}")
    return "".join(out)


def _is_corner(before: Point, at: Point, after: Point) -> bool:
    is_straight = at[0] == after[0] or at[1] == after[1]
    return is_straight and (before[0] == at[0]) != (at[0] == after[0])


def _towards(start: Point, end: Point, distance: float) -> Point:
    whole = math.dist(start, end) or 1.0
    share = distance / whole
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _shortened(points: Sequence[Point]) -> list[Point]:
    last, end = points[-2], points[-1]
    cut = min(_TIP_LENGTH - 1, math.dist(last, end))
    return [*points[:-1], _towards(end, last, cut)]


def _tip(points: Sequence[Point]) -> str:
    (x0, y0), (x, y) = points[-2], points[-1]
    if x0 == x or y0 == y:
        dx, dy = (0.0, math.copysign(1, y - y0)) if x0 == x else (math.copysign(1, x - x0), 0.0)
    else:
        dx, dy = 0.0, 1.0
    bx, by = x - dx * _TIP_LENGTH, y - dy * _TIP_LENGTH
    wx, wy = dy * _TIP_HALF, dx * _TIP_HALF
    return f"M{_px(x)} {_px(y)}L{_px(bx + wx)} {_px(by + wy)}L{_px(bx - wx)} {_px(by - wy)}Z"


def _halfway(points: Sequence[Point]) -> Point:
    left = sum(math.dist(a, b) for a, b in itertools.pairwise(points)) / 2
    for a, b in itertools.pairwise(points):
        length = math.dist(a, b)
        if length >= left:
            return _towards(a, b, left)
        left -= length
    return points[-1]


def _px(value: float) -> str:
    """A length with at most one decimal; never `-0`."""
    return (
        f"{value:.1f}".removesuffix(".0").replace("-0", "0") if abs(value) < 0.95 else f"{value:.1f}".removesuffix(".0")
    )
