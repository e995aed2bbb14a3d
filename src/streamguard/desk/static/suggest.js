// @ts-check
// The search box shows what it finds as one types: a combobox with a list, by keyboard and by pointer.
import { $, ask } from "./desk.js";

const input = /** @type {HTMLInputElement | null} */ ($("#search"));
const form = input?.form;
if (input && form) {
  const list = document.createElement("ul");
  list.id = "suggestions";
  list.className = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Found");
  list.hidden = true;
  form.append(list);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-controls": list.id, "aria-expanded": "false", "aria-autocomplete": "list" })) input.setAttribute(name, value);
  let timer = 0, newest = 0, at = -1;
  const options = () => /** @type {HTMLElement[]} */ ([...list.children]);

  const close = () => { list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  /** @param {number} step */
  const move = (step) => {
    const all = options();
    if (!all.length) return;
    at = (at + step + all.length) % all.length;
    all.forEach((option, n) => option.setAttribute("aria-selected", String(n === at)));
    all[at].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", all[at].id);
  };
  const find = async () => {
    const mine = ++newest, wanted = input.value.trim();
    if (wanted.length < 2) { close(); return; }
    let hits;
    // Suggestions are an extra: whoever presses Enter is told what is wrong.
    try { hits = await (await ask(`${new URL(form.action).pathname}?q=${encodeURIComponent(wanted)}`)).json(); } catch { close(); return; }
    if (mine !== newest) return;
    list.replaceChildren(...hits.slice(0, 15).map((/** @type {{kind: string, name: string, path: string}} */ hit, /** @type {number} */ n) => {
      const option = document.createElement("li");
      option.id = `suggestion-${n}`;
      option.setAttribute("role", "option");
      option.dataset.path = hit.path;
      const kind = document.createElement("span");
      kind.className = "muted";
      kind.textContent = hit.kind;
      option.append(hit.name, " ", kind);
      return option;
    }));
    at = -1;
    list.hidden = !hits.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
  };

  input.addEventListener("input", () => { clearTimeout(timer); timer = window.setTimeout(find, 120); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { if (!list.hidden) { event.preventDefault(); move(event.key === "ArrowDown" ? 1 : -1); } }
    else if (event.key === "Escape") close();
    else if (event.key === "Enter" && at >= 0) { event.preventDefault(); location.href = options()[at].dataset.path ?? ""; }
  });
  list.addEventListener("mousedown", (event) => {
    const option = /** @type {HTMLElement} */ (event.target).closest("li");
    if (option) { event.preventDefault(); location.href = option.dataset.path ?? ""; }
  });
  input.addEventListener("blur", close);
}
