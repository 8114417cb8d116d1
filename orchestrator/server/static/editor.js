// The editor: CodeMirror over the form's textarea, findings and picture from the server's own checker, completion by place.

import {
  EditorState, EditorView, HighlightStyle, autocompletion, basicSetup, hoverTooltip, indentWithTab, keymap, lintGutter, setDiagnostics,
  syntaxHighlighting, tags, yaml,
} from "./codemirror.js";
import { ask } from "./app.js";
import { begin, graphs } from "./graph.js";

const form = document.querySelector("[data-editor]");
const area = form.elements.text;
const host = form.querySelector(".cm-host");
const stateBox = form.querySelector("[data-state]");
const list = form.querySelector("[data-findings]");
const stale = form.querySelector("[data-stale]");
const CHECK_AFTER_MS = 180;

let words = { keys: {}, callables: [], fields: {}, events: [], steps: [], roots: [], filters: [] };
ask(new URL(form.dataset.words, location.href).pathname.slice(document.body.dataset.base.length)).then((r) => r.json()).then((found) => { words = found; }).catch(() => {});

// Look: the page's colours reach into the shadow tree, where CodeMirror may have style sheets of its own.

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--card)", fontSize: "13.5px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--accent)" },
  "&.cm-focused": { outline: "none" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--muted)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--sunk) 55%, transparent)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--accent-tint) !important" },
  ".cm-cursor": { borderLeftColor: "var(--accent)" },
  ".cm-tooltip": { backgroundColor: "var(--card)", border: "1px solid var(--rim)", borderRadius: "10px", color: "var(--ink)", overflow: "hidden" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { fontStyle: "normal", color: "inherit", opacity: "0.75" },
  ".cm-completionInfo": { maxWidth: "320px", padding: "8px 12px" },
  ".cm-diagnostic": { padding: "6px 12px", borderLeftWidth: "4px" },
  ".cm-diagnosticAction": { backgroundColor: "var(--accent)", color: "var(--on-accent)", borderRadius: "6px" },
  ".cm-panels": { backgroundColor: "var(--sunk)", color: "var(--ink)" },
  ".cm-matchingBracket": { backgroundColor: "var(--good-tint) !important", outline: "1px solid var(--good-rim)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunk)", border: "none", color: "var(--muted)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "4px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)", textUnderlineOffset: "4px" },
  ".cm-lintRange-info": { backgroundImage: "none", textDecoration: "underline dotted var(--accent)", textUnderlineOffset: "4px" },
});
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.content], color: "var(--ink)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.bool, tags.null, tags.number, tags.keyword], color: "var(--ask)" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace, tags.meta], color: "var(--muted)" },
]);

// Completion: what fits where the cursor stands, told by indentation and the keys above.

function above(state, line, indent) {
  for (let n = line - 1; n >= 1; n -= 1) {
    const text = state.doc.line(n).text;
    const found = /^(\s*)(?:- )?([\w.-]+)\s*:/.exec(text);
    if (found && found[1].length < indent) return { key: found[2], indent: found[1].length, line: n };
  }
  return null;
}

function siblings(state, line, indent, name) {
  const look = (n) => {
    const found = /^(\s*)([\w.-]+)\s*:\s*(.*)$/.exec(state.doc.line(n).text);
    return found && found[1].length === indent && found[2] === name ? found[3].trim() : null;
  };
  const ends = (n) => { const text = state.doc.line(n).text; return text.trim() && text.search(/\S/) < indent; };
  for (let n = line; n >= 1 && !ends(n); n -= 1) { const value = look(n); if (value) return value; }
  for (let n = line; n <= state.doc.lines && !ends(n); n += 1) { const value = look(n); if (value) return value; }
  return null;
}

