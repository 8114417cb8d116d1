"""A flow as Mermaid flowchart text, for README files and wikis. Node names are numbers; every word is quoted and encoded.

Grammar of what is written, line by line (tests/draw/test_mermaid.py holds it):
    flowchart TB | NODE SHAPE :::CLASS | NODE ARROW |"WORDS"| NODE | classDef ... | linkStyle ...
"""

from __future__ import annotations

import re

from orchestrator.draw.graph import graph_of
from orchestrator.draw.model import Edge, EdgeKind, Node, NodeKind
from orchestrator.draw.overlay import Overlay, RunPath, StepState, overlay_of
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
_PLAIN = re.compile(r"[^A-Za-z0-9 ,\u00a0-\uffff\U00010000-\U0010ffff]")
_STATE_PAINT = {
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.RUNNING: "running",
    StepState.WAITING: "waiting",
    StepState.SKIPPED: "skipped",
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
    lines += _styles(overlay is not None)
    if overlay is not None:
        taken = [str(n) for n, edge in enumerate(graph.edges) if edge.id in overlay.edges]
        if taken:
            lines.append(f"    linkStyle {','.join(taken)} stroke:{LIGHT['done']},stroke-width:3px")
    return "\n".join(lines) + "\n"


def encode(text: str) -> str:
    """Words for a quoted Mermaid label: everything that Mermaid, Markdown or HTML could read otherwise is a code point."""
    return _PLAIN.sub(lambda m: f"#{ord(m[0])};", one_line(text))


def _box(node: Node, overlay: Overlay | None) -> str:
    opening, closing = _SHAPES.get(node.kind, ("[", "]"))
    rows = [node.title, node.detail, *(badge.text for badge in node.badges)]
    visit = overlay.nodes.get(node.id) if overlay is not None else None
    if visit is not None and node.step:
        rows[0] += f" ({visit.state}{f' ×{visit.count}' if visit.count > 1 else ''})"
    words = "<br/>".join(encode(shorten(row, _MAX_WORDS)) for row in rows if row)
    return f'{opening}"{words}"{closing}'


def _class(node: Node, overlay: Overlay | None) -> str:
    if overlay is not None:
        visit = overlay.nodes.get(node.id)
        return _STATE_PAINT[visit.state] if visit is not None else "faint"
    return node.kind.replace("-", "_")


def _edge_words(edge: Edge, overlay: Overlay | None) -> str:
    rows = [edge.label, edge.note]
    count = overlay.edges.get(edge.id, 0) if overlay is not None else 0
    if count > 1:
        rows.append(f"×{count}")
    return "<br/>".join(encode(shorten(row, _MAX_WORDS)) for row in rows if row)


def _styles(has_path: bool) -> list[str]:
    """Fills are light and text is dark in both of Mermaid's themes, so that contrast never depends on the page."""
    ink = LIGHT["ink"]
    if has_path:
        out = [f"    classDef faint fill:{LIGHT['paper']},stroke:{LIGHT['faint']},color:{LIGHT['faint_ink']}"]
        for paint in _STATE_PAINT.values():
            out.append(f"    classDef {paint} fill:{LIGHT['card']},stroke:{LIGHT[paint]},stroke-width:2px,color:{ink}")
        return out
    paints = {"call": "call", "ask": "ask", "outside": "ask", "wait": "wait", "python": "python", "procedure": "python"}
    paints |= {"none": "none", "sub_flow": "sub_flow", "event": "none"}
    out = [f"    classDef {n} fill:{LIGHT[p + '_tint']},stroke:{LIGHT[p]},color:{ink}" for n, p in paints.items()]
    out.append(f"    classDef start fill:{LIGHT['start']},stroke:{LIGHT['start']},color:{LIGHT['start_ink']}")
    out.append(f"    classDef stop fill:{LIGHT['card']},stroke:{ink},stroke-width:2px,color:{ink}")
    failed = LIGHT["failed"]
    out.append(f"    classDef failed fill:{LIGHT['failed_tint']},stroke:{failed},stroke-width:2px,color:{failed}")
    return out
