"""A flow as one self-contained HTML page: the picture with pan and zoom, and below it every step in words.

Nothing is loaded and nothing can be: the page's own policy allows only its own style and script, by their hashes, so that
even a name that got past the escaping could not run. Without script the picture scrolls and the words are still there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from orchestrator.draw.cards import drawing_of
from orchestrator.draw.graph import graph_of
from orchestrator.draw.model import Edge, EdgeKind, Graph, Node
from orchestrator.draw.overlay import Overlay, RunPath, Visit, edge_words, overlay_of
from orchestrator.draw.page_assets import SCRIPT, page_style
from orchestrator.draw.svg import element_id, escape, svg_element
from orchestrator.draw.theme import svg_style
from orchestrator.draw.wording import plain_text
from orchestrator.ir.model import FlowIR

_KEYS: dict[EdgeKind, str] = {
    EdgeKind.NORMAL: "leads to",
    EdgeKind.FAN_OUT: "fans out",
    EdgeKind.LOOP_BACK: "goes back",
    EdgeKind.FAILURE: "on failure",
    EdgeKind.TIMEOUT: "on time-out",
    EdgeKind.WAIT: "is waited for",
}
_HINT = (
    "Drag or scroll to move, Ctrl and scroll or + and − to zoom, 0 to see all. "
    "Point at a step for its details, click to keep them."
)


def to_html(flow: FlowIR, path: RunPath | None = None) -> str:
    """The flow, or a run's path through it, as a page."""
    graph = graph_of(flow)
    overlay = overlay_of(graph, path) if path is not None else None
    style = f"{page_style()}\n{svg_style()}"
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    description = f"\n<p>{_prose(graph.description)}</p>" if graph.description.strip() else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(graph.title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(graph.title)}</h1>{description}
</header>
<main>
{_legend(graph, overlay)}
<div class="frame">
<div class="stage" tabindex="0" role="region" aria-label="Picture of the flow">
{svg_element(drawing_of(graph), overlay, style="")}</div>
<div class="tools" hidden>
<button type="button" data-act="in" aria-label="Zoom in">+</button>
<button type="button" data-act="out" aria-label="Zoom out">−</button>
<button type="button" data-act="fit">All</button>
<button type="button" data-act="home">100 %</button>
</div>
<div class="panel" aria-live="polite" hidden></div>
</div>
<p class="hint">{_HINT}</p>
<h2>Steps</h2>
<div class="cards">
{_articles(graph, overlay)}
</div>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _prose(text: str) -> str:
    """Text of several lines, escaped."""
    return "\n".join(escape(line) for line in plain_text(text).splitlines())


def _legend(graph: Graph, overlay: Overlay | None) -> str:
    """The looks of lines that this picture has."""
    used = {edge.kind for edge in graph.edges}
    looks = [(str(kind), words) for kind, words in _KEYS.items() if kind in used]
    picture = "flow-graph"
    if overlay is not None:
        picture = "flow-graph has-path"
        looks = [("is-taken", "taken"), ("", "not taken")]
    rows = [
        f'<li><svg class="{picture}" width="30" height="10" aria-hidden="true"><g class="edge {look}">'
        f'<path class="line" d="M1 5H21"/><path class="tip" d="M29 5L21 9.2L21 .8Z"/></g></svg>{words}</li>'
        for look, words in looks
    ]
    return f'<ul class="legend" aria-label="Lines">{"".join(rows)}</ul>'


def _articles(graph: Graph, overlay: Overlay | None) -> str:
    ways: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        ways.setdefault(edge.source, []).append(edge)
    titles = {node.id: node.title for node in graph.nodes}
    visits = overlay.nodes if overlay is not None else {}
    articles = (_article(node, ways.get(node.id, ()), titles, visits.get(node.id)) for node in graph.nodes if node.step)
    return "\n".join(articles)


def _article(node: Node, ways: Sequence[Edge], titles: dict[str, str], visit: Visit | None) -> str:
    rows: list[tuple[str, str]] = []
    if visit is not None:
        rows.append(("state", escape(visit.words)))
    if node.title != node.step:
        rows.append(("name", _code(node.step)))
    if node.accepts:
        rows.append(("takes", " ".join(map(_code, node.accepts))))
    if node.emits:
        rows.append(("emits", " ".join(map(_code, node.emits))))
    for edge in ways:
        words = edge_words(edge)
        rows.append(("leads to", escape(titles[edge.target] + (f" ({words})" if words else ""))))
    rows += [(badge.kind, escape(badge.text)) for badge in node.badges]
    if node.place:
        rows.append(("written at", _code(node.place)))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows)
    detail = f" · {escape(node.detail)}" if node.detail else ""
    about = f'<p class="about">{_prose(node.description)}</p>' if node.description else ""
    return (
        f'<article class="card" id="about-{element_id("node", node.id)}"><h3>{escape(node.title)}</h3>'
        f'<p class="kind">{node.kind}{detail}</p>{about}<dl>{listed}</dl></article>'
    )


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
