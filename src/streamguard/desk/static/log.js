// @ts-check
// A log that is followed: its end again each second, and only the lines that hold a text.
import { $, ask, failed } from "./desk.js";

const follow = /** @type {HTMLInputElement} */ ($("#log-follow"));
const part = /** @type {HTMLInputElement} */ ($("#log-part"));
const count = $("#log-count");
let all = $("#log-lines")?.textContent ?? "";

function show() {
  const lines = $("#log-lines");
  if (!lines) return;
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  const found = part.value ? all.split("\n").filter((line) => line.toLowerCase().includes(part.value.toLowerCase())) : all.split("\n");
  lines.textContent = found.join("\n");
  if (count) count.textContent = part.value ? `${found.length} with this text` : "";
  if (atEnd) lines.scrollTop = lines.scrollHeight;
}

async function look() {
  if (follow.checked && !document.hidden) {
    try {
      const page = new DOMParser().parseFromString(await (await ask(location.pathname)).text(), "text/html");
      const now = page.querySelector("#log-lines")?.textContent ?? "";
      if (now !== all) { all = now; show(); }
    } catch (error) { failed(error); follow.checked = false; }
  }
  setTimeout(look, 1000);
}

part.addEventListener("input", show);
const lines = $("#log-lines");
if (lines) lines.scrollTop = lines.scrollHeight;
setTimeout(look, 1000);
