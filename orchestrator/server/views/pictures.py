"""Pictures of flows for pages: drawn once per version in a thread, with the path of a run laid over them."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypedDict

from orchestrator.draw.cards import Drawing, drawing_of
from orchestrator.draw.graph import graph_of
from orchestrator.draw.overlay import Overlay, RunPath, Visit, overlay_of
from orchestrator.draw.svg import svg_element
from orchestrator.ir.codec import flow_hash
from orchestrator.ir.model import FlowIR

KEEP = 64
_known: OrderedDict[str, Drawing] = OrderedDict()


class StepCard(TypedDict):
    """A step in words, for the list beside the picture."""

    id: str
    step: str
    title: str
    kind: str
    detail: str
    description: str
    accepts: list[str]
    emits: list[str]
    badges: list[str]
    place: str


async def drawing_for(ir: FlowIR) -> Drawing:
    """The drawing of a flow. Cost: the layout, once per version; the last KEEP are kept."""
    key = flow_hash(ir)
    known = _known.get(key)
    if known is None:
        known = await asyncio.to_thread(lambda: drawing_of(graph_of(ir)))
        _known[key] = known
        while len(_known) > KEEP:
            _known.popitem(last=False)
    else:
        _known.move_to_end(key)
    return known


async def picture(ir: FlowIR, path: RunPath | None = None, *, prefix: str = "") -> str:
    """The flow as an `<svg>` element without a style of its own."""
    drawing = await drawing_for(ir)
    overlay = overlay_of(drawing.graph, path) if path is not None else None
    return await asyncio.to_thread(svg_element, drawing, overlay, prefix=prefix, style="")


async def picture_now(ir: FlowIR, visits: Mapping[str, Visit]) -> str:
    """The flow with how its open runs stand; steps where none is look as always."""
    drawing = await drawing_for(ir)
    if not visits:
        return await asyncio.to_thread(svg_element, drawing, None, style="")
    nodes = {node.id: visits[node.step] for node in drawing.graph.nodes if node.step in visits}
    text = await asyncio.to_thread(svg_element, drawing, Overlay(nodes, {}), style="")
    return text.replace('class="flow-graph has-path"', 'class="flow-graph"', 1)


async def overlay_json(ir: FlowIR, path: RunPath) -> dict[str, Any]:
    """The path as plain data: node id -> [state, what is written on it], edge id -> count."""
    drawing = await drawing_for(ir)
    overlay = overlay_of(drawing.graph, path)
    return {
        "nodes": {name: [str(visit.state), visit.remark] for name, visit in overlay.nodes.items()},
        "edges": dict(overlay.edges),
    }


async def step_cards(ir: FlowIR) -> list[StepCard]:
    """Every step in words, in the flow's order."""
    drawing = await drawing_for(ir)
    return [
        {
            "id": node.id,
            "step": node.step,
            "title": node.title,
            "kind": str(node.kind),
            "detail": node.detail,
            "description": node.description,
            "accepts": list(node.accepts),
            "emits": list(node.emits),
            "badges": [badge.text for badge in node.badges],
            "place": re.sub(r"^.*/", "", node.place),
        }
        for node in drawing.graph.nodes
        if node.step
    ]
