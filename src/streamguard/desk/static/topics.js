// @ts-check
// The records of a topic: one at the right as it is chosen, a search that goes on until it is stopped, and a live list.
import { $, $$, ask, failed, localTimes, root, toast } from "./desk.js";

const MOST_ROWS = 1000;
const POLL_MS = 1000;
const browse = $("#browse");
const topic = location.pathname.slice(`${root}/topics/`.length);
const body = /** @type {HTMLElement} */ ($("#message-rows tbody"));
const progress = /** @type {HTMLElement} */ ($("#progress"));
let searching = false;

/** @param {string} place partition/offset */
async function open(place) {
  try {
    const html = await (await ask(`/topics/${topic}/${place}`)).text();
    for (const row of $$("tr[aria-selected]", body)) row.removeAttribute("aria-selected");
    const row = $(`tr[data-record="${CSS.escape(place)}"]`, body);
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "nearest" });
    const panel = /** @type {HTMLElement} */ ($("#record"));
    panel.innerHTML = html;
    panel.scrollTop = 0;
    localTimes(panel);
    browse?.classList.add("reading");
    const address = new URL(location.href);
    address.searchParams.set("open", place.replace("/", ":"));
    history.replaceState(null, "", address);
  } catch (error) { failed(error); }
}

/** Rows of a fragment, and what it says of its step. @param {string} query */
async function fetchRows(query) {
  const html = await (await ask(`/topics/${topic}?${query}`)).text();
  const table = document.createElement("tbody");
  table.innerHTML = html;
  const said = /** @type {HTMLElement} */ ($("tr[data-progress]", table));
  said.remove();
  localTimes(table);
  return { rows: $$("tr", table), said };
}

/** @param {HTMLElement} said */
function show(said) {
  progress.replaceChildren(...(said.firstElementChild?.childNodes ?? []));
}

/** How many messages a step, or the steps before, looked at. @param {HTMLElement} said */
const examined = (said) => Number($("[data-examined]", said)?.dataset.examined ?? 0);

/** Go on step by step until something is found, all was looked at, or it is stopped. @param {HTMLAnchorElement} button */
async function searchOn(button) {
  searching = true;
  let query = new URL(button.href).searchParams, found = 0, looked = examined(progress);
  try {
    while (searching) {
      const stop = document.createElement("button");
      stop.type = "button"; stop.dataset.stop = ""; stop.textContent = "Stop";
      $("[data-on]", progress)?.replaceWith(stop);
      const { rows, said } = await fetchRows(query.toString());
      body.append(...rows);
      found += rows.length;
      show(said);
      looked += examined(progress);
      const sum = $("[data-examined]", progress);
      if (sum) { sum.textContent = looked.toLocaleString("en-US"); sum.dataset.examined = String(looked); }
      const on = /** @type {HTMLAnchorElement | null} */ ($("[data-on]", progress));
      if (!on) break;
      query = new URL(on.href).searchParams;
      // The address says where it goes on: a reload, or another day, begins there.
      history.replaceState(null, "", `${location.pathname}?${query}`);
      if (found) break;
    }
    if (!found && !$("[data-on]", progress)) toast("Looked at everything: nothing more fits.");
  } catch (error) { failed(error); } finally { searching = false; }
}

/* --- live ------------------------------------------------------------------------------------------------------------- */

const live = /** @type {HTMLButtonElement | null} */ ($("[data-live]"));
let timer = 0, behind = $("#messages")?.dataset.tail ?? "";

let arrived = 0, leftOut = 0;

/** A line above what a step says. @param {string} words */
function liveSaid(words) {
  const line = $("#live-said") ?? document.createElement("p");
  line.id = "live-said";
  line.textContent = words;
  progress.before(line);
}

async function poll() {
  timer = 0;
  const query = new URLSearchParams(new FormData(/** @type {HTMLFormElement} */ ($("#seek"))));
  query.delete("from");
  query.set("at", behind);
  query.set("live", "1");
  try {
    const { rows, said } = await fetchRows(query.toString());
    behind = said.dataset.tail ?? behind;
    for (const row of rows) { row.classList.add("fresh"); body.prepend(row); }
    const many = $$("tr", body);
    for (const row of many.slice(MOST_ROWS)) row.remove();
    arrived += rows.length;
    leftOut += Number(said.dataset.leftOut ?? 0);
    liveSaid(`Live: ${arrived.toLocaleString("en-US")} arrived${leftOut ? `, ${leftOut.toLocaleString("en-US")} came too fast and are not shown` : ""}.`);
  } catch (error) { failed(error); setLive(false); return; }
  if (live?.getAttribute("aria-pressed") === "true" && !document.hidden) timer = window.setTimeout(poll, POLL_MS);
}

/** @param {boolean} on */
function setLive(on) {
  if (!live) return;
  live.setAttribute("aria-pressed", String(on));
  live.textContent = on ? "Live: stop" : "Live";
  clearTimeout(timer);
  timer = 0;
  if (on) poll();
}

document.addEventListener("visibilitychange", () => { if (live?.getAttribute("aria-pressed") === "true" && !document.hidden && !timer) poll(); });

addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const row = /** @type {HTMLElement | null} */ (target.closest("tr[data-record]"));
  const on = /** @type {HTMLAnchorElement | null} */ (target.closest("[data-on]"));
  if (target.closest("[data-stop]")) searching = false;
  else if (target.closest("[data-live]")) setLive(live?.getAttribute("aria-pressed") !== "true");
  else if (on && !event.ctrlKey && !event.metaKey) { event.preventDefault(); searchOn(on); }
  else if (row && !event.ctrlKey && !event.metaKey) { event.preventDefault(); open(row.dataset.record ?? ""); }
});

addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select")) return;
  if (event.key === "Escape") browse?.classList.remove("reading");
  if (event.key !== "j" && event.key !== "k") return;
  const rows = $$("tr[data-record]", body);
  const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const next = rows[at + (event.key === "j" ? 1 : -1)];
  if (next) open(next.dataset.record ?? "");
});

// A search that found nothing yet goes on by itself; the button stops it.
const first = /** @type {HTMLAnchorElement | null} */ ($("[data-on]", progress));
if (first && !$("tr[data-record]", body) && ["key", "value", "header"].some((name) => new URLSearchParams(location.search).get(name))) searchOn(first);