function complete(context) {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const open = before.lastIndexOf("${{");
  if (open >= 0 && !before.slice(open).includes("}}")) {
    const pipe = /\|\s*(\w*)$/.exec(before);
    if (pipe) return offer(words.filters, context.pos - pipe[1].length);
    const root = /[\w.]*$/.exec(before);
    return root[0] || context.explicit ? offer(words.roots, context.pos - root[0].length) : null;
  }
  const value = /^\s*(?:- )?([\w.-]+):\s+(?:\[?(?:[\w.-]+,\s*)*)([\w.-]*)$/.exec(before);
  if (value) {
    const from = context.pos - value[2].length;
    if (value[1] === "call") return offer(words.callables, from);
    if (["on", "emit", "event", "approve", "rework", "timeout", "reject", "on_timeout"].includes(value[1])) return offer([...words.events, ...words.steps], from);
    return null;
  }
  const key = /^(\s*)(?:- )?([\w.-]*)$/.exec(before);
  if (!key || (!key[2] && !context.explicit)) return null;
  const indent = key[1].length + (before.includes("- ") ? 2 : 0);
  const from = context.pos - key[2].length;
  if (indent === 0) return offer(words.keys.top, from);
  const parent = above(context.state, line.number, indent);
  if (!parent) return null;
  if (parent.key === "with") {
    const call = siblings(context.state, parent.line, parent.indent, "call");
    return offer(words.fields[call] || [], from);
  }
  if (["ask", "retry", "emit", "to"].includes(parent.key)) return offer(words.keys[parent.key], from);
  const grand = above(context.state, parent.line, parent.indent);
  if (grand?.key === "steps" && grand.indent === 0) return offer(words.keys.step, from);
  return null;
}

function offer(found, from) {
  return found?.length ? { from, options: found.map((word) => ({ label: word.label, detail: word.detail, info: word.info || undefined, apply: word.apply })), validFor: /^[\w.-]*$/ } : null;
}

const hover = hoverTooltip((view, pos) => {
  const { from, to, text } = view.state.doc.lineAt(pos);
  const place = [...text.matchAll(/[\w.-]+/g)].find((one) => from + one.index <= pos && from + one.index + one[0].length >= pos);
  if (!place) return null;
  const known = [...words.callables, ...(words.keys.step || []), ...(words.keys.top || []), ...(words.keys.ask || [])].find((word) => word.label === place[0] && word.info);
  if (!known) return null;
  return {
    pos: from + place.index, end: Math.min(to, from + place.index + place[0].length),
    create() {
      const dom = document.createElement("div");
      dom.className = "cm-completionInfo";
      dom.textContent = known.info;
      return { dom };
    },
  };
});

// Checking: the newest text only; an answer that comes late is dropped.

let number = 0;
let timer = null;

function checkSoon() {
  clearTimeout(timer);
  timer = setTimeout(check, CHECK_AFTER_MS);
}

async function check() {
  number += 1;
  const mine = number;
  const text = view.state.doc.toString();
  try {
    const found = await (await ask(form.dataset.check, { method: "POST", json: { text, file: form.dataset.file, graph: true } })).json();
    if (mine !== number) return;
    showFindings(found);
    showPicture(found.svg);
    area.value = text;
  } catch (error) {
    if (mine === number) tell("cannot be checked: " + error.message, "late");
  }
}

const offset = (doc, line, column) => {
  const at = doc.line(Math.min(Math.max(line, 1), doc.lines));
  // Columns count characters; the editor counts UTF-16 units.
  const units = [...at.text].slice(0, Math.max(0, column - 1)).join("").length;
  return Math.min(at.to, at.from + units);
};

function tell(text, tone) {
  const chip = document.createElement("span");
  chip.className = `chip ${tone}`;
  chip.textContent = text;
  stateBox.replaceChildren(chip);
}

function showFindings({ diagnostics }) {
  const own = diagnostics.filter((one) => one.file === form.dataset.file || form.dataset.file.endsWith(one.file));
  const doc = view.state.doc;
  const marks = own.map((one) => {
    const from = offset(doc, one.line, one.column);
    const to = Math.max(from, offset(doc, one.end_line, one.end_column));
    const actions = one.fix ? [{ name: one.fix.title, apply: () => applyFix(one.fix) }] : [];
    return { from, to: to === from ? Math.min(doc.length, from + 1) : to, severity: one.severity === "note" ? "info" : one.severity, message: [`${one.code}: ${one.message}`, ...(one.help ? [one.help] : []), ...elsewhere(one)].join("\n"), actions };
  });
  view.dispatch(setDiagnostics(view.state, marks));
  const errors = diagnostics.filter((one) => one.severity === "error").length;
  const warnings = diagnostics.filter((one) => one.severity === "warning").length;
  if (errors) tell(`${errors} ${errors === 1 ? "error" : "errors"}`, "bad");
  else if (warnings) tell(`${warnings} ${warnings === 1 ? "warning" : "warnings"}`, "late");
  else tell("no errors", "good");
  list.replaceChildren(diagnostics.length ? findingList(diagnostics) : none());
}

/** The places of a finding in other files, such as a plugin's. */
function elsewhere(one) {
  return (one.related || []).filter((place) => place.file !== one.file).map((place) => `${place.file}:${place.line}:${place.column}`);
}

function none() {
  const text = document.createElement("p");
  text.className = "muted";
  text.textContent = "None.";
  return text;
}

function findingList(found) {
  const out = document.createElement("ul");
  out.className = "findings";
  for (const one of found) {
    const row = document.createElement("li");
    const go = document.createElement("button");
    go.type = "button";
    go.className = "finding";
    const chip = document.createElement("span");
    chip.className = `chip ${one.severity === "error" ? "bad" : one.severity === "warning" ? "late" : ""}`;
    chip.textContent = one.code;
    const where = document.createElement("span");
    where.className = "muted mono";
    where.textContent = [`${one.line}:${one.column}`, ...elsewhere(one)].map((place) => ` ${place}`).join("");
    go.append(chip, ` ${one.message}`, where);
    if (one.help) {
      const help = document.createElement("span");
      help.className = "hint";
      help.textContent = ` ${one.help}`;
      go.append(help);
    }
    go.addEventListener("click", () => goTo(offset(view.state.doc, one.line, one.column)));
    row.append(go);
    if (one.fix) {
      const fix = document.createElement("button");
      fix.type = "button";
      fix.className = "button small";
      fix.textContent = one.fix.title;
      fix.addEventListener("click", () => applyFix(one.fix));
      row.append(fix);
    }
    out.append(row);
  }
  return out;
}

function goTo(pos) {
  view.dispatch({ selection: { anchor: pos }, effects: EditorView.scrollIntoView(pos, { y: "center" }) });
  view.focus();
}

function applyFix(fix) {
  const doc = view.state.doc;
  const changes = fix.edits.map((edit) => ({ from: offset(doc, edit.line, edit.column), to: offset(doc, edit.end_line, edit.end_column), insert: edit.text }));
  view.dispatch({ changes });
  view.focus();
}

function showPicture(svg) {
  stale.hidden = Boolean(svg);
  if (!svg) return; // the last good one stays
  const next = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
  const graph = [...graphs.values()][0];
  if (graph) { graph.replace(next); return; }
  const box = form.querySelector("[data-picture]");
  const made = document.createElement("div");
  made.className = "graph";
  made.dataset.graph = "";
  made.innerHTML = '<div class="stage" tabindex="0" role="region" aria-label="Picture of the flow"></div><div class="graph-tools" hidden><button type="button" class="button small" data-act="in" aria-label="Zoom in">+</button><button type="button" class="button small" data-act="out" aria-label="Zoom out">−</button><button type="button" class="button small" data-act="fit">All</button></div>';
  made.querySelector(".stage").append(next);
  box.querySelector("p.muted")?.remove();
  box.prepend(made);
  begin();
}

// The picture leads to the text.
document.addEventListener("chosen", ({ detail: step }) => {
  if (!step) return;
  const found = new RegExp(`^  ${step.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\s*:`, "m").exec(view.state.doc.toString());
  if (found) goTo(found.index + 2);
}, true);

// The palette.
for (const button of form.querySelectorAll("[data-insert]")) {
  button.addEventListener("click", () => {
    const doc = view.state.doc;
    const sample = button.closest("details").querySelector("pre").textContent.split("\n").map((line) => `  ${line}`).join("\n");
    const steps = /^steps:[^\n]*$/m.exec(doc.toString());
    let at = doc.length;
    if (steps) { // after the last line that belongs to `steps`
      let n = doc.lineAt(steps.index).number;
      while (n < doc.lines && (!doc.line(n + 1).text.trim() || /^\s/.test(doc.line(n + 1).text))) n += 1;
      while (n > 1 && !doc.line(n).text.trim()) n -= 1;
      at = doc.line(n).to;
    }
    const head = steps ? "\n" : `${doc.length && !doc.toString().endsWith("\n") ? "\n" : ""}steps:\n`;
    view.dispatch({ changes: { from: at, insert: head + sample }, selection: { anchor: at + head.length + 2 }, effects: EditorView.scrollIntoView(at + head.length, { y: "center" }) });
    view.focus();
  });
}

// The view itself, in a shadow tree: only there does CodeMirror keep its styles without an inline sheet, which the policy forbids.

const root = host.attachShadow({ mode: "open" });
const inner = document.createElement("div");
const whole = new CSSStyleSheet();
whole.replaceSync("div:first-of-type { height: 100%; }");
root.adoptedStyleSheets = [whole];
root.append(inner);
const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
const view = new EditorView({
  root,
  parent: inner,
  state: EditorState.create({
    doc: area.value,
    extensions: [
      basicSetup, yaml(), keymap.of([indentWithTab]), EditorState.tabSize.of(2), look, syntaxHighlighting(colours), lintGutter(), hover,
      EditorView.darkTheme.of(isDark),
      autocompletion({ override: [complete] }),
      EditorView.contentAttributes.of({ "aria-label": `Text of ${form.dataset.file}; Escape, then Tab, leaves it` }),
      EditorView.updateListener.of((update) => { if (update.docChanged) { area.value = update.state.doc.toString(); isDirty = true; checkSoon(); } }),
    ],
  }),
});
let isDirty = false;
host.hidden = false;
area.hidden = true;
form.addEventListener("submit", () => { area.value = view.state.doc.toString(); isDirty = false; });
window.addEventListener("beforeunload", (event) => { if (isDirty) event.preventDefault(); });
check();
export { view };
