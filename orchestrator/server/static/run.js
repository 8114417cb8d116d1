// A run: the scrubber moves the picture by colours, and every other part by loading it at that point.

import { ask, refresh, say } from "./app.js";
import { begin, graphs } from "./graph.js";

const form = document.querySelector("[data-scrub]");
const range = form?.elements.at;
let isLive = !new URLSearchParams(location.search).has("at");
let playing = null;
let wanted = null;
let busy = false;

const tab = () => form.dataset.tab;

async function show(at) {
  wanted = at;
  if (busy) return;
  busy = true;
  try {
    while (wanted !== null) {
      const now = wanted;
      wanted = null;
      await load(now);
    }
  } catch (error) {
    say(error.message);
  } finally {
    busy = false;
  }
}

async function load(at) {
  if (past) tellSent();
  const url = new URL(location.href);
  if (at === "live") url.searchParams.delete("at");
  else url.searchParams.set("at", at);
  url.searchParams.delete("after");
  history.replaceState(null, "", url);
  if (tab() === "graph" && graphs.size) {
    const response = await fetch(`${form.dataset.overlay}${at === "live" ? "" : `?at=${at}`}`);
    if (!response.ok) throw new Error("the picture cannot be loaded; is the server running?");
    const overlay = await response.json();
    for (const graph of graphs.values()) graph?.paint(overlay);
    tell(overlay);
  } else {
    await refresh(["tab", "scrub"]);
  }
  for (const link of document.querySelectorAll("[data-region=tabs] a")) {
    const href = new URL(link.href);
    if (at === "live") href.searchParams.delete("at");
    else href.searchParams.set("at", at);
    link.href = href;
  }
}

function tell(overlay) {
  document.querySelector("[data-at-text]").textContent = `${overlay.at} / ${overlay.last}`;
  document.querySelector("[data-words]").textContent = overlay.text;
  range.max = overlay.last;
  if (isLive) range.value = overlay.at;
}

function move(at) {
  const to = Math.max(0, Math.min(Number(range.max), at));
  isLive = false;
  range.value = to;
  form.querySelector("[data-live]").classList.remove("primary");
  show(to);
}

if (form) {
  range.addEventListener("input", () => { stop(); move(Number(range.value)); });
  form.addEventListener("submit", (event) => { event.preventDefault(); move(Number(range.value)); });
  form.addEventListener("click", (event) => {
    const to = event.target.closest("[data-to]")?.dataset.to;
    if (!to) return;
    if (to === "play") { if (playing) stop(); else play(); return; }
    stop();
    move(to === "first" ? 0 : Number(range.value) + (to === "on" ? 1 : -1));
  });
  form.querySelector("[data-live]").addEventListener("click", (event) => {
    event.preventDefault();
    stop();
    isLive = true;
    range.value = range.max;
    event.target.classList.add("primary");
    show("live");
  });
  // Live: the picture is painted, other parts load again; both not more often than they take.
  const runId = document.querySelector("[data-run]").dataset.run;
  let timer = null;
  document.addEventListener("live", ({ detail: { topic, data } }) => {
    const isOurs = topic === "reset" || ((topic === "run" || topic === "request") && (!data.run_id || data.run_id === runId));
    if (!isOurs || !isLive || timer) return;
    timer = setTimeout(() => { timer = null; if (tab() === "graph" && isLive) show("live"); }, 250);
  });
}

// Going back: each is a request to the server's interface, which makes a new run or says why not.

const past = form?.querySelector("[data-past]");
const pastPath = () => new URL(past.dataset.past, location.href).pathname.slice(document.body.dataset.base.length);
const eventBox = past?.querySelector("#fork-event");
let eventAt = null; // the entry whose events the box holds

/** Show the events that the entry sends, to be edited; the latest entry asked for wins, and an edit is never swapped away. */
async function tellSent() {
  if (!eventBox || !past.closest("details").open) return;
  const at = Number(range.value);
  if (at === eventAt || eventBox.value !== eventBox.defaultValue) return;
  eventAt = at;
  let sent = {};
  try {
    const entry = await (await ask(`${pastPath()}/events/${at}`)).json();
    const rows = entry.type === "event.received" ? [entry.data] : entry.type === "step.ended" ? entry.data.emitted : [];
    if (rows.every((row) => !row.group)) sent = Object.fromEntries(rows.map((row) => [row.event, row.value]));
    delete sent.Stop; // the run has ended with it
  } catch { /* what cannot be read cannot be edited */ }
  if (at !== eventAt) return;
  const text = Object.keys(sent).length ? JSON.stringify(sent, null, 2) : "";
  eventBox.value = eventBox.defaultValue = text;
  past.querySelector("[data-sent-at]").textContent = at;
  eventBox.closest("[data-sent]").hidden = !text;
}
past?.closest("details").addEventListener("toggle", tellSent);
past?.addEventListener("click", async (event) => {
  const act = event.target.closest("[data-act]")?.dataset.act;
  if (!act) return;
  const said = past.querySelector("[data-past-said]");
  said.textContent = "";
  try {
    const body = {};
    if (act === "fork") {
      body.at = Number(range.value);
      const changed = past.querySelector("#fork-set").value.trim();
      if (changed) body.set = JSON.parse(changed);
      if (eventBox && eventBox.value !== eventBox.defaultValue) { body.at = eventAt; body.event = JSON.parse(eventBox.value); }
    }
    const answer = await (await ask(`${pastPath()}/${act}`, { method: "POST", json: body })).json();
    if (answer.run_id) location.assign(`${document.body.dataset.base}/runs/${encodeURIComponent(answer.run_id)}`);
    else if (act === "migrate") location.reload();
    else said.textContent = answer.is_same
      ? `The record holds: ${answer.decisions} decisions, made again, are the same.`
      : answer.divergences.slice(0, 3).map((one) => `Entry ${one.seq}, ${one.step}: ${one.what}`).join("; ");
  } catch (error) {
    said.textContent = error instanceof SyntaxError ? "What to change is not JSON; texts need double quotes." : error.message;
  }
});

function play() {
  const button = form.querySelector("[data-to=play]");
  button.textContent = "❚❚";
  button.setAttribute("aria-label", "Pause");
  if (Number(range.value) >= Number(range.max)) range.value = 0;
  const pace = Math.max(60, Math.min(600, 12_000 / Math.max(1, Number(range.max))));
  playing = setInterval(() => {
    if (Number(range.value) >= Number(range.max)) return stop();
    if (!busy) move(Number(range.value) + 1);
  }, pace);
}

function stop() {
  if (!playing) return;
  clearInterval(playing);
  playing = null;
  const button = form.querySelector("[data-to=play]");
  button.textContent = "▷";
  button.setAttribute("aria-label", "Play");
}

document.addEventListener("click", (event) => {
  const seq = event.target.closest?.("[data-seq]")?.dataset.seq;
  if (seq && form) move(Number(seq));
});
begin();
