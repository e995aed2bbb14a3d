// @ts-check
// A job that runs: what it prints and how far it is, until it has ended; then what came of it.
import { $, ask, failed, localTimes, root } from "./desk.js";

async function look() {
  const state = $("#job-state");
  if (!state || state.dataset.state !== "running") return;
  try {
    const html = await (await ask(location.pathname)).text();
    state.outerHTML = html;
    const now = $("#job-state");
    if (now) localTimes(now);
    if (now?.dataset.done) { location.href = root + now.dataset.done; return; }
    if (now?.dataset.state !== "running") { location.reload(); return; }
  } catch (error) { failed(error); }
  setTimeout(look, 700);
}
setTimeout(look, 400);
