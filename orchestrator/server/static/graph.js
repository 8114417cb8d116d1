// Pictures that can be moved and zoomed; a step's words appear beside it. Without script a picture scrolls.

/** Make the graph in an element live; gives {svg, show(overlay)}. */
export function liveGraph(host) {
  const stage = host.querySelector(".stage");
  const tools = host.querySelector(".graph-tools");
  let svg = stage.querySelector("svg");
  if (!svg) return null;
  let full, view, chosen = null;
  const panel = document.createElement("div");
  panel.className = "graph-panel";
  panel.hidden = true;
  panel.setAttribute("aria-live", "polite");
  host.append(panel);

  const show = () => svg.setAttribute("viewBox", view.map((n) => n.toFixed(2)).join(" "));
  const scale = () => Math.max(view[2] / stage.clientWidth, view[3] / stage.clientHeight);
  const frame = (k, top) => {
    const [w, h] = [stage.clientWidth * k, stage.clientHeight * k];
    view = [full[0] + full[2] / 2 - w / 2, top && full[3] > h ? full[1] : full[1] + full[3] / 2 - h / 2, w, h];
    show();
  };
  const home = () => {
    const all = Math.max(full[2] / stage.clientWidth, full[3] / stage.clientHeight);
    frame(Math.min(Math.max(all, 0.9), 1.5), true);
  };
  const fit = () => frame(Math.max(full[2] / stage.clientWidth, full[3] / stage.clientHeight) * 1.02);
  const zoom = (factor, px = 0.5, py = 0.5) => {
    const k = Math.min(Math.max(scale() * factor, 0.2), Math.max(4, (2 * full[3]) / stage.clientHeight, (2 * full[2]) / stage.clientWidth));
    const [w, h] = [stage.clientWidth * k, stage.clientHeight * k];
    view = [view[0] + (view[2] - w) * px, view[1] + (view[3] - h) * py, w, h];
    show();
  };
  const pan = (dx, dy) => { const k = scale(); view[0] += dx * k; view[1] += dy * k; show(); };

  const focus = (node) => {
    const id = node?.dataset.node;
    svg.classList.toggle("has-focus", Boolean(node));
    for (const edge of svg.querySelectorAll(".edge")) edge.classList.toggle("is-near", edge.dataset.source === id || edge.dataset.target === id);
    const about = id && document.querySelector(`[data-about="${CSS.escape(id)}"]`);
    panel.hidden = !about;
    if (about) panel.replaceChildren(...[...about.childNodes].map((one) => one.cloneNode(true)));
  };
  const choose = (node) => { chosen = node === chosen ? null : node; focus(chosen); host.dispatchEvent(new CustomEvent("chosen", { detail: chosen?.dataset.step || null, bubbles: true })); };
  const nodeOf = (event) => event.target.closest?.(".node");

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
    if (drag && !drag.moved) choose(drag.node || chosen);
    drag = null;
    stage.classList.remove("is-dragging");
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls as always
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(event.deltaY / 300), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25), "0": fit, "1": home,
      ArrowLeft: () => pan(-60, 0), ArrowRight: () => pan(60, 0), ArrowUp: () => pan(0, -60), ArrowDown: () => pan(0, 60),
      Escape: () => { chosen = null; focus(null); }, Enter: () => { const node = nodeOf(event); if (node) choose(node); },
    };
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  stage.addEventListener("focusin", (event) => {
    const node = nodeOf(event);
    if (!node?.matches(":focus-visible")) return;
    focus(node);
    const [box, around] = [node.getBoundingClientRect(), stage.getBoundingClientRect()];
    const dx = box.left < around.left ? box.left - around.left - 40 : Math.max(0, box.right - around.right + 40);
    const dy = box.top < around.top ? box.top - around.top - 40 : Math.max(0, box.bottom - around.bottom + 40);
    if (dx || dy) pan(dx, dy);
  });
  stage.addEventListener("focusout", () => focus(chosen));
  tools.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) ({ in: () => zoom(0.8), out: () => zoom(1.25), fit })[button.dataset.act]();
  });

  const begin = () => {
    full = svg.getAttribute("viewBox").split(" ").map(Number);
    svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
  };
  host.classList.add("is-live");
  tools.hidden = false;
  begin();
  home();
  let before = [stage.clientWidth, stage.clientHeight];
  new ResizeObserver(() => {
    if (!stage.clientWidth || !stage.clientHeight) return;
    view[2] *= stage.clientWidth / before[0];
    view[3] *= stage.clientHeight / before[1];
    before = [stage.clientWidth, stage.clientHeight];
    show();
  }).observe(stage);

  return {
    get svg() { return svg; },
    /** Put another picture in; the view stays where it is if the size is the same. */
    replace(next) {
      const was = svg.getAttribute("width") + svg.getAttribute("height");
      svg.replaceWith(next);
      svg = next;
      begin();
      if (was === svg.getAttribute("width") + svg.getAttribute("height")) show(); else home();
      chosen = null;
      focus(null);
    },
    /** Colour nodes and edges: {nodes: {id: [state, remark]}, edges: {id: count}}. */
    paint(overlay) {
      svg.classList.add("has-path");
      for (const node of svg.querySelectorAll(".node")) {
        const found = overlay.nodes[node.dataset.node];
        for (const name of ["done", "failed", "running", "waiting", "skipped"]) node.classList.toggle(`is-${name}`, found?.[0] === name);
        mark(node, found);
      }
      for (const old of svg.querySelectorAll(".edge > .mark, .edge > .mark-text, .live-mark")) old.remove();
      for (const edge of svg.querySelectorAll(".edge")) {
        const count = overlay.edges[edge.dataset.edge];
        edge.classList.toggle("is-taken", count !== undefined);
        if (count > 1 && edge.parentNode.classList.contains("edges")) markEdge(svg, edge, count);
      }
    },
  };
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = { done: "M2.5 6.4 5 8.9l4.5-5.3", failed: "M3 3l6 6M9 3l-6 6", running: "M3.6 2.4v7.2L9.4 6z", waiting: "M4.2 2.8v6.4M7.8 2.8v6.4", skipped: "M3 6h6" };

