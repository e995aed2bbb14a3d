// @ts-check
// Fields that show what they find as one types: data-typing names the element that the answer goes into.
import { $$, $, ask, failed, localTimes } from "./desk.js";

for (const input of /** @type {HTMLInputElement[]} */ ($$("input[data-typing]"))) {
  const form = input.form;
  let timer = 0, newest = 0;
  const find = async () => {
    const mine = ++newest;
    if (!form) return;
    const address = new URL(form.action);
    address.searchParams.set(input.name, input.value);
    try {
      const html = await (await ask(address.pathname + address.search)).text();
      const place = $(input.dataset.typing ?? "");
      if (mine !== newest || !place) return;
      place.innerHTML = html;
      localTimes(place);
      history.replaceState(null, "", address);
    } catch (error) { failed(error); }
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = window.setTimeout(find, 120); });
}
