// @ts-check
// The script of every page: the live stream, the keyboard, times in the viewer's zone, and actions with their reason.
import { original } from "./original.js";

const meta = (/** @type {string} */ name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
const root = meta("root");
const me = meta("user");
const $ = (/** @type {string} */ selector, /** @type {ParentNode} */ within = document) => /** @type {HTMLElement | null} */ (within.querySelector(selector));
const $$ = (/** @type {string} */ selector, /** @type {ParentNode} */ within = document) => /** @type {HTMLElement[]} */ ([...within.querySelectorAll(selector)]);

/* --- times ------------------------------------------------------------------------------------------------------------ */

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const forms = {
  time: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  date: new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" }),
  clock: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" }),
  weekday: new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" }),
  full: new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" }),
};

/** @param {number} seconds */
const duration = (seconds) => {
  for (const [size, unit] of /** @type {[number, string][]} */ ([[86400, "d"], [3600, "h"], [60, "min"]])) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.round(seconds))} s`;
};

/** @param {ParentNode} within */
function localTimes(within = document) {
  for (const time of $$("time[datetime]", within)) {
    const at = new Date(time.getAttribute("datetime") ?? "");
    const form = time.dataset.form ?? "full";
    time.textContent = form === "age" ? duration((Date.now() - at.getTime()) / 1000) : forms[/** @type {keyof forms} */ (form)].format(at);
  }
  // Charts come in UTC: a time below one, or what was then as a title.
  for (const mark of /** @type {NodeListOf<SVGElement>} */ (within.querySelectorAll("svg [data-at]"))) {
    const { at = "", form = "", rest } = mark.dataset;
    const local = forms[/** @type {keyof forms} */ (form)].format(new Date(at));
    if (rest === undefined) { mark.textContent = local; continue; }
    const said = `${local} · ${rest} · ${at.slice(0, 16).replace("T", " ")} UTC`, title = mark.querySelector("title");
    if (title) title.textContent = said;
    if (mark.hasAttribute("aria-label")) mark.setAttribute("aria-label", said);
  }
}

function tick() {
  const clock = $("#clock");
  if (clock) { clock.textContent = forms.time.format(new Date()); clock.title = zone; }
  for (const time of $$('time[data-form="age"]')) {
    const age = duration((Date.now() - new Date(time.getAttribute("datetime") ?? "").getTime()) / 1000);
    if (time.textContent !== age) time.textContent = age;
  }
}

/* --- requests --------------------------------------------------------------------------------------------------------- */

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options = {}) {
  const headers = { "X-Requested-With": "desk", "X-CSRF-Token": meta("csrf-token"), ...(options.headers ?? {}) };
  const answer = await fetch(path.startsWith(root + "/") || path.startsWith("http") ? path : root + path, { ...options, headers, redirect: "follow" });
  if (answer.ok) return answer;
  const text = await answer.text();
  let sentence = text;
  try { sentence = JSON.parse(text).error ?? text; } catch { /* it is a sentence already */ }
  throw new Error(sentence.slice(0, 400) || `The desk answered ${answer.status}.`);
}

/** @param {string} path @param {Record<string, string | string[]>} fields */
async function post(path, fields) {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) body.append(name, one);
  return (await ask(path, { method: "POST", body })).json();
}

/** @param {string} text @param {{problem?: boolean, undo?: () => void}} [options] */
function toast(text, { problem = false, undo } = {}) {
  const box = document.createElement("div");
  box.className = problem ? "toast problem" : "toast";
  box.textContent = text;
  if (undo) {
    const button = document.createElement("button");
    button.textContent = "Undo";
    button.onclick = () => { box.remove(); undo(); };
    box.append(button);
  }
  $("#toasts")?.append(box);
  setTimeout(() => box.remove(), problem ? 12000 : 8000);
}

const failed = (/** @type {unknown} */ error) => toast(error instanceof Error ? error.message : String(error), { problem: true });

/** Ask for a text; null if the person cancels. @param {string} title @param {string} label @param {string} suggestions The id of their list. */
function question(title, label = "Reason", suggestions = "reasons") {
  const dialog = /** @type {HTMLDialogElement} */ ($("#ask"));
  const input = /** @type {HTMLInputElement} */ ($("input", dialog));
  /** @type {HTMLElement} */ ($("#ask-title")).textContent = title;
  /** @type {HTMLElement} */ ($("#ask-label")).textContent = label;
  input.value = "";
  input.setAttribute("list", suggestions);
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return /** @type {Promise<string | null>} */ (new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue === "ok" && input.value.trim() ? input.value.trim() : null);
  }));
}

/* --- the live stream -------------------------------------------------------------------------------------------------- */

/** @type {((message: any) => void)[]} */
const listeners = [];

function listen() {
  const script = $("script[data-worker]");
  const address = `${root}/live`;
  const after = meta("live-since");
  const receive = (/** @type {any} */ message) => { for (const listener of listeners) listener(message); };
  if (typeof SharedWorker === "function") {
    const worker = new SharedWorker(script?.dataset.worker ?? "", { name: "streamguard" });
    worker.port.onmessage = ({ data }) => receive(data);
    worker.port.postMessage({ address, after });
    addEventListener("pagehide", () => worker.port.postMessage({ close: true }));
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    return;
  }
  const source = new EventSource(`${address}?after=${encodeURIComponent(after)}`);
  source.onopen = () => receive({ kind: "state", live: true });
  source.onerror = () => receive({ kind: "state", live: false });
  source.addEventListener("alert", (event) => receive({ kind: "alerts", value: [JSON.parse(event.data)] }));
  for (const name of ["pulse", "reload"]) source.addEventListener(name, (event) => receive({ kind: name, value: JSON.parse(event.data) }));
}

/** Alerts that arrived with the last message: the newest of each, for what shows how they are now. @param {any[]} alerts */
const newest = (alerts) => [...new Map(alerts.map((alert) => [alert.alert_id, alert])).values()];

/** When the last pulse came. */
let pulsed = 0;

function showState(/** @type {any} */ message) {
  const state = $("#live-state");
  if (message.kind === "state" && state) {
    state.textContent = message.live ? "live" : "connecting…";
    state.classList.toggle("lost", !message.live);
  }
  if (message.kind === "reload") toast("Much has changed meanwhile: reload the page.", { undo: undefined });
  if (message.kind !== "pulse") return;
  pulsed = Date.now();
  tick();
  const figures = message.value;
  const health = $("#health"), states = JSON.stringify(figures.parts);
  if (health && health.dataset.states !== states) {
    health.dataset.states = states;
    health.replaceChildren(...figures.parts.map((/** @type {any} */ part) => {
      const item = document.createElement("li");
      item.className = part.state;
      item.title = part.says || "answers";
      item.textContent = part.name;
      if (part.says) { const says = document.createElement("span"); says.className = "says"; says.textContent = part.says; item.append(" ", says); }
      return item;
    }));
  }
  for (const place of $$("[data-figure]")) {
    const value = shown(figures[place.dataset.figure ?? ""], place.dataset.unit);
    if (place.textContent !== value) place.textContent = value;
  }
}

// Made once: `toLocaleString` makes one for each number.
const one = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 }), none = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const money = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2 });

/** @param {number | null} value @param {string} [unit] */
function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "share") return `${(100 * value).toFixed(2)} %`;
  if (unit === "ms") return value < 1000 ? `${Math.round(value)} ms` : value < 60000 ? `${(value / 1000).toFixed(1)} s` : duration(value / 1000);
  if (unit === "age") return duration(value);
  return (value < 100 ? one : none).format(value);
}

/* --- actions on alerts ------------------------------------------------------------------------------------------------ */

const panel = () => $("[data-panel]");

/** The last decision, for undo. @type {string[]} */
let decided = [];

const questions = {
  confirm: "Confirm: it is fraud", dismiss: "Dismiss: it is not fraud", reopen: "Take the decision back",
  snooze: "Put aside for an hour", escalate: "Ask a lead",
};

/** @param {string} action @param {string[]} ids */
async function act(action, ids) {
  if (!ids.length) return;
  const shownAlert = panel();
  const alone = ids.length === 1 && shownAlert?.dataset.panel === ids[0];
  /** @type {Record<string, string | string[]>} */
  const fields = { alert_id: ids };
  let path = "/alert/decide";
  if (action === "assign") {
    path = "/alert/assign";
    fields.assignee = alone && shownAlert?.dataset.assignee === me ? "" : me;
  } else if (action === "note") {
    path = "/alert/note";
    const note = await question("Write a note", "Note", "");
    if (note === null) return;
    fields.note = note;
  } else if (action === "duplicate") {
    const found = await original(ids).catch(failed);
    if (!found) return;
    Object.assign(fields, { verdict: action, of: found.of, reason: found.reason });
    if (alone) fields.seen = shownAlert?.dataset.changed ?? "";
  } else {
    const reason = await question(`${questions[/** @type {keyof questions} */ (action)]}${ids.length > 1 ? ` (${ids.length} alerts)` : ""}`);
    if (reason === null) return;
    fields.reason = reason;
    if (action === "snooze") { path = "/alert/snooze"; fields.minutes = "60"; }
    else if (action === "escalate") path = "/alert/escalate";
    else { fields.verdict = action; if (alone && action !== "reopen") fields.seen = shownAlert?.dataset.changed ?? ""; }
  }
  try {
    const done = await post(path, fields);
    decided = done.undo ? ids : decided;
    toast(done.said, { undo: done.undo ? () => act(done.undo, ids) : undefined });
    if (alone) await openPanel(ids[0]);
    if (["confirm", "dismiss", "duplicate", "snooze"].includes(action) && alone && rowOf(ids[0])) move(1);
  } catch (error) { failed(error); if (alone) await openPanel(ids[0]); }
}

/** @param {HTMLElement} button */
async function listValue(button) {
  const id = panel()?.dataset.panel ?? "";
  const { list = "", kind = "", value = "" } = button.dataset;
  const reason = await question(`${list === "block" ? "Block" : "Allow"} ${kind} ${value}`);
  if (reason === null) return;
  const fields = { alert_id: id, list, kind, value, reason };
  try {
    const done = await post("/alert/list", fields);
    toast(done.said, { undo: () => post("/alert/list", { ...fields, undo: "1" }).then((again) => toast(again.said), failed) });
  } catch (error) { failed(error); }
}

/** Devices and addresses, for whom they are hidden: with a reason, on this page only. */
async function reveal() {
  const id = panel()?.dataset.panel ?? "", place = $("#panel");
  const reason = await question("Why do you need the devices and addresses?", "Reason", "reveal-reasons");
  if (reason === null || !place) return;
  try { place.innerHTML = await (await ask("/alert/reveal", { method: "POST", body: new URLSearchParams({ alert_id: id, reason }) })).text(); localTimes(place); }
  catch (error) { failed(error); }
}

async function verify() {
  const place = $("#verify");
  const id = panel()?.dataset.panel;
  if (!place || !id) return;
  place.textContent = "Reading the topic…";
  try { place.innerHTML = await (await ask(`/verify/${encodeURIComponent(id)}`)).text(); localTimes(place); }
  catch (error) { place.textContent = ""; failed(error); }
}

/* --- the queue -------------------------------------------------------------------------------------------------------- */

const queue = $("#queue");
const rowOf = (/** @type {string} */ id) => $(`tr[data-alert="${CSS.escape(id)}"]`);
const rows = () => $$("#queue-rows tbody tr");
const selected = () => $('#queue-rows tr[aria-selected="true"]');
let opening = 0;

/** @param {string} id */
async function openPanel(id) {
  const mine = ++opening;
  try {
    const html = await (await ask(`/alerts/${encodeURIComponent(id)}`)).text();
    if (mine !== opening) return;
    const place = $("#panel");
    if (place) { const top = panel()?.dataset.panel === id ? place.scrollTop : 0; place.innerHTML = html; place.scrollTop = top; localTimes(place); }
  } catch (error) { failed(error); }
}

/** @param {HTMLElement} row */
function select(row) {
  for (const other of rows()) other.removeAttribute("aria-selected");
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
  queue?.classList.add("reading");
  const address = new URL(location.href);
  address.searchParams.set("selected", row.dataset.alert ?? "");
  history.replaceState(null, "", address);
  return openPanel(row.dataset.alert ?? "");
}

/** @param {number} step */
function move(step) {
  const all = rows();
  const at = all.findIndex((row) => row.getAttribute("aria-selected") === "true");
  let next = at + step;
  while (all[next]?.classList.contains("gone")) next += step;
  if (all[next]) select(all[next]);
}

const checked = () => $$("#queue-rows input:checked").map((box) => box.closest("tr")?.dataset.alert ?? "");
const targets = () => { const many = checked(); return many.length ? many : [panel()?.dataset.panel ?? ""].filter(Boolean); };

function showBulk() {
  const bulk = $("#bulk");
  if (!bulk) return;
  const many = checked();
  bulk.hidden = !many.length;
  /** @type {HTMLElement} */ ($("b", bulk)).textContent = String(many.length);
}

/** Alerts that arrived since the list was drawn. @type {Map<string, any>} */
const fresh = new Map();
let refreshing = 0;

async function refresh() {
  const query = new URLSearchParams(location.search);
  const html = await (await ask(`/queue?${query}`)).text();
  const place = $("#rows");
  if (!place) return;
  const before = new Set(rows().map((row) => row.dataset.alert));
  const top = place.scrollTop;
  place.innerHTML = html;
  place.scrollTop = top;
  localTimes(place);
  for (const row of rows()) if (!before.has(row.dataset.alert)) mark(row);
  fresh.clear();
  showFresh();
  const count = $("#queue-count"), table = $("#queue-rows");
  if (count && table) count.textContent = Number(table.dataset.count).toLocaleString("en-US");
}

function showFresh() {
  const button = $("#new-rows");
  if (!button) return;
  button.hidden = !fresh.size;
  button.textContent = `${fresh.size} new alert${fresh.size === 1 ? "" : "s"} · show .`;
}

/** Whether an alert of the stream may be in this list: what the server would say of the filters that an event has. @param {any} alert */
function fits(alert) {
  const query = new URLSearchParams(location.search);
  const status = query.get("status") || "open";
  if (status !== "all" && alert.status !== status) return false;
  for (const [name, field] of [["rule", "rule"], ["account", "account_id"], ["outcome", "outcome"]]) if (query.get(name) && query.get(name) !== alert[field]) return false;
  if (query.get("assignee") === "nobody" ? alert.assignee : query.get("assignee") && query.get("assignee") !== alert.assignee) return false;
  return !(Number(query.get("score") || 0) > (alert.score ?? 0)) && !(Number(query.get("amount") || 0) > Number(alert.amount ?? 0));
}

/** The alert that is open follows, unless somebody is writing about it. @param {any} alert */
function panelAlert(alert) {
  const open = panel();
  if (open?.dataset.panel === alert.alert_id && open?.dataset.changed !== alert.changed_at.replace("Z", "+00:00") && !$("dialog[open]")) openPanel(alert.alert_id);
}

/** @param {any} alert */
function queueAlert(alert) {
  const row = rowOf(alert.alert_id);
  if (row) {
    row.classList.toggle("gone", !fits(alert));
    const score = $(".score", row);
    if (score && alert.score !== null) score.textContent = alert.score;
    const cells = $$("td", row);
    if (cells[5]) cells[5].textContent = alert.tx_count;
    if (cells[7]) cells[7].textContent = alert.assignee ?? "";
    return;
  }
  if (!fits(alert)) return;
  fresh.set(alert.alert_id, alert);
  // An empty list, or one at its top that nobody works in, takes new rows at once.
  if (!rows().length && !refreshing) { refreshing = window.setTimeout(() => { refreshing = 0; refresh().catch(failed); }, 100); return; }
  showFresh();
}

/* --- Now -------------------------------------------------------------------------------------------------------------- */

const TICKER_ROWS = 12;

/** @param {any[]} alerts */
function tickerAlerts(alerts) {
  const list = $("#ticker tbody");
  if (!list) return;
  unmark();
  // Of many at once those that would leave at once are not drawn.
  for (const alert of newest(alerts).slice(-TICKER_ROWS)) ticker(list, alert);
  const stamp = /** @type {any} */ (window), at = Date.now();
  for (const alert of alerts) stamp.deskArrivals?.push([alert.alert_id, alert.detected_at, at]);
}

/** @param {HTMLElement} list @param {any} alert */
function ticker(list, alert) {
  const id = `${root}/alerts/${encodeURIComponent(alert.alert_id)}`;
  let row = $(`tr[data-alert="${CSS.escape(alert.alert_id)}"]`, list);
  if (!row) {
    row = document.createElement("tr");
    row.dataset.alert = alert.alert_id;
    mark(row);
    list.prepend(row);
    while (list.children.length > TICKER_ROWS) list.lastElementChild?.remove();
  }
  const cell = (/** @type {string} */ text, kind = "") => { const td = document.createElement("td"); td.className = kind; td.textContent = text; return td; };
  const score = document.createElement("b");
  score.className = `score ${{ block: "block", review: "review", dismiss: "sound" }[/** @type {string} */ (alert.outcome)] ?? "none"}`;
  score.textContent = alert.score ?? "…";
  const scoreCell = cell(""); scoreCell.append(score);
  const link = document.createElement("a"); link.href = id; link.textContent = alert.rule.replaceAll("_", " ").toLowerCase().replace(/^./, (/** @type {string} */ c) => c.toUpperCase());
  const linkCell = cell(""); linkCell.append(link);
  row.replaceChildren(cell(forms.time.format(new Date(alert.detected_at)), "mono"), scoreCell, linkCell, cell(alert.amount === null ? "–" : money.format(Number(alert.amount)), "n"));
}

/** Rows that are marked as new, and since when. @type {Map<HTMLElement, number>} */
const marked = new Map();
const MARKED_MS = 1200;
let unmarking = 0;

/** Mark a new row for a second: a mark is painted twice, an animation sixty times a second in every tab. @param {HTMLElement} row */
function mark(row) {
  row.classList.add("fresh");
  marked.set(row, Date.now());
  unmarking ||= window.setTimeout(() => { unmarking = 0; unmark(); }, MARKED_MS);
}

/** Take the mark from rows that have had it for a second: all of them at once, where other rows come if possible, for each time
 * the page is painted. */
function unmark() {
  const before = Date.now() - MARKED_MS;
  for (const [row, since] of marked) if (since <= before) { row.classList.remove("fresh"); marked.delete(row); }
  if (marked.size) unmarking ||= window.setTimeout(() => { unmarking = 0; unmark(); }, MARKED_MS / 2);
}

/** Charts and tables of the server's figures, each with a name. */
const FIGURES = '[data-live]:not([data-live=""])';

/** Draw parts of the page again, while somebody looks. @param {HTMLElement[]} parts Each has an id, or a name in `data-live`. */
async function redraw(parts) {
  if (document.hidden || !parts.length || $("dialog[open]")) return;
  const answer = await fetch(location.href);
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const place of parts) {
    const drawn = $(place.id ? `#${place.id}` : `[data-live="${place.dataset.live}"]`, page);
    // What somebody stands on with the keyboard stays.
    if (!drawn || place.contains(document.activeElement)) continue;
    localTimes(drawn);
    if (drawn.dataset.soon === undefined) delete place.dataset.soon;
    if (drawn.innerHTML !== place.innerHTML) place.replaceChildren(...drawn.childNodes);
  }
}