function make(name, attributes, parent) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  parent?.append(one);
  return one;
}

/** How often an edge was taken, beside its words or in the middle of its line. */
function markEdge(svg, edge, count) {
  const halo = svg.querySelector(`.labels [data-edge="${CSS.escape(edge.dataset.edge)}"] .halo`);
  let x, y;
  if (halo) {
    x = Number(halo.getAttribute("x")) + Number(halo.getAttribute("width")) + 5;
    y = Number(halo.getAttribute("y")) + 3;
  } else {
    const line = edge.querySelector(".line");
    ({ x, y } = line.getPointAtLength(line.getTotalLength() / 2));
  }
  const width = 8 + `×${count}`.length * 6.6;
  const group = make("g", { class: `${edge.getAttribute("class")} live-mark` }, svg.querySelector(".labels"));
  make("rect", { class: "mark", x: x - width / 2, y: y - 8, width, height: 16, rx: 8 }, group);
  make("text", { class: "mark-text", x, y: y + 4 }, group).textContent = `×${count}`;
}

function mark(node, found) {
  const old = node.querySelector(".state");
  if (!node.dataset.step || !found) { old?.remove(); return; }
  const [state, words] = found;
  const key = `${state} ${words}`;
  if (old?.dataset.key === key) return;
  const width = 20 + (words ? 8 + words.length * 6.6 : 0);
  const group = make("g", { class: "state", transform: `translate(${Number(node.querySelector(".box").getAttribute("width")) - width + 8} -9)` });
  group.dataset.key = key;
  make("rect", { class: "mark", width, height: 20, rx: 10 }, group);
  make("path", { class: "mark-icon", transform: "translate(4 4)", d: ICONS[state] || "" }, group);
  if (words) make("text", { class: "mark-text", x: 18, y: 14 }, group).textContent = words;
  old?.remove();
  node.append(group);
}

export const graphs = new Map();
export function begin() {
  for (const host of document.querySelectorAll("[data-graph]")) if (!graphs.has(host)) graphs.set(host, liveGraph(host));
}
begin();
document.addEventListener("refreshed", begin);
