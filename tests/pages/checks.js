// What every page must hold for people who cannot see well or use no mouse. Gives a list of what is wrong.
() => {
  const wrong = [];
  const seen = (one) => one.checkVisibility?.({ checkOpacity: true, checkVisibilityCSS: true }) ?? true;
  const say = (rule, one) => wrong.push(`${rule}: ${one.outerHTML.slice(0, 140)}`);
  const nameOf = (one) => {
    const by = one.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    return (one.getAttribute("aria-label") || [...(one.labels ?? [])].map((label) => label.textContent).join(" ") || one.title || one.textContent || one.alt || "").trim();
  };

  // Names
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!seen(one)) continue;
    const label = one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || [...(one.labels ?? [])].map((l) => l.textContent).join("");
    if (!label?.trim()) say("a control has no label", one);
  }
  for (const one of document.querySelectorAll("button, a[href], summary, [role=button]")) if (seen(one) && !nameOf(one)) say("something to press has no name", one);
  for (const one of document.querySelectorAll("img, [role=img], [role=region], [role=graphics-document]")) if (seen(one) && !nameOf(one)) say("it has no name", one);
  for (const one of document.querySelectorAll("fieldset")) if (seen(one) && !one.querySelector("legend")) say("a group has no legend", one);

  // Structure
  if (document.documentElement.lang !== "en") wrong.push("the page has no language");
  if (!document.title.trim()) wrong.push("the page has no title");
  if (document.querySelectorAll("main").length !== 1) wrong.push("there is not one main part");
  if (document.querySelectorAll("h1").length !== 1) wrong.push(`there are ${document.querySelectorAll("h1").length} headings of the first level`);
  let last = 0;
  for (const one of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!seen(one)) continue;
    const level = Number(one.tagName[1]);
    if (last && level > last + 1) say(`a heading skips from ${last} to ${level}`, one);
    last = level;
  }
  const ids = new Map();
  for (const one of document.querySelectorAll("[id]")) ids.set(one.id, (ids.get(one.id) ?? 0) + 1);
  for (const [id, count] of ids) if (count > 1) wrong.push(`the id ${id} is there ${count} times`);
  for (const one of document.querySelectorAll("[aria-describedby], [aria-labelledby], label[for]"))
    for (const id of (one.getAttribute("aria-describedby") || one.getAttribute("aria-labelledby") || one.getAttribute("for")).split(" "))
      if (!document.getElementById(id)) say(`it names ${id}, which is not there`, one);
  for (const one of document.querySelectorAll("[aria-hidden=true] a[href], [aria-hidden=true] button:not([disabled])")) say("hidden, but can be reached", one);
  for (const one of document.querySelectorAll("[tabindex]")) if (Number(one.getAttribute("tabindex")) > 0) say("it changes the order of the Tab key", one);
  for (const one of document.querySelectorAll("th")) if (!one.scope) say("a table's heading has no scope", one);

  // Things to press are large enough, and nothing makes the page wider than the window.
  for (const one of document.querySelectorAll("button, select, summary, input:not([type=hidden])")) {
    if (!seen(one) || one.classList.contains("sr") || one.closest(".segments")) continue;
    const box = one.getBoundingClientRect();
    if (box.width && box.height && (box.height < 17 || box.width < 17)) say(`${Math.round(box.width)}×${Math.round(box.height)} is too small to press`, one);
  }
  if (document.documentElement.scrollWidth > innerWidth + 1) {
    const wide = [...document.querySelectorAll("main *")].find((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, .nav, .tabs, .gantt, .stage, pre, svg"));
    wrong.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${innerWidth}: ${wide?.outerHTML.slice(0, 120)}`);
  }

  // Contrast of text
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000";
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((c, n) => c * top[3] + under[n] * (1 - top[3])).concat(1);
  const ground = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), parse(getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#fff"));
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  for (const one of document.querySelectorAll("th, td")) {
    const text = one.textContent.trim();
    if (seen(one) && text.length > 3 && !/^.\s/.test(text) && one.clientWidth < 32 && one.clientHeight > 60 && !one.querySelector(".sr")) say("a cell is squashed", one);
  }
  const told = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !one || one.closest("svg, option, [disabled]") || !seen(one)) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(over(parse(style.color), ground(one))), light(ground(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 600);
    const key = one.className + style.color;
    if (ratio < (isLarge ? 3 : 4.5) - 0.05 && !told.has(key)) { told.add(key); say(`contrast ${ratio.toFixed(2)}`, one); }
  }
  return wrong;
}
