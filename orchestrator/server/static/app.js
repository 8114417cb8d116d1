// What every page does with script: one stream for everything that changes, refreshed regions, keys, times.
// Without script all pages work; they are then as old as their last load.

const { base, csrf, stream } = document.body.dataset;
const HIDDEN_MS = 15_000;

/** Ask the server; gives the response, or throws with the server's own message. */
export async function ask(path, options = {}) {
  const headers = { "x-csrf-token": csrf, ...options.headers };
  if (options.json !== undefined) headers["content-type"] = "application/json";
  const body = options.json !== undefined ? JSON.stringify(options.json) : options.body;
  const response = await fetch(base + path, { ...options, headers, body });
  if (response.ok) return response;
  let problem = {};
  try { problem = await response.json(); } catch { /* not ours: say the status */ }
  const error = new Error(problem.message || `the server answered ${response.status}`);
  error.problem = problem;
  error.status = response.status;
  throw error;
}

/** Say something for a while, perhaps with one thing to do about it. */
export function say(text, action) {
  const box = document.querySelector("[data-toast]");
  box.replaceChildren(text);
  clearTimeout(say.timer);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.addEventListener("click", action.run);
    box.append(" ", button);
    return;
  }
  say.timer = setTimeout(() => box.replaceChildren(), 6000);
}

// Regions: parts of a page that are fetched again, by loading the page itself.

let refreshing = null;
let again = false;

/** Fetch this page and replace its regions; calls that come meanwhile are one more fetch. */
export async function refresh(names) {
  if (refreshing) { again = true; return refreshing; }
  const began = performance.now();
  refreshing = (async () => {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return null;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const old of document.querySelectorAll("[data-region]")) {
      const name = old.dataset.region;
      if (names && !names.includes(name)) continue;
      if (!names && old.querySelector("[data-graph] .stage > svg") && old.dataset.tabName) continue; // painted, not loaded
      const fresh = page.querySelector(`[data-region="${CSS.escape(name)}"]`);
      if (!fresh || fresh.innerHTML === old.innerHTML) continue;
      swap(old, fresh);
    }
    document.dispatchEvent(new CustomEvent("refreshed", { detail: page }));
    return page;
  })();
  try {
    return await refreshing;
  } catch {
    return null; // the stream says when the server is back
  } finally {
    const rest = Math.max(300, (performance.now() - began) * 5);
    setTimeout(() => {
      refreshing = null;
      if (again) { again = false; refresh(names); }
    }, rest);
  }
}

function swap(old, fresh) {
  const active = document.activeElement;
  const key = old.contains(active) ? active.getAttribute("href") || active.id : null;
  const open = [...old.querySelectorAll("details[id][open]")].map((one) => one.id);
  const picked = new Set([...old.querySelectorAll("[name=pick]:checked")].map((one) => one.value));
  old.replaceChildren(...fresh.childNodes);
  for (const one of old.querySelectorAll("[name=pick]")) one.checked = picked.has(one.value);
  settle(old);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (key) [...old.querySelectorAll("a[href], [id]")].find((one) => one.getAttribute("href") === key || one.id === key)?.focus();
}

// The stream.

let source = null;
let place = document.body.dataset.place || ""; // what changed before the page was made, it shows already
let hiddenTimer = null;
let retryMs = 1000;
function connect() {
  if (!stream || document.hidden) return;
  source?.close();
  source = new EventSource(place ? `${stream}?after=${encodeURIComponent(place)}` : stream);
  source.onopen = () => { retryMs = 1000; state(true); };
  source.onerror = () => {
    state(false);
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, 15_000);
    }
  };
  for (const topic of ["hello", "reset", "run", "request", "flows", "schedules"]) {
    source.addEventListener(topic, (event) => {
      place = event.lastEventId || place;
      document.dispatchEvent(new CustomEvent("live", { detail: { topic, data: JSON.parse(event.data) } }));
    });
  }
}

function state(isOn) {
  const dot = document.querySelector("[data-live-state]");
  if (!dot) return;
  dot.hidden = false;
  dot.classList.toggle("is-off", !isOn);
  dot.title = isOn ? "Live: changes appear by themselves" : "The server does not answer; trying again";
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => { source?.close(); source = null; }, HIDDEN_MS);
  } else if (!source || source.readyState === EventSource.CLOSED) {
    connect();
  }
});

document.addEventListener("live", ({ detail: { topic, data } }) => {
  if (topic === "hello") return;
  if (topic === "request" || topic === "reset") countInbox();
  const wants = [...document.querySelectorAll("[data-refresh]")];
  const hit = wants.some((one) => {
    const only = one.dataset.refreshRun;
    return topic === "reset" || (one.dataset.refresh.split(" ").includes(topic) && (!only || !data.run_id || data.run_id === only));
  });
  if (hit) refresh();
});

let counting = null;
function countInbox() {
  const badge = document.querySelector("[data-inbox-count]");
  if (!badge || counting) return;
  counting = setTimeout(async () => {
    try {
      const { count } = await (await ask("/inbox/count")).json();
      badge.textContent = count > 99 ? "99+" : count;
      badge.hidden = count === 0;
    } catch { /* the next change asks again */ }
    counting = null;
  }, 200);
}

// Times.

const units = [[86400, "day"], [3600, "hour"], [60, "minute"]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });

function tellTimes() {
  const now = Date.now() / 1000;
  for (const time of document.querySelectorAll("time[data-at]")) {
    const distance = Number(time.dataset.at) - now;
    const unit = units.find(([size]) => Math.abs(distance) >= size * 0.95);
    if (!time.dataset.localised) {
      time.title = new Date(Number(time.dataset.at) * 1000).toLocaleString();
      time.dataset.localised = "1";
    }
    if (time.dataset.moved) time.textContent = unit ? words.format(Math.round(distance / unit[0]), unit[1]) : "just now";
    time.dataset.moved = "1";
  }
}

