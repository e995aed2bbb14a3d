// @ts-check
// The SQL page: an editor with a highlighted layer and completion, the tree, and answers that stream until they are stopped.
import { $, $$, ask, failed, question, root } from "./desk.js";

const KEYWORDS = ("ADD ALL ALTER AND ARRAY AS ASSERT BETWEEN BIGINT BOOLEAN BY BYTES CASE CAST CHANGES COLUMN CONNECTORS CREATE DATE DAY DAYS DECIMAL DEFINE DELETE DESCRIBE DISTINCT DOUBLE DROP ELSE EMIT END EXISTS EXPLAIN EXTENDED FALSE FINAL FROM FULL FUNCTION FUNCTIONS GRACE GROUP HAVING HOPPING HOUR HOURS IF IN INNER INSERT INT INTEGER INTO IS JOIN KEY LATEST_BY_OFFSET LEFT LIKE LIMIT LIST MAP MINUTE MINUTES NOT NULL ON OR OUTER PARTITION PAUSE PERIOD PRIMARY PRINT PROPERTIES QUERIES QUERY RENAME REPLACE RESUME RIGHT SECOND SECONDS SELECT SESSION SET SHOW SIZE SOURCE STREAM STREAMS STRING STRUCT TABLE TABLES TERMINATE THEN TIME TIMESTAMP TOPIC TOPICS TRUE TUMBLING TYPE TYPES UNDEFINE UNSET VALUES VARCHAR WHEN WHERE WINDOW WITH WITHIN").split(" ");
const reserved = new Set(KEYWORDS);
const TOKEN = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|(`[^`]*`?|"[^"]*"?)|(\b\d+(?:\.\d+)?\b)|([A-Za-z_@][A-Za-z0-9_]*)|(\s+)|([\s\S])/g;
const HISTORY = `sql-history:${document.querySelector('meta[name="user"]')?.getAttribute("content") ?? ""}`;
const MOST_HISTORY = 100;

const text = /** @type {HTMLTextAreaElement} */ ($("#text"));
const layer = /** @type {HTMLElement} */ ($("#layer"));
const output = /** @type {HTMLElement} */ ($("#output"));
const problem = /** @type {HTMLElement} */ ($("#problem"));
const state = /** @type {HTMLElement} */ ($("#state"));
const completion = /** @type {HTMLElement} */ ($("#completion"));

/** @typedef {{name: string, topic?: string, state?: string, columns?: {name: string, type: string, key: boolean}[]}} Named */
/** @type {{streams: Named[], tables: Named[], queries: Named[], topics: Named[], functions: Named[]}} */
let names = { streams: [], tables: [], queries: [], topics: [], functions: [] };
/** @type {AbortController | null} */
let running = null;
/** Where the text is refused. @type {{line: number, column: number} | null} */
let wrong = null;

/** @param {string} kind @param {string} [words] @param {string} [classes] */
function element(kind, words = "", classes = "") {
  const made = document.createElement(kind);
  made.textContent = words;
  if (classes) made.className = classes;
  return made;
}

/* --- the highlighted layer -------------------------------------------------------------------------------------------- */

/** @param {number} line @param {number} column */
function offsetOf(line, column) {
  const lines = text.value.split("\n");
  return lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0) + Math.max(0, column - 1);
}

function draw() {
  const bad = wrong ? Math.min(offsetOf(wrong.line, wrong.column), Math.max(0, text.value.trimEnd().length - 1)) : -1;
  const pieces = [];
  for (const found of text.value.matchAll(TOKEN)) {
    const kind = found[1] ? "comment" : found[2] ? "string" : found[3] ? "name" : found[4] ? "number" : found[5] && reserved.has(found[5].toUpperCase()) ? "keyword" : "";
    const at = found.index ?? 0;
    const hit = bad >= at && bad < at + found[0].length;
    if (kind || hit) pieces.push(element(hit ? "u" : "span", found[0], `${kind}${hit ? " wrong" : ""}`));
    else pieces.push(document.createTextNode(found[0]));
  }
  layer.replaceChildren(...pieces, document.createTextNode("\n"));
  layer.scrollTop = text.scrollTop;
  layer.scrollLeft = text.scrollLeft;
}

/** @param {string} message @param {number | null} line @param {number | null} column */
function refuse(message, line, column) {
  problem.textContent = message;
  problem.hidden = false;
  wrong = line && column ? { line, column } : null;
  draw();
  if (wrong) {
    text.focus();
    const at = Math.min(offsetOf(wrong.line, wrong.column), text.value.length);
    text.setSelectionRange(at, at);
  }
}

/* --- completion ------------------------------------------------------------------------------------------------------- */

/** Offers for the word before the caret: columns of sources that the text names, sources, topics, functions, keywords. @param {string} word */
function offers(word) {
  const upper = word.toUpperCase();
  const inText = new Set((text.value.match(/[A-Za-z_][A-Za-z0-9_]*/g) ?? []).map((one) => one.toUpperCase()));
  const sources = [...names.streams, ...names.tables];
  const columns = sources.filter((source) => inText.has(source.name.toUpperCase())).flatMap((source) => (source.columns ?? []).map((column) => [column.name, column.type]));
  const all = [...columns, ...names.streams.map((s) => [s.name, "stream"]), ...names.tables.map((s) => [s.name, "table"]), ...names.topics.map((s) => [s.name, "topic"]), ...names.queries.map((s) => [s.name, "query"]), ...names.functions.map((s) => [`${s.name}(`, "function"]), ...KEYWORDS.map((s) => [s, ""])];
  const seen = new Set();
  return all.filter(([name]) => name.toUpperCase().startsWith(upper) && name.toUpperCase() !== upper && !seen.has(name) && seen.add(name)).slice(0, 12);
}

const wordBefore = () => /[A-Za-z_][A-Za-z0-9_]*$/.exec(text.value.slice(0, text.selectionStart))?.[0] ?? "";

function closeCompletion() {
  completion.hidden = true;
  text.removeAttribute("aria-activedescendant");
}

/** @param {boolean} asked */
function complete(asked) {
  const word = wordBefore();
  const found = word.length >= (asked ? 1 : 2) && text.selectionStart === text.selectionEnd ? offers(word) : [];
  completion.hidden = !found.length;
  if (!found.length) return closeCompletion();
  completion.replaceChildren(...found.map(([name, kind], n) => {
    const item = element("li");
    item.id = `offer-${n}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(n === 0));
    item.dataset.offer = name;
    item.append(element("b", word === word.toLowerCase() && name === name.toUpperCase() ? name.toLowerCase() : name), element("span", kind, "muted"));
    return item;
  }));
  text.setAttribute("aria-activedescendant", "offer-0");
  const before = text.value.slice(0, text.selectionStart).split("\n");
  // The layer's line is 20 px, a character of the monospaced 13 px font 7.8: the list opens below the word.
  completion.style.setProperty("top", `${before.length * 20 + 12 - text.scrollTop}px`);
  completion.style.setProperty("left", `${Math.max(8, (before.at(-1)?.length ?? 0) * 7.83 - word.length * 7.83 + 10 - text.scrollLeft)}px`);
}

