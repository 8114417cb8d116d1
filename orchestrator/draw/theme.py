"""How a picture looks: colours for light and dark, type, and the small drawings of each kind of step. No layout, no data.

Every rule is written twice, for light and for dark, with plain colours: several viewers know no CSS variables. Text reaches
4.5:1 against its ground and lines 3:1 (tests/draw/test_theme.py); only what a run never reached is paler.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.draw.model import NodeKind

Palette = Mapping[str, str]

LIGHT: Palette = {
    "paper": "#f7f8fa", "card": "#ffffff", "rim": "#d3d9e1", "ink": "#1b2330", "muted": "#556070", "line": "#76828f",
    "faint": "#c9d0d9", "faint_ink": "#616c7b", "chip": "#eef1f5", "start": "#1b2330", "start_ink": "#ffffff",
    "call": "#1d5bbf", "call_tint": "#e5eefc", "ask": "#6a38bd", "ask_tint": "#f0e9fc",
    "wait": "#855500", "wait_tint": "#fbf0da", "python": "#0a6957", "python_tint": "#e0f3ee",
    "none": "#4d5969", "none_tint": "#ebeff3", "sub_flow": "#0a6380", "sub_flow_tint": "#e0f1f9",
    "done": "#17754a", "failed": "#b92c27", "running": "#1d5bbf", "waiting": "#855500", "skipped": "#616c7b",
    "on_state": "#ffffff", "failed_tint": "#fdeceb", "done_tint": "#eaf6ef",
}  # fmt: skip
DARK: Palette = {
    "paper": "#11151b", "card": "#1a2029", "rim": "#353f4c", "ink": "#e8ecf1", "muted": "#a0abb9", "line": "#77869a",
    "faint": "#3a4451", "faint_ink": "#8a96a6", "chip": "#262e39", "start": "#e8ecf1", "start_ink": "#11151b",
    "call": "#8db6ff", "call_tint": "#1c2f4f", "ask": "#c5a9ff", "ask_tint": "#30244f",
    "wait": "#efc26e", "wait_tint": "#3a2d12", "python": "#72d7bf", "python_tint": "#12362f",
    "none": "#b0bac7", "none_tint": "#2a323d", "sub_flow": "#82d1eb", "sub_flow_tint": "#103442",
    "done": "#5fd093", "failed": "#ff928a", "running": "#8db6ff", "waiting": "#efc26e", "skipped": "#9aa6b5",
    "on_state": "#11151b", "failed_tint": "#3d1d1d", "done_tint": "#15301f",
}  # fmt: skip

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif'
MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace'

_PAINT = {
    NodeKind.CALL: "call",
    NodeKind.ASK: "ask",
    NodeKind.OUTSIDE: "ask",
    NodeKind.WAIT: "wait",
    NodeKind.PYTHON: "python",
    NodeKind.PROCEDURE: "python",
    NodeKind.NONE: "none",
    NodeKind.START: "none",
    NodeKind.SUB_FLOW: "sub_flow",
}

# Drawn with round strokes on a field of 16 by 16.
ICONS: Mapping[NodeKind, str] = {
    NodeKind.CALL: "M2.5 8h8M7.5 4.8 10.7 8 7.5 11.2M13.5 3v10",
    NodeKind.ASK: "M10.6 5.2a2.6 2.6 0 1 1-5.2 0a2.6 2.6 0 1 1 5.2 0M2.9 13.4c.5-2.8 2.5-4.2 5.1-4.2s4.6 1.4 5.1 4.2",
    NodeKind.WAIT: "M13.8 8a5.8 5.8 0 1 1-11.6 0a5.8 5.8 0 1 1 11.6 0M8 4.7V8l2.3 1.5",
    NodeKind.PYTHON: "M5.4 4.5 2 8l3.4 3.5M10.6 4.5 14 8l-3.4 3.5",
    NodeKind.PROCEDURE: "M3 4h10M3 8h6.5M3 12h8.5",
    NodeKind.NONE: "M3.5 6.2h9M3.5 9.8h9",
    NodeKind.SUB_FLOW: "M2.5 4a1.5 1.5 0 0 1 1.5-1.5h4.5A1.5 1.5 0 0 1 10 4M2.5 4v4.5A1.5 1.5 0 0 0 4 10"
    "M6.5 7.5A1.5 1.5 0 0 1 8 6h4a1.5 1.5 0 0 1 1.5 1.5v4.5a1.5 1.5 0 0 1-1.5 1.5h-4a1.5 1.5 0 0 1-1.5-1.5z",
    NodeKind.OUTSIDE: "M8 2.5v7M4.9 6.5 8 9.6l3.1-3.1M2.7 10.8v2.7h10.6v-2.7",
    NodeKind.START: "M5.2 3.4v9.2L12.6 8z",
}
STATE_ICONS: Mapping[str, str] = {  # on a field of 12 by 12
    "done": "M2.5 6.4 5 8.9l4.5-5.3",
    "failed": "M3 3l6 6M9 3l-6 6",
    "running": "M3.6 2.4v7.2L9.4 6z",
    "waiting": "M4.2 2.8v6.4M7.8 2.8v6.4",
    "skipped": "M3 6h6",
}

_RULES = """
.flow-graph { background: {paper}; font-family: FONT; }
.flow-graph .paper { fill: {paper}; }
.flow-graph text { fill: {ink}; }
.flow-graph .title { font-size: 14px; font-weight: 600; }
.flow-graph .pill .title { font-size: 13px; text-anchor: middle; }
.flow-graph .detail { font-size: 11.5px; fill: {muted}; }
.flow-graph .mono { font-family: MONO; }
.flow-graph .chip { fill: {chip}; }
.flow-graph .chip-text { font-size: 11px; fill: {muted}; text-anchor: middle; }
.flow-graph .box { fill: {card}; stroke: {rim}; stroke-width: 1.25; }
.flow-graph .icon { fill: none; stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; }
.flow-graph .kind-start.pill .box { fill: {start}; stroke: {start}; }
.flow-graph .kind-start.pill .title { fill: {start_ink}; }
.flow-graph .kind-stop .box { stroke: {ink}; stroke-width: 2; }
.flow-graph .kind-failed .box { fill: {failed_tint}; stroke: {failed}; stroke-width: 2; }
.flow-graph .kind-failed .title { fill: {failed}; }
.flow-graph .kind-event .box { stroke: {line}; stroke-dasharray: 4 3; }
.flow-graph .kind-event .title { fill: {muted}; }
.flow-graph .line { fill: none; stroke: {line}; stroke-width: 1.6; }
.flow-graph .tip { fill: {line}; }
.flow-graph .fan-out .line { stroke-width: 3; }
.flow-graph .failure .line { stroke: {failed}; stroke-dasharray: 6 4; }
.flow-graph .timeout .line { stroke: {waiting}; stroke-dasharray: 2 4; stroke-linecap: round; }
.flow-graph .wait .line { stroke: {ask}; stroke-dasharray: 6 4; }
.flow-graph .loop-back .line { stroke: {call}; }
.flow-graph .failure .tip { fill: {failed}; }
.flow-graph .timeout .tip { fill: {waiting}; }
.flow-graph .wait .tip { fill: {ask}; }
.flow-graph .loop-back .tip { fill: {call}; }
.flow-graph .halo { fill: {paper}; }
.flow-graph .event { font-size: 11.5px; font-weight: 600; text-anchor: middle; }
.flow-graph .note { font-size: 11px; fill: {muted}; text-anchor: middle; }
.flow-graph .failure .event { fill: {failed}; }
.flow-graph .timeout .event { fill: {waiting}; }
.flow-graph.has-path .node:not([class*="is-"]) .box { fill: {paper}; stroke: {faint}; }
.flow-graph.has-path .node:not([class*="is-"]) text { fill: {faint_ink}; }
.flow-graph.has-path .node:not([class*="is-"]) .tile { fill: {chip}; }
.flow-graph.has-path .node:not([class*="is-"]) .icon { stroke: {faint_ink}; }
.flow-graph.has-path .edge:not(.is-taken) .line { stroke: {faint}; }
.flow-graph.has-path .edge:not(.is-taken) .tip { fill: {faint}; }
.flow-graph.has-path .edge:not(.is-taken) .event { fill: {faint_ink}; }
.flow-graph.has-path .edge:not(.is-taken) .note { fill: {faint_ink}; }
.flow-graph .is-taken .line { stroke: {done}; stroke-width: 2.5; }
.flow-graph .is-taken .tip { fill: {done}; }
.flow-graph .is-taken.failure .line { stroke: {failed}; }
.flow-graph .is-taken.failure .tip { fill: {failed}; }
.flow-graph .is-taken.timeout .line { stroke: {waiting}; }
.flow-graph .is-taken.timeout .tip { fill: {waiting}; }
.flow-graph .mark { stroke: {paper}; stroke-width: 2; }
.flow-graph .mark-icon { fill: none; stroke: {on_state}; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.flow-graph .mark-text { font-size: 11px; font-weight: 600; }
.flow-graph .node .mark-text { fill: {on_state}; }
.flow-graph .edge .mark { fill: {done}; }
.flow-graph .edge .mark-text { fill: {on_state}; text-anchor: middle; }
.flow-graph .edge.failure .mark { fill: {failed}; }
.flow-graph .edge.timeout .mark { fill: {waiting}; }
.flow-graph .node:focus { outline: none; }
.flow-graph .node:focus-visible .box { stroke: {running}; stroke-width: 3; }
"""


def svg_style() -> str:
    """The style sheet of a picture; all of it applies within `.flow-graph` only."""
    return f"{_sheet(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{_sheet(DARK)}\n}}"


def _sheet(palette: Palette) -> str:
    lines = _RULES.strip().splitlines()
    for kind, paint in _PAINT.items():
        lines.append(f".flow-graph .kind-{kind} .tile {{ fill: {{{paint}_tint}}; }}")
        lines.append(f".flow-graph .kind-{kind} .icon {{ stroke: {{{paint}}}; }}")
    for state in STATE_ICONS:
        lines.append(f".flow-graph .is-{state} .box {{ stroke: {{{state}}}; stroke-width: 2; }}")
        lines.append(f".flow-graph .node.is-{state} .mark {{ fill: {{{state}}}; }}")
    lines.append(".flow-graph .is-waiting .box { stroke-dasharray: 5 3; }")
    sheet = "\n".join(lines).replace("FONT", FONT).replace("MONO", MONO)
    for name, colour in palette.items():
        sheet = sheet.replace("{" + name + "}", colour)
    return sheet