/* --- keys and clicks -------------------------------------------------------------------------------------------------- */

let going = false;
const places = { n: "/", q: "/queue", a: "/accounts", l: "/lists", r: "/rules", t: "/topics", s: "/system" };

addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]")) { if (event.key === "Escape") target.blur(); return; }
  const key = event.key;
  if (going) { going = false; const place = places[/** @type {keyof places} */ (key)]; if (place) location.href = root + place; return; }
  const act1 = { c: "confirm", d: "dismiss", p: "duplicate", a: "assign", n: "note", s: "snooze", e: "escalate" }[key];
  if (key === "g") { going = true; setTimeout(() => { going = false; }, 1500); }
  else if (key === "/") { event.preventDefault(); $("#search")?.focus(); }
  else if (key === "?") /** @type {HTMLDialogElement} */ ($("#keys")).showModal();
  else if ((key === "j" || key === "k") && queue) move(key === "j" ? 1 : -1);
  else if (key === "o" && panel()) $("[data-open]")?.click();
  else if (key === "u") nextUnassigned();
  else if (key === "v" && panel()) verify();
  else if (key === "." && queue) refresh().catch(failed);
  else if (key === "z" && (decided.length || panel()?.dataset.status !== "open")) { const ids = decided.length ? decided : targets(); decided = []; act("reopen", ids); }
  else if (key === "x") { const box = /** @type {HTMLInputElement | null} */ (selected()?.querySelector("input")); if (box) { box.checked = !box.checked; showBulk(); } }
  else if (act1 && panel() && $(".actions")) { event.preventDefault(); act(act1, targets()); }
  else if (key === "Escape") queue?.classList.remove("reading");
});