/** @param {number} step */
function moveOffer(step) {
  const items = $$("li", completion);
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  const next = items[(at + step + items.length) % items.length];
  items[at]?.setAttribute("aria-selected", "false");
  next.setAttribute("aria-selected", "true");
  next.scrollIntoView({ block: "nearest" });
  text.setAttribute("aria-activedescendant", next.id);
}

/** @param {HTMLElement | null} item */
function accept(item) {
  const offer = $("b", item ?? completion)?.textContent ?? "";
  insert(offer, wordBefore().length);
  closeCompletion();
}

/** Put words at the caret, in place of the characters before it. @param {string} words @param {number} [replaced] */
function insert(words, replaced = 0) {
  text.focus();
  text.setRangeText(words, text.selectionStart - replaced, text.selectionEnd, "end");
  changed();
}

function changed() {
  wrong = null;
  problem.hidden = true;
  draw();
  sessionStorage.setItem("sql-text", text.value);
}

/* --- the tree --------------------------------------------------------------------------------------------------------- */

async function loadNames() {
  const tree = /** @type {HTMLElement} */ ($("#tree"));
  try {
    names = await (await ask("/sql/names")).json();
    drawTree();
  } catch (error) { tree.replaceChildren(element("p", error instanceof Error ? error.message : String(error), "problem pad")); }
}

