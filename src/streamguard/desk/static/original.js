// @ts-check
// Which alert of the account the chosen alerts repeat: a dialog with a search, and the reason.
import { $, ask, failed, localTimes } from "./desk.js";

/** Ask for the original and the reason; null if the person cancels. @param {string[]} ids */
export async function original(ids) {
  const dialog = /** @type {HTMLDialogElement} */ ($("#original"));
  const form = /** @type {HTMLFormElement} */ ($("form", dialog));
  const field = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
  let timer = 0, newest = 0;
  const find = async () => {
    const mine = ++newest, query = new URLSearchParams([...ids.map((id) => ["alert_id", id]), ["q", field("part").value]]);
    const html = await (await ask(`/alert/originals?${query}`)).text();
    if (mine !== newest) return;
    const place = /** @type {HTMLElement} */ ($("#originals", dialog));
    place.replaceChildren(/** @type {HTMLElement} */ ($("legend", place)));
    place.insertAdjacentHTML("beforeend", html);
    localTimes(place);
  };
  form.reset();
  await find();
  field("part").oninput = () => { clearTimeout(timer); timer = window.setTimeout(() => find().catch(failed), 120); };
  dialog.returnValue = "";
  dialog.showModal();
  field("answer").focus();
  return /** @type {Promise<{of: string, reason: string} | null>} */ (new Promise((done) => {
    dialog.onclose = () => {
      const of = String(new FormData(form).get("of") ?? ""), reason = field("answer").value.trim();
      done(dialog.returnValue === "ok" && of && reason ? { of, reason } : null);
    };
  }));
}
