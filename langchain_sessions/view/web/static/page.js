// What the page can do besides. It is complete without this file, and no HTML is made here: only the server does.
"use strict";

const POLL = 2500; // milliseconds between two looks for something new
const TIRED = 20000; // and after the server could not be reached
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- Getting parts of other pages -----------------------------------------------------------------------------

async function pageAt(address, headers = {}) {
  const response = await fetch(address, { headers, cache: "no-store", credentials: "same-origin" });
  if (response.status === 304) return null;
  if (!response.ok) throw new Error(`answered with ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

async function insertPart(place, address, part) {
  const waiting = document.createElement("p");
  waiting.className = "rest";
  waiting.textContent = "Loading…";
  place.replaceChildren(waiting);
  try {
    const page = await pageAt(address);
    place.replaceChildren(document.importNode(one(`[data-part="${part}"]`, page), true));
    enhance(place);
  } catch {
    waiting.textContent = "This could not be loaded. ";
    const link = document.createElement("a");
    link.href = address;
    link.textContent = "Open it as a page";
    waiting.append(link);
  }
}

// --- Times ----------------------------------------------------------------------------------------------------

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function ago(then) {
  const minutes = (Date.now() - then) / 60000;
  if (!(minutes > -5 && minutes < 30 * 24 * 60)) return null;
  if (minutes < 1) return "now";
  if (minutes < 59.5) return `${Math.round(minutes)}m ago`;
  return minutes < 36 * 60 ? `${Math.round(minutes / 60)}h ago` : `${Math.round(minutes / 60 / 24)}d ago`;
}

function tellTimes(root = document) {
  for (const time of all("time", root)) {
    const then = Date.parse(time.dateTime);
    const text = ago(then);
    if (text && time.textContent !== text) time.textContent = text;
    if (!time.dataset.utc) {
      time.dataset.utc = time.title;
      time.title = `${time.title} (here ${local.format(then)})`;
    }
  }
}

// --- What is new ----------------------------------------------------------------------------------------------

const seen = new Map(); // what the server said of each part, without what this file has made of it since

function said(element) {
  const copy = element.cloneNode(true);
  for (const time of all("time", copy)) time.textContent = "";
  return copy.outerHTML;
}

function remember(root) {
  for (const element of all("[data-live], [data-live-list] > [id]", root)) seen.set(element.id, said(element));
}

function replaced(old, fresh) {
  const copy = document.importNode(fresh, true);
  const open = new Set(all("details[open][data-key]", old).map((it) => it.dataset.key));
  for (const details of all("details[data-key]", copy)) details.open = open.has(details.dataset.key);
  const inside = old.contains(document.activeElement) ? document.activeElement : null;
  const place = inside && inside !== old ? all("a, button, summary, input", old).indexOf(inside) : -1;
  const isTraced = one(".trace-here:not([hidden])", old);
  old.replaceWith(copy);
  enhance(copy);
  if (isTraced) showTrace(one("[data-trace]", copy));
  if (inside === old) copy.focus({ preventScroll: true });
  else if (place >= 0) all("a, button, summary, input", copy)[place]?.focus({ preventScroll: true });
  return copy;
}

function mergeList(old, fresh) {
  const added = [];
  const there = new Map([...old.children].map((it) => [it.id, it]));
  let place = old.firstElementChild;
  for (const item of [...fresh.children]) {
    let mine = there.get(item.id);
    const text = said(item);
    if (!mine) {
      mine = document.importNode(item, true);
      mine.classList.add("new");
      old.insertBefore(mine, place);
      enhance(mine);
      added.push(mine);
    } else {
      if (seen.get(item.id) !== text) {
        const isPlace = mine === place;
        mine = replaced(mine, item);
        if (isPlace) place = mine;
      }
      if (mine === place) place = place.nextElementSibling;
      else old.insertBefore(mine, place);
    }
    seen.set(item.id, text);
    there.delete(item.id);
  }
  for (const gone of there.values()) gone.remove();
  return added;
}

function merge(page) {
  let added = [];
  for (const fresh of all("[data-live], [data-live-list]", page)) {
    const old = document.getElementById(fresh.id);
    if (!old || "liveList" in old.dataset !== "liveList" in fresh.dataset) return location.reload();
    if ("liveList" in fresh.dataset) added = added.concat(mergeList(old, fresh));
    else if (seen.get(fresh.id) !== said(fresh)) {
      seen.set(fresh.id, said(fresh));
      replaced(old, fresh);
    }
  }
  document.body.dataset.etag = page.body.dataset.etag || "";
  return added;
}

function tell(added) {
  if (!added.length) return;
  const isTurn = added[0].classList.contains("turn");
  const noun = isTurn ? "turn" : "session";
  one("[data-announce]").textContent = `${added.length} new ${noun}${added.length > 1 ? "s" : ""}`;
  const toast = one("[data-toast]");
  if (!isTurn || !toast) return;
  const first = added[0];
  if (first.getBoundingClientRect().top < innerHeight) return;
  toast.textContent = `${one("[data-announce]").textContent} ↓`;
  toast.hidden = false;
  toast.onclick = () => {
    toast.hidden = true;
    first.scrollIntoView({ block: "start" });
    first.focus({ preventScroll: true });
  };
}

function watch() {
  const state = one("[data-live-state]");
  const text = one("[data-live-text]");
  let timer = 0;
  const show = (name, words) => {
    state.className = `button quiet live ${name}`;
    text.textContent = words;
    state.title = { on: "New things appear by themselves", lost: "The server does not answer" }[name] || "";
  };
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    let wait = POLL;
    try {
      const page = await pageAt(location.href.split("#")[0], { "If-None-Match": document.body.dataset.etag });
      show("on", "Live");
      if (page && (one("[data-reload]") || !page.body.dataset.etag)) return location.reload();
      if (page) {
        tell(merge(page));
        highlight();
      }
      tellTimes();
    } catch {
      show("lost", "Offline");
      wait = TIRED;
    }
    timer = setTimeout(look, wait);
  };
  show("on", "Live");
  timer = setTimeout(look, one("[data-soon]") ? 500 : POLL);
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
  state.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    look();
  });
}

// --- Things on the page ---------------------------------------------------------------------------------------

async function copy(text, button) {
  const words = one("[data-copy-text]", button) || button;
  const before = words.textContent;
  try {
    await navigator.clipboard.writeText(text);
    words.textContent = "Copied";
  } catch {
    words.textContent = "Not allowed";
  }
  one("[data-announce]").textContent = words.textContent;
  setTimeout(() => (words.textContent = before), 1500);
}

function showTrace(link) {
  const turn = link.closest("article");
  let place = one(".trace-here", turn);
  if (place) {
    place.hidden = !place.hidden;
  } else {
    place = document.createElement("div");
    place.className = "trace-here";
    turn.append(place);
    insertPart(place, link.href, "tree");
  }
  link.setAttribute("aria-expanded", String(!place.hidden));
}

// What was searched for, in the words of the page. Nothing is wrapped, so the text stays as it came.
function highlight() {
  const text = one("[data-searched]")?.dataset.searched;
  if (!text || !globalThis.CSS?.highlights) return;
  const words = [...text.matchAll(/"([^"]+)"?|[^\s"]+/g)].map((it) => (it[1] || it[0]).replace(/\*$/, "").toLowerCase());
  const found = new Highlight();
  for (const place of all(".bubble")) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && found.size < 2000) {
      const here = walker.currentNode.data.toLowerCase();
      for (const word of words.filter(Boolean)) {
        for (let at = here.indexOf(word); at >= 0 && found.size < 2000; at = here.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(walker.currentNode, Math.min(at, walker.currentNode.length));
          range.setEnd(walker.currentNode, Math.min(at + word.length, walker.currentNode.length));
          found.add(range);
        }
      }
    }
  }
  CSS.highlights.set("found", found);
}

function enhance(root) {
  for (const button of all("[data-copy]", root)) button.hidden = false;
  for (const link of all("[data-trace]", root)) {
    link.setAttribute("aria-expanded", "false");
  }
  for (const code of all(".code", root)) {
    if (one(".copy", code)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button quiet small copy";
    button.textContent = "Copy";
    button.onclick = () => copy(one("pre", code).textContent, button);
    code.append(button);
  }
  for (const details of all("details[data-fetch]", root)) {
    details.addEventListener("toggle", () => {
      if (!details.open || details.dataset.fetched) return;
      details.dataset.fetched = "1";
      const place = document.createElement("div");
      for (const child of [...details.children]) if (child.tagName !== "SUMMARY") child.remove();
      details.append(place);
      insertPart(place, details.dataset.fetch, "span");
    });
  }
  tellTimes(root);
}

function pictures() {
  document.addEventListener("pointerover", (event) => {
    const column = event.target.closest?.(".tiles .column");
    for (const axis of all(".axis.saying")) {
      axis.classList.remove("saying");
      [axis.firstElementChild.textContent, axis.lastElementChild.textContent] = axis.dataset.days.split("\n");
    }
    for (const near of all(".column.near")) near.classList.remove("near");
    if (!column) return;
    const axis = one(".axis", column.closest(".tile"));
    axis.dataset.days ||= [...axis.children].map((it) => it.textContent).join("\n");
    axis.classList.add("saying");
    axis.firstElementChild.textContent = one("title", column).textContent;
    axis.lastElementChild.textContent = "";
    for (const same of all(`.column[data-day="${column.dataset.day}"]`)) same.classList.add("near");
  });
  document.addEventListener("click", (event) => {
    const column = event.target.closest?.(".column");
    if (!column) return;
    const tiles = column.closest("[data-href]:not(.column)");
    if (column.dataset.href) location.hash = column.dataset.href;
    else if (tiles) location.href = tiles.dataset.href.replace("from=DAY", `from=${column.dataset.day}`).replace("to=DAY", `to=${column.dataset.day}`);
  });
}

function filters() {
  const form = one("[data-filters]");
  for (const each of document.forms) {
    if (each.method !== "get") continue;
    each.addEventListener("submit", () => {
      const empty = [...each.elements].filter((it) => it.name && it.value === "" && !it.disabled);
      for (const field of empty) field.disabled = true; // so that addresses stay short
      setTimeout(() => { for (const field of empty) field.disabled = false; });
    });
  }
  form?.addEventListener("change", (event) => {
    if (event.target.matches("select, input[type=checkbox], input[type=date]")) form.requestSubmit();
  });
}

// --- The keyboard ---------------------------------------------------------------------------------------------

function here() {
  const items = all("[data-item]");
  const focused = document.activeElement?.closest("[data-item]");
  if (focused) return [items, items.indexOf(focused)];
  const target = location.hash ? document.getElementById(location.hash.slice(1)) : null;
  const near = items.findIndex((it) => it.getBoundingClientRect().bottom > 90);
  return [items, target && items.includes(target) ? items.indexOf(target) : near - 1];
}

function step(by) {
  const [items, at] = here();
  const next = items[Math.min(items.length - 1, Math.max(0, at + by))];
  if (!next) return;
  (one("a.open", next) || next).focus({ preventScroll: true });
  next.scrollIntoView({ block: next.classList.contains("turn") ? "start" : "nearest" });
}

function nextFailed() {
  const [items, at] = here();
  const failed = items.map((it, place) => [place, it]).filter(([, it]) => it.classList.contains("failed"));
  const next = (failed.find(([place]) => place > at) || failed[0])?.[1];
  next?.scrollIntoView({ block: "start" });
  next?.focus({ preventScroll: true });
}

function inTurn(selector, act) {
  const [items, at] = here();
  const found = items[Math.max(0, at)] && all(selector, items[Math.max(0, at)]);
  if (found?.length) act(found);
}

const KEYS = {
  "/": () => { one("#q").focus(); one("#q").select(); },
  j: () => step(1),
  k: () => step(-1),
  "[": () => one(".beside [rel=prev]")?.click(),
  "]": () => one(".beside [rel=next]")?.click(),
  e: nextFailed,
  o: () => inTurn("details.tool", (found) => {
    const open = !found.every((it) => it.open);
    for (const details of found) details.open = open;
  }),
  t: () => inTurn("[data-trace]", ([link]) => showTrace(link)),
  c: () => inTurn("[data-copy]", ([button]) => button.click()),
  u: () => one("[data-up]")?.click(),
  "?": () => one("#help").showModal(),
};

function keyboard() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || one("dialog[open]")) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
  });
}

// --- Begin ----------------------------------------------------------------------------------------------------

document.documentElement.classList.add("js");
remember(document);
enhance(document);
highlight();
pictures();
filters();
keyboard();
one("[data-help]").hidden = false;
one("[data-help]").addEventListener("click", () => one("#help").showModal());
document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const button = event.target.closest?.("[data-copy]");
  if (button) copy(new URL(button.dataset.copy, location.href).href, button);
  const link = event.target.closest?.("[data-trace]");
  if (link) {
    event.preventDefault();
    showTrace(link);
  }
});
if (document.body.dataset.etag) watch();