// Keys: j and k walk through lists, x ticks, / searches. a and r never decide: in the list they open the request, and beside its
// content they go to the button that approves or rejects, which Enter presses.

const verdictFor = (key) => {
  const buttons = [...document.querySelectorAll("form[data-decide] .answer > .verdicts .verdict-button")];
  if (key === "a") return buttons.find((one) => one.classList.contains("good"));
  return buttons.find((one) => one.classList.contains("bad")) ?? buttons.findLast((one) => !one.classList.contains("good"));
};

function goToVerdict(key) {
  const button = verdictFor(key);
  button?.focus();
  button?.scrollIntoView({ block: "nearest" });
  return Boolean(button);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable], .cm-host")) return;
  const links = [...document.querySelectorAll("[data-keys] h2 a, [data-keys] [data-key]")];
  if (event.key === "/" && document.querySelector("input[type=search]")) {
    event.preventDefault();
    document.querySelector("input[type=search]").focus();
  } else if (event.key === "x" && links.includes(document.activeElement)) {
    document.activeElement.closest("li, tr")?.querySelector("[name=pick]")?.click();
  } else if ((event.key === "a" || event.key === "r") && !event.repeat) {
    if (goToVerdict(event.key)) return;
    const href = document.activeElement.closest?.("[data-decides]")?.querySelector("h2 a")?.href;
    if (href) location.assign(`${href}#key-${event.key}`);
  } else if (event.key === "u" && document.querySelector("form[data-decide]")) {
    document.querySelector(".crumbs a")?.click();
  } else if ((event.key === "j" || event.key === "k") && links.length) {
    const at = links.indexOf(document.activeElement);
    const next = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
    links[next].focus();
    links[next].scrollIntoView({ block: "nearest" });
  }
});

// Forms.

function settle(part) {
  for (const one of part.querySelectorAll("[data-no-js]")) one.hidden = true;
  for (const one of part.querySelectorAll("[data-js]")) one.hidden = false;
  tellPicked();
}

const picks = () => [...document.querySelectorAll("[name=pick]")];

function tellPicked() {
  const chosen = picks().find((one) => one.checked);
  const fits = (one) => !chosen || one.dataset.form === chosen.dataset.form; // one verdict for one kind of form
  for (const one of picks()) { one.disabled = !fits(one); if (one.disabled) one.checked = false; }
  const all = picks().filter(fits);
  const count = all.filter((one) => one.checked).length;
  for (const form of document.querySelectorAll("form.bulk")) {
    const words = form.querySelector("[data-picked]");
    words.dataset.rest ??= words.textContent;
    words.textContent = count ? `${count} ticked:` : words.dataset.rest;
    const box = form.querySelector("[data-pick-all]");
    box.checked = count > 0 && count === all.length;
    box.indeterminate = count > 0 && count < all.length;
  }
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-pick-all]")) for (const one of picks()) one.checked = target.checked;
  if (target.matches("[data-pick-all], [name=pick]")) tellPicked();
});
settle(document);
for (const strip of document.querySelectorAll(".nav, .tabs")) { // what is current is in sight where the strip is scrolled
  const here = strip.querySelector("[aria-current]");
  if (here) strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
}
for (const form of document.querySelectorAll("form[data-auto]"))
  form.addEventListener("change", (event) => { if (event.target.matches("select")) form.requestSubmit(); });
document.addEventListener("submit", (event) => { // also in regions that came later
  const form = event.target;
  if (form.getAttribute("method") !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 4000);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-confirm], [data-confirm-many]");
  if (!button) return;
  const count = picks().filter((one) => one.checked).length;
  const many = count && button.dataset.confirmMany?.replace("{n}", `${count} ${button.form.dataset.what}${count === 1 ? "" : "s"}`);
  const question = button.dataset.confirm || many;
  if (question && !confirm(question)) event.preventDefault();
});
for (const form of document.querySelectorAll("form[data-guard]")) {
  let isDirty = false;
  form.addEventListener("input", () => { isDirty = true; });
  form.addEventListener("submit", () => { isDirty = false; });
  window.addEventListener("beforeunload", (event) => { if (isDirty) event.preventDefault(); });
}
document.querySelector("[data-focus]")?.focus();
window.addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });

// A decision: the vote moves on by itself; a new text or an outcome is told, never swapped under somebody's hands.

const decide = document.querySelector("form[data-decide]");
if (decide) {
  const path = new URL(decide.action, location.href).pathname;
  document.addEventListener("live", async ({ detail: { topic, data } }) => {
    const isOurs = topic === "reset" || (topic === "request" && (!data.id || path.endsWith(`/${data.id}`) || path.endsWith(`/${encodeURIComponent(data.id)}`)));
    if (!isOurs) return;
    const page = await refresh();
    if (!page) return;
    const fresh = page.querySelector("form[data-decide]");
    const was = decide.elements.revision?.value;
    const isChanged = !fresh || fresh.querySelector("[name=revision]")?.value !== was || Boolean(fresh.querySelector(".answer")) !== Boolean(decide.querySelector(".answer"));
    if (isChanged) say("This request has changed.", { label: "Show it as it is now", run: () => location.reload() });
  });
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
});

if (/^#key-[ar]$/.test(location.hash)) {
  goToVerdict(location.hash.slice(-1));
  scrollTo(0, 0); // the content first
  history.replaceState(history.state, "", location.pathname + location.search);
}
tellTimes();
setInterval(() => { if (!document.hidden) tellTimes(); }, 30_000);
countInbox();
connect();