function drawTree() {
  const tree = /** @type {HTMLElement} */ ($("#tree"));
  const filter = /** @type {HTMLInputElement} */ ($("#tree-filter")).value.toUpperCase();
  const groups = /** @type {[string, Named[]][]} */ ([["Streams", names.streams], ["Tables", names.tables], ["Queries", names.queries], ["Topics", names.topics]]);
  tree.replaceChildren(...groups.map(([title, all]) => {
    const shown = all.filter((one) => one.name.toUpperCase().includes(filter));
    const group = element("details");
    group.toggleAttribute("open", Boolean(filter) || title === "Streams" || title === "Tables");
    const head = element("summary", `${title} `);
    head.append(element("span", filter ? `${shown.length} of ${all.length}` : String(all.length), "count"));
    const list = element("ul");
    list.append(...shown.map(leaf(title)));
    group.append(head, list);
    return group;
  }));
}

/** @param {string} title */
const leaf = (title) => (/** @type {Named} */ one) => {
  const item = element("li");
  const button = element("button", one.name, "leaf");
  button.setAttribute("type", "button");
  button.dataset.insert = one.name;
  if (one.state) button.title = one.state;
  const more = element("button", { Streams: "describe", Tables: "describe", Queries: "explain", Topics: "look" }[title] ?? "", "more");
  more.setAttribute("type", "button");
  more.dataset.more = { Streams: `DESCRIBE ${quoted(one.name)} EXTENDED;`, Tables: `DESCRIBE ${quoted(one.name)} EXTENDED;`, Queries: `EXPLAIN ${quoted(one.name)};`, Topics: `/topics/${encodeURIComponent(one.name)}` }[title];
  item.append(button, more);
  if (one.columns?.length) {
    const columns = element("details", "", "columns");
    columns.append(element("summary", `${one.columns.length} columns`));
    for (const column of one.columns) {
      const line = element("button", "", "leaf");
      line.setAttribute("type", "button");
      line.dataset.insert = column.name;
      line.append(element("span", column.name), element("i", `${column.type}${column.key ? " key" : ""}`, "muted"));
      columns.append(line);
    }
    item.append(columns);
  }
  return item;
};

/** A name as SQL reads it. @param {string} name */
const quoted = (name) => (/^[A-Z_][A-Z0-9_]*$/.test(name) ? name : `\`${name}\``);

/* --- running ---------------------------------------------------------------------------------------------------------- */

/** Statements of a text, cut as the server cuts them. @param {string} sql */
function statements(sql) {
  const found = [""];
  for (const token of sql.matchAll(TOKEN)) { found[found.length - 1] += token[0]; if (token[0] === ";") found.push(""); }
  return found.filter((one) => one.trim());
}

/** What is run: the selected text, else all. */
function chosen() {
  const { selectionStart: start, selectionEnd: end, value } = text;
  // A part is sent with the lines before it, so that places in messages are those of the editor.
  if (start === end) return value;
  return value.slice(0, start).replace(/[^\n]/g, " ") + value.slice(start, end);
}

