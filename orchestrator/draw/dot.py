"""A flow as Graphviz DOT text. Node names are numbers; every word stands in a quoted string, never in HTML-like labels."""

from __future__ import annotations

from orchestrator.draw.graph import graph_of
from orchestrator.draw.model import Edge, EdgeKind, Node, NodeKind
from orchestrator.draw.overlay import Overlay, RunPath, overlay_of
from orchestrator.draw.theme import LIGHT
from orchestrator.draw.wording import one_line, shorten
from orchestrator.ir.model import FlowIR

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
}
_LINES = {
    EdgeKind.FAN_OUT: (("penwidth", "2.6"),),
    EdgeKind.FAILURE: (("color", LIGHT["failed"]), ("fontcolor", LIGHT["failed"]), ("style", "dashed")),
    EdgeKind.TIMEOUT: (("color", LIGHT["waiting"]), ("fontcolor", LIGHT["waiting"]), ("style", "dotted")),
    EdgeKind.WAIT: (("color", LIGHT["ask"]), ("style", "dashed")),
    EdgeKind.LOOP_BACK: (("color", LIGHT["call"]),),
}
_MAX_WORDS = 60


def to_dot(flow: FlowIR, path: RunPath | None = None) -> str:
    """The flow, or a run's path through it, as a DOT digraph."""
    graph = graph_of(flow)
    overlay = overlay_of(graph, path) if path is not None else None
    number = {node.id: f"n{n}" for n, node in enumerate(graph.nodes)}
    font = f"fontname={quote('Helvetica,Arial,sans-serif')}"
    lines = [
        f"digraph {quote(graph.name)} {{",
        f"    graph [rankdir=TB, bgcolor={quote(LIGHT['paper'])}, pad=0.3, nodesep=0.4, ranksep=0.5, label={quote('')}];",
        f"    node [shape=box, style={quote('rounded,filled')}, {font}, fontsize=12, margin={quote('0.18,0.1')}];",
        f"    edge [{font}, fontsize=10, color={quote(LIGHT['line'])}, arrowsize=0.7];",
    ]
    lines += [f"    {number[node.id]} [{_attributes(_node(node, overlay))}];" for node in graph.nodes]
    for edge in graph.edges:
        ends = f"{number[edge.source]} -> {number[edge.target]}"
        attributes = _attributes(_edge(edge, overlay))
        lines.append(f"    {ends} [{attributes}];" if attributes else f"    {ends};")
    return "\n".join([*lines, "}"]) + "\n"


def quote(text: str) -> str:
    """A DOT string. A backslash is doubled, so that no `\\N` or `\\l` in a name is taken for one of DOT's own."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rows(rows: list[str]) -> str:
    """Centred rows; the escape between them is written after the words are safe."""
    return '"' + "\\n".join(quote(shorten(one_line(row), _MAX_WORDS))[1:-1] for row in rows if row) + '"'


def _attributes(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value if value.startswith(chr(34)) else quote(value)}" for name, value in pairs)


def _node(node: Node, overlay: Overlay | None) -> list[tuple[str, str]]:
    visit = overlay.nodes.get(node.id) if overlay is not None else None
    rows = [node.title, node.detail, *(badge.text for badge in node.badges)]
    if visit is not None and node.step:
        rows[0] += f" ({visit.state}{f' {visit.remark}' if visit.remark else ''})"
    out = [("label", _rows(rows))]
    if node.step:
        out.append(("tooltip", _rows([node.description or node.title])))
    match node.kind:
        case NodeKind.START:
            fill, rim, ink = LIGHT["start"], LIGHT["start"], LIGHT["start_ink"]
        case NodeKind.STOP:
            fill, rim, ink = LIGHT["card"], LIGHT["ink"], LIGHT["ink"]
        case NodeKind.FAILED:
            fill, rim, ink = LIGHT["failed_tint"], LIGHT["failed"], LIGHT["failed"]
        case _:
            paint = _PAINT[node.kind]
            fill, rim, ink = LIGHT[f"{paint}_tint"], LIGHT[paint], LIGHT["ink"]
    if overlay is not None:
        fill = LIGHT["card"] if visit is not None else LIGHT["paper"]
        rim = LIGHT[visit.state] if visit is not None else LIGHT["faint"]
        ink = LIGHT["ink"] if visit is not None else LIGHT["faint_ink"]
    out += [("fillcolor", fill), ("color", rim), ("fontcolor", ink)]
    if visit is not None or node.kind in (NodeKind.STOP, NodeKind.FAILED):
        out.append(("penwidth", "2"))
    if node.kind in (NodeKind.START, NodeKind.STOP, NodeKind.FAILED):
        out.append(("shape", "oval"))
    return out


def _edge(edge: Edge, overlay: Overlay | None) -> list[tuple[str, str]]:
    count = overlay.edges.get(edge.id, 0) if overlay is not None else 0
    rows = [edge.label, edge.note, f"×{count}" if count > 1 else ""]
    out = [("label", _rows(rows))] if any(rows) else []
    look = dict(_LINES.get(edge.kind, ()))
    if overlay is not None:
        calm = edge.kind not in (EdgeKind.FAILURE, EdgeKind.TIMEOUT)
        if not count:
            look |= {"color": LIGHT["faint"], "fontcolor": LIGHT["faint_ink"]}
        else:
            look |= {"penwidth": "2.4"} | ({"color": LIGHT["done"]} if calm else {})
    if edge.is_back:
        look["constraint"] = "false"
    return out + list(look.items())