async function nextUnassigned() {
  try {
    const { alert_id: id } = await (await ask("/queue/next")).json();
    if (!id) { toast("Every open alert is assigned."); return; }
    const row = rowOf(id);
    if (row) select(row); else location.href = `${root}/queue?assignee=nobody&selected=${encodeURIComponent(id)}`;
  } catch (error) { failed(error); }
}

addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const on = (/** @type {string} */ selector) => /** @type {HTMLElement | null} */ (target.closest(selector));
  let found;
  if ((found = on("[data-act]"))) act(found.dataset.act ?? "", [panel()?.dataset.panel ?? ""]);
  else if ((found = on("[data-list]"))) listValue(found);
  else if (on("[data-verify]")) verify();
  else if (on("[data-reveal]")) reveal();
  else if (on("[data-next]")) nextUnassigned();
  else if (on("[data-keys]")) /** @type {HTMLDialogElement} */ ($("#keys")).showModal();
  else if ((found = on("[data-close]"))) found.closest("dialog")?.close();
  else if (on("#new-rows")) refresh().catch(failed);
  else if ((found = on("[data-bulk]"))) {
    if (found.dataset.bulk === "none") { for (const box of $$("#queue-rows input:checked")) /** @type {HTMLInputElement} */ (box).checked = false; showBulk(); }
    else act(found.dataset.bulk ?? "", checked()).then(() => refresh().then(showBulk));
  }
  else if (on("[data-theme-toggle]")) {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    // A cookie, so that the next page comes in it.
    document.cookie = `streamguard-theme=${dark ? "light" : "dark"}; path=${root}/; max-age=31536000; samesite=strict`;
  }
  else if (on("#queue-rows input")) showBulk();
  else if ((found = on("#queue-rows tbody tr")) && !event.ctrlKey && !event.metaKey) { event.preventDefault(); select(found); }
  for (const menu of $$("details.drop[open], details.me[open]")) if (!menu.contains(target)) menu.removeAttribute("open");
});

addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.matches("[data-reason]")) return;
  // A form that needs a reason asks for it, unless it has a field of its own.
  if (form.elements.namedItem("reason")) return;
  event.preventDefault();
  const reason = await question(form.dataset.reason || "Why?", "Reason", form.dataset.suggestions);
  if (reason === null) return;
  const input = document.createElement("input");
  input.type = "hidden"; input.name = "reason"; input.value = reason;
  form.append(input);
  form.submit();
});

/* --- begin ------------------------------------------------------------------------------------------------------------ */

localTimes();
tick();
// With the pulse, so that the page is painted once for both; without one, by itself.
setInterval(() => { if (Date.now() - pulsed > 1500) tick(); }, 1000);
const away = () => { /* the desk is away: the live stream says so */ };
setInterval(() => redraw($$(FIGURES)).catch(away), 10_000);
// What is being computed is asked for again soon.
setInterval(() => redraw($$("[data-soon]")).catch(away), 3_000);
listeners.push(showState, (message) => {
  if (message.kind !== "alerts") return;
  for (const alert of newest(message.value)) { panelAlert(alert); if (queue) queueAlert(alert); }
  tickerAlerts(message.value);
});
listen();
export { $, $$, ask, post, toast, failed, question, listeners, localTimes, root };