/** @param {string} sql */
async function run(sql) {
  if (running || !sql.trim()) return;
  const body = new URLSearchParams({ sql, limit: /** @type {HTMLSelectElement} */ ($("#limit")).value, begin: /** @type {HTMLSelectElement} */ ($("#begin")).value });
  remember(sql);
  problem.hidden = true;
  wrong = null;
  draw();
  output.replaceChildren();
  running = new AbortController();
  setRunning(true);
  const began = performance.now();
  const view = new View();
  try {
    const send = () => fetch(`${root}/sql/run`, { method: "POST", body, signal: running?.signal, headers: { "X-Requested-With": "desk", "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]')?.getAttribute("content") ?? "" } });
    let answer = await send();
    if (answer.status === 409) {
      const said = await answer.clone().json();
      const reason = said.needs === "reason" ? await question("This changes the server", "Reason", false) : null;
      if (said.needs === "reason" && reason === null) { state.textContent = "not run"; return; }
      if (reason) { body.set("reason", reason); answer = await send(); }
    }
    if (!answer.ok || !answer.body) {
      const said = await answer.json().catch(() => ({ error: `The desk answered ${answer.status}.` }));
      state.textContent = "refused";
      refuse(said.error, said.line, said.column);
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line) view.add(JSON.parse(line));
      state.textContent = view.rows ? `${view.rows.toLocaleString("en-US")} rows` : "running";
    }
    state.textContent = `${view.rows ? `${view.rows.toLocaleString("en-US")} rows in ` : ""}${((performance.now() - began) / 1000).toFixed(1)} s`;
    if (view.changed) loadNames();
  } catch (error) {
    if (running?.signal.aborted) state.textContent = `stopped after ${view.rows.toLocaleString("en-US")} rows`;
    else failed(error);
  } finally {
    running = null;
    setRunning(false);
  }
}

function stop() { running?.abort(); }

/** @param {boolean} on */
function setRunning(on) {
  /** @type {HTMLElement} */ ($("[data-run]")).toggleAttribute("disabled", on);
  /** @type {HTMLElement} */ ($("[data-stop]")).hidden = !on;
  if (on) state.textContent = "running";
}

/** Draws events as they come. */
class View {
  constructor() {
    this.rows = 0;
    this.changed = false;
    /** @type {HTMLElement | null} */
    this.body = null;
    /** @type {HTMLElement | null} */
    this.lines = null;
  }

  /** @param {any} event */
  add(event) {
    if ("statement" in event) {
      this.body = this.lines = null;
      this.changed ||= !["SHOW", "LIST", "DESCRIBE", "EXPLAIN", "SELECT", "PRINT"].includes(event.kind);
      output.append(element("p", event.statement.trim(), "statement mono"));
    } else if ("columns" in event) this.body = this.table("", event.columns);
    else if ("row" in event) {
      this.rows += 1;
      const line = element("tr", "", event.gone ? "gone" : "");
      line.append(...event.row.map((/** @type {string} */ cell) => element("td", cell, /^-?\d+(\.\d+)?$/.test(cell) ? "n" : cell === "null" ? "muted" : "")));
      const end = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
      this.body?.append(line);
      if (end) output.scrollTop = output.scrollHeight;
    } else if ("text" in event) {
      if (event.is_row) this.rows += 1;
      if (!this.lines) { this.lines = element("pre", "", "raw"); output.append(this.lines); }
      this.lines.append(`${event.text}\n`);
    } else if ("block" in event) this.block(event.block);
    else if ("said" in event) output.append(element("p", event.said, "muted"));
    else if ("error" in event) refuse(event.error, event.line, event.column);
  }

  /** @param {string} title @param {string[]} columns */
  table(title, columns) {
    if (title) output.append(element("h3", title));
    const wide = element("div", "", "wide"), table = element("table", "", "rows"), head = element("thead"), line = element("tr"), body = element("tbody");
    for (const name of columns) { const cell = element("th", name); cell.setAttribute("scope", "col"); line.append(cell); }
    head.append(line);
    table.append(head, body);
    wide.append(table);
    output.append(wide);
    return body;
  }

  /** @param {any} block */
  block(block) {
    if (!block.columns.length) {
      if (block.title) output.append(element("h3", block.title));
      output.append(element("pre", block.text, "raw"));
      return;
    }
    const body = this.table(`${block.title}${block.rows.length > 1 ? ` · ${block.rows.length}` : ""}`, block.columns);
    for (const row of block.rows) { const line = element("tr"); line.append(...row.map((/** @type {string} */ cell) => { const td = element("td", cell, "cell"); td.title = cell.length > 60 ? cell : ""; return td; })); body.append(line); }
    if (!block.rows.length) body.append(element("tr"));
  }
}

/* --- history ---------------------------------------------------------------------------------------------------------- */

const remembered = () => { try { return /** @type {string[]} */ (JSON.parse(localStorage.getItem(HISTORY) ?? "[]")); } catch { return []; } };

/** @param {string} sql */
function remember(sql) {
  const all = [sql.trim(), ...remembered().filter((one) => one !== sql.trim())].slice(0, MOST_HISTORY);
  localStorage.setItem(HISTORY, JSON.stringify(all));
  drawHistory();
}

function drawHistory() {
  const all = remembered();
  const list = /** @type {HTMLElement} */ ($("#history"));
  list.replaceChildren(...(all.length ? all.map((sql) => { const item = element("button", sql, "mono"); item.setAttribute("type", "button"); item.dataset.history = sql; return item; }) : [element("p", "Nothing yet.", "muted")]));
  if (all.length) { const clear = element("button", "Forget all"); clear.setAttribute("type", "button"); clear.dataset.forget = ""; list.append(clear); }
}

/* --- keys and clicks -------------------------------------------------------------------------------------------------- */

text.addEventListener("input", () => { changed(); complete(false); });
text.addEventListener("scroll", () => { layer.scrollTop = text.scrollTop; layer.scrollLeft = text.scrollLeft; closeCompletion(); });
text.addEventListener("blur", () => setTimeout(closeCompletion, 150));
text.addEventListener("keydown", (event) => {
  const open = !completion.hidden;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); closeCompletion(); run(chosen()); }
  else if (event.key === " " && event.ctrlKey) { event.preventDefault(); complete(true); }
  else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) { event.preventDefault(); moveOffer(event.key === "ArrowDown" ? 1 : -1); }
  else if (open && (event.key === "Tab" || event.key === "Enter")) { event.preventDefault(); accept($('li[aria-selected="true"]', completion)); }
  else if (event.key === "Escape") { event.stopPropagation(); if (open) closeCompletion(); else stop(); }
});
addEventListener("keydown", (event) => { if (event.key === "Escape" && running && !$("dialog[open]")) stop(); });
$("#tree-filter")?.addEventListener("input", drawTree);
completion.addEventListener("mousedown", (event) => { const item = /** @type {HTMLElement} */ (event.target).closest("li"); if (item) { event.preventDefault(); accept(item); } });

addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const on = (/** @type {string} */ selector) => /** @type {HTMLElement | null} */ (target.closest(selector));
  let found;
  if (on("[data-run]")) run(chosen());
  else if (on("[data-stop]")) stop();
  else if (on("[data-explain]")) run(`EXPLAIN ${(statements(chosen())[0] ?? "").trim().replace(/^EXPLAIN\s+/i, "")}`);
  else if (on("[data-names]")) loadNames();
  else if (on("[data-forget]")) { localStorage.removeItem(HISTORY); drawHistory(); }
  else if ((found = on("[data-insert]"))) insert(quoted(found.dataset.insert ?? ""));
  else if ((found = on("[data-more]"))) { const more = found.dataset.more ?? ""; if (more.startsWith("/")) location.href = root + more; else run(more); }
  else if ((found = on("[data-history]"))) { text.value = found.dataset.history ?? ""; changed(); text.focus(); }
  else if ((found = on("[data-example]"))) { text.value = found.dataset.example ?? ""; changed(); run(text.value); }
});
addEventListener("pagehide", stop);

if (!text.value) text.value = sessionStorage.getItem("sql-text") ?? "";
draw();
drawHistory();
loadNames();
