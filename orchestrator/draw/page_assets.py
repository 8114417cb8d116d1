"""The style and the script of the HTML page. The script holds no data: it reads what the page shows, and makes no request."""

from __future__ import annotations

from orchestrator.draw.theme import DARK, FONT, LIGHT, MONO, Palette

_RULES = """
body { background: {paper}; color: {ink}; }
header p, .legend, .hint, dt, .kind { color: {muted}; }
.stage, .card { background: {card}; border-color: {rim}; }
.stage { background: {paper}; }
.tools button { background: {card}; color: {ink}; border-color: {line}; }
.tools button:hover { background: {chip}; }
.stage:focus-visible, button:focus-visible, a:focus-visible { outline: 3px solid {running}; outline-offset: 2px; }
a { color: {call}; }
code { background: {chip}; }
.card:target { border-color: {running}; }
""".strip()

_SHARED = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 FONT; }
header { padding: 24px 28px 0; }
h1 { margin: 0; font-size: 24px; line-height: 1.25; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 32px 0 12px; font-size: 17px; }
h3 { margin: 0; font-size: 15px; overflow-wrap: anywhere; }
header p { margin: 6px 0 0; max-width: 70ch; white-space: pre-line; overflow-wrap: anywhere; }
main { padding: 16px 28px 40px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0 0 12px; padding: 0; list-style: none; font-size: 13px; }
.legend li { display: flex; align-items: center; gap: 8px; }
.legend svg { flex: none; }
.frame { position: relative; }
.stage { border: 1px solid; border-radius: 14px; overflow: auto; }
.stage > svg { display: block; margin: 0 auto; }
.is-live .stage { height: min(78vh, 900px); overflow: hidden; cursor: grab; touch-action: none; user-select: none; }
.is-live .stage > svg { width: 100%; height: 100%; }
.is-live .stage.is-dragging { cursor: grabbing; }
.tools { position: absolute; left: 12px; bottom: 12px; display: flex; gap: 6px; }
.tools[hidden], .panel[hidden] { display: none; }
.tools button { min-width: 36px; height: 36px; padding: 0 10px; font: inherit; cursor: pointer; }
.tools button { border: 1px solid; border-radius: 9px; }
.panel { position: absolute; right: 12px; top: 12px; width: min(320px, calc(100% - 24px)); }
.panel { max-height: calc(100% - 24px); overflow: auto; border-radius: 12px; box-shadow: 0 8px 28px rgb(0 0 0 / 18%); }
.card { border: 1px solid; border-radius: 12px; padding: 14px 16px; font-size: 13.5px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 14px; }
.kind { margin: 2px 0 0; font-size: 12.5px; overflow-wrap: anywhere; }
.about { margin: 8px 0 0; white-space: pre-line; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 12px; margin: 10px 0 0; }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: 12px MONO; padding: 1px 5px; border-radius: 5px; }
.hint { margin: 8px 0 0; font-size: 13px; }
.flow-graph .node { cursor: pointer; }
.flow-graph.has-focus .edge:not(.is-near) :not(.halo) { opacity: 0.3; }
@media (prefers-reduced-motion: no-preference) { .flow-graph .edge * { transition: opacity 120ms; } }
@media (max-width: 640px) { header, main { padding-left: 14px; padding-right: 14px; } }
@media print { .tools, .panel, .hint { display: none; } .stage { border: 0; } }
""".strip()

SCRIPT = """
"use strict";
(() => {
  const stage = document.querySelector(".stage");
  const svg = stage.querySelector("svg");
  const panel = document.querySelector(".panel");
  const tools = document.querySelector(".tools");
  const full = svg.getAttribute("viewBox").split(" ").map(Number);
  let view = full.slice();
  let pinned = null;

  const show = () => svg.setAttribute("viewBox", view.map((n) => n.toFixed(2)).join(" "));
  const scale = () => Math.max(view[2] / stage.clientWidth, view[3] / stage.clientHeight);

  // The first look is at the top in full size if the picture is larger than the stage, else all of it.
  const home = () => {
    const width = stage.clientWidth;
    const height = stage.clientHeight;
    const k = Math.min(Math.max(full[2] / width, 1), 1.6);
    view = [full[0] + full[2] / 2 - (width * k) / 2, full[1], width * k, height * k];
    if (full[3] < view[3]) view[1] = full[1] + full[3] / 2 - view[3] / 2;
    show();
  };
  const fit = () => {
    const k = Math.max(full[2] / stage.clientWidth, full[3] / stage.clientHeight);
    const [w, h] = [stage.clientWidth * k, stage.clientHeight * k];
    view = [full[0] + full[2] / 2 - w / 2, full[1] + full[3] / 2 - h / 2, w, h];
    show();
  };
  const zoom = (factor, px = 0.5, py = 0.5) => {
    const k = scale();
    const next = Math.min(Math.max(k * factor, 0.2), Math.max(4, (2 * full[3]) / stage.clientHeight));
    const [w, h] = [stage.clientWidth * next, stage.clientHeight * next];
    view = [view[0] + (view[2] - w) * px, view[1] + (view[3] - h) * py, w, h];
    show();
  };
  const pan = (dx, dy) => {
    const k = scale();
    view[0] += dx * k;
    view[1] += dy * k;
    show();
  };

  const focus = (node) => {
    const id = node && node.dataset.node;
    svg.classList.toggle("has-focus", Boolean(node));
    for (const edge of svg.querySelectorAll(".edge"))
      edge.classList.toggle("is-near", edge.dataset.source === id || edge.dataset.target === id);
    const about = node && document.getElementById("about-" + node.id);
    panel.hidden = !about;
    if (about) {
      const copy = about.cloneNode(true);
      copy.removeAttribute("id");
      panel.replaceChildren(copy);
    }
  };
  const nodeOf = (event) => (event.target.closest ? event.target.closest(".node") : null);

  svg.addEventListener("pointerover", (event) => { if (!pinned) focus(nodeOf(event)); });
  svg.addEventListener("pointerleave", () => focus(pinned));
  svg.addEventListener("focusin", (event) => {
    const node = nodeOf(event);
    if (!node) return;
    focus(node);
    if (!node.matches(":focus-visible")) return;
    const box = node.getBoundingClientRect();
    const frame = stage.getBoundingClientRect();
    const dx = box.left < frame.left ? box.left - frame.left - 40 : Math.max(0, box.right - frame.right + 40);
    const dy = box.top < frame.top ? box.top - frame.top - 40 : Math.max(0, box.bottom - frame.bottom + 40);
    if (dx || dy) pan(dx, dy);
  });
  svg.addEventListener("focusout", () => focus(pinned));

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button === 0) drag = { x: event.clientX, y: event.clientY, moved: false, node: nodeOf(event) };
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    Object.assign(drag, { x: event.clientX, y: event.clientY, moved: true });
    stage.classList.add("is-dragging");
    pan(-dx, -dy);
  });
  window.addEventListener("pointerup", () => {
    if (drag && !drag.moved) {
      pinned = drag.node === pinned ? null : drag.node;
      focus(pinned);
    }
    drag = null;
    stage.classList.remove("is-dragging");
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const frame = stage.getBoundingClientRect();
    const [px, py] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(event.deltaY / 300), px, py);
    else pan(event.deltaX, event.deltaY);
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    const step = 60;
    const keys = {
      "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25), "0": fit, "1": home,
      ArrowLeft: () => pan(-step, 0), ArrowRight: () => pan(step, 0), ArrowUp: () => pan(0, -step), ArrowDown: () => pan(0, step),
      Escape: () => { pinned = null; focus(null); },
      Enter: () => { pinned = nodeOf(event); focus(pinned); },
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  const acts = { in: () => zoom(0.8), out: () => zoom(1.25), fit, home };
  tools.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) acts[button.dataset.act]();
  });

  document.body.classList.add("is-live");
  svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
  tools.hidden = false;
  home();
  let before = [stage.clientWidth, stage.clientHeight];
  window.addEventListener("resize", () => {
    view[2] *= stage.clientWidth / before[0];
    view[3] *= stage.clientHeight / before[1];
    before = [stage.clientWidth, stage.clientHeight];
    show();
  });
})();
""".strip()


def page_style() -> str:
    """The style sheet of the page around the picture."""
    sheets = (_SHARED, _painted(LIGHT), f"@media (prefers-color-scheme: dark) {{\n{_painted(DARK)}\n}}")
    return "\n".join(sheets).replace("FONT", FONT).replace("MONO", MONO)


def _painted(palette: Palette) -> str:
    sheet = _RULES
    for name, colour in palette.items():
        sheet = sheet.replace("{" + name + "}", colour)
    return sheet
