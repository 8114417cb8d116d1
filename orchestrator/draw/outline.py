"""A flow as an indented list: each step once, and under it where it leads. For flows too large for a picture in a terminal."""

from __future__ import annotations

from orchestrator.draw.measure import fit_cells
from orchestrator.draw.model import Edge, Graph, Node
from orchestrator.draw.overlay import Overlay, edge_words


def outline(graph: Graph, overlay: Overlay | None = None, width: int = 160) -> str:
    """The nodes in the order of the flow, each with its ways out; `↑` marks a way back, `×2` how often a run took it.

    Cost: linear.
    """
    titles = {node.id: node.title for node in graph.nodes}
    ways: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        ways[edge.source].append(edge)
    lines: list[str] = []
    for node in graph.nodes:
        lines.append(fit_cells(_words(node, overlay), width))
        lines += [fit_cells(f"  {_way(edge, titles[edge.target], overlay)}", width) for edge in ways[node.id]]
    return "\n".join(lines) + "\n"


def _way(edge: Edge, target: str, overlay: Overlay | None) -> str:
    text = f"{'↑' if edge.is_back else '→'} {target}"
    count = overlay.edges.get(edge.id) if overlay is not None else None
    if count is not None:
        text += f" ×{count}"
    words = edge_words(edge)
    return f"{text}  ({words})" if words else text


def _words(node: Node, overlay: Overlay | None) -> str:
    parts = [node.title]
    if node.step:
        parts.append(f"({node.kind} {node.detail})" if node.detail else f"({node.kind})")
    if node.badges:
        parts.append("[" + "; ".join(badge.text for badge in node.badges) + "]")
    visit = overlay.nodes.get(node.id) if overlay is not None else None
    if visit is not None and node.step:
        parts.append(f"{visit.state}" + (f" {visit.remark}" if visit.remark else ""))
    return " ".join(parts)
