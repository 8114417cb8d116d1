"""A flow as Mermaid flowchart text, for README files and wikis. Node names are numbers; every word is quoted and encoded.

Grammar of what is written, line by line (tests/draw/test_mermaid.py holds it):
    flowchart TB | NODE SHAPE :::CLASS | NODE ARROW |"WORDS"| NODE | classDef ... | linkStyle ...
"""

from __future__ import annotations

import re

from orchestrator.draw.graph import graph_of
from orchestrator.draw.model import Edge, EdgeKind, Node, NodeKind
from orchestrator.draw.overlay import Overlay, RunPath, overlay_of
from orchestrator.draw.theme import LIGHT
from orchestrator.draw.wording import one_line, shorten
from orchestrator.ir.model import FlowIR

_SHAPES: dict[NodeKind, tuple[str, str]] = {
    NodeKind.START: ("([", "])"),
    NodeKind.STOP: ("([", "])"),
    NodeKind.FAILED: ("([", "])"),
    NodeKind.EVENT: ("{{", "}}"),
    NodeKind.ASK: ("[/", "/]"),
    NodeKind.OUTSIDE: ("[/", "/]"),
    NodeKind.SUB_FLOW: ("[[", "]]"),
}
_ARROWS = {
    EdgeKind.FAN_OUT: "==>",
    EdgeKind.FAILURE: "-.->",
    EdgeKind.TIMEOUT: "-.->",
    EdgeKind.WAIT: "-.->",
}
# What is encoded: ASCII marks with a meaning to Mermaid, Markdown or HTML; what makes a line a list; bare web addresses.
_SPECIAL = re.compile(
    r"[^A-Za-z0-9 ,.():?='+\u00a0-\U0010ffff-]|^[+-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]|(?<=www)\.", re.IGNORECASE
)
_PAINT = {
    NodeKind.CALL: "call",
    NodeKind.ASK: "ask",
    NodeKind.OUTSIDE: "ask",
    NodeKind.WAIT: "wait",
    NodeKind.PYTHON: "python",
    NodeKind.PROCEDURE: "python",
    NodeKind.NONE: "none",
    NodeKind.EVENT: "none",
    NodeKind.SUB_FLOW: "sub_flow",
    NodeKind.START: "start",
    NodeKind.STOP: "stop",
    NodeKind.FAILED: "end",
}
_MAX_WORDS = 60


def to_mermaid(flow: FlowIR, path: RunPath | None = None) -> str:
    """The flow, or a run's path through it, as a Mermaid flowchart."""
    graph = graph_of(flow)
    overlay = overlay_of(graph, path) if path is not None else None
    number = {node.id: f"n{n}" for n, node in enumerate(graph.nodes)}
    lines = ["flowchart TB"]
    for node in graph.nodes:
        lines.append(f"    {number[node.id]}{_box(node, overlay)}:::{_class(node, overlay)}")
    for edge in graph.edges:
        words = _edge_words(edge, overlay)
        arrow = _ARROWS.get(edge.kind, "-->")
        label = f'|"{words}"| ' if words else ""
        lines.append(f"    {number[edge.source]} {arrow} {label}{number[edge.target]}")
    lines += map(_style, dict.fromkeys(_class(node, overlay) for node in graph.nodes))
    if overlay is not None:
        taken = [str(n) for n, edge in enumerate(graph.edges) if edge.id in overlay.edges]
        if taken:
            lines.append(f"    linkStyle {','.join(taken)} stroke:{LIGHT['done']},stroke-width:3px")
    return "\n".join(lines) + "\n"


def encode(text: str) -> str:
    """Words for a quoted Mermaid label: everything that Mermaid, Markdown or HTML could read otherwise is a code point."""
    return _SPECIAL.sub(lambda m: f"#{ord(m[0])};", one_line(text))


def _box(node: Node, overlay: Overlay | None) -> str:
    opening, closing = _SHAPES.get(node.kind, ("[", "]"))
    rows = [node.title, node.detail, *(badge.text for badge in node.badges)]
    visit = overlay.nodes.get(node.id) if overlay is not None else None
    if visit is not None and node.step:
        rows[0] += f" ({visit.state}{f' {visit.remark}' if visit.remark else ''})"
    words = "<br/>".join(encode(shorten(row, _MAX_WORDS)) for row in rows if row)
    return f'{opening}"{words}"{closing}'


def _class(node: Node, overlay: Overlay | None) -> str:
    """The class of a node: `is_` and its state, or `kind_` and its kind; the prefix keeps clear of Mermaid's own words."""
    if overlay is None:
        return f"kind_{_PAINT[node.kind]}"
    visit = overlay.nodes.get(node.id)
    return f"is_{visit.state}" if visit is not None else "is_faint"


def _edge_words(edge: Edge, overlay: Overlay | None) -> str:
    rows = [edge.label, edge.note]
    count = overlay.edges.get(edge.id, 0) if overlay is not None else 0
    if count > 1:
        rows.append(f"×{count}")
    return "<br/>".join(encode(shorten(row, _MAX_WORDS)) for row in rows if row)


def _style(name: str) -> str:
    """A class. Fills are light and text is dark in both of Mermaid's themes, so that contrast never depends on the page."""
    match name.partition("_")[2]:
        case "faint":
            fill, rim, ink = LIGHT["paper"], LIGHT["faint"], LIGHT["faint_ink"]
        case "start":
            fill, rim, ink = LIGHT["start"], LIGHT["start"], LIGHT["start_ink"]
        case "stop":
            fill, rim, ink = LIGHT["card"], LIGHT["ink"], LIGHT["ink"]
        case "end":
            fill, rim, ink = LIGHT["failed_tint"], LIGHT["failed"], LIGHT["failed"]
        case paint if name.startswith("kind_"):
            fill, rim, ink = LIGHT[f"{paint}_tint"], LIGHT[paint], LIGHT["ink"]
        case state:
            fill, rim, ink = LIGHT["card"], LIGHT[state], LIGHT["ink"]
    return f"    classDef {name} fill:{fill},stroke:{rim},stroke-width:2px,color:{ink}"
