// Dialogs. The browser keeps the focus inside, and gives it back when one is closed.
// The log-in: the token goes to thumbq once, and is kept nowhere here. A cookie that no script can read stands for it.

import { address, request } from "./api.js";
import { button, h } from "./dom.js";
import { patiently } from "./patience.js";
import { t } from "./words.js";

/** Asks before something is done that cannot be undone. Resolves to whether it is to be done. */
export function confirmed({ title, text, action }) {
  return new Promise((resolve) => {
    const dialog = modal({ title, onclose: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) }, h("p", {}, text), [
      button({ text: t("cancel"), onclick: () => dialog.close("no"), autofocus: true }),
      button({ text: action, kind: "danger", onclick: () => dialog.close("yes") }),
    ]);
  });
}

/** Shows a dialog with some content and buttons, and returns it. */
function modal({ title, ...properties }, content, buttons) {
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title", ...properties }, h("h2", { id: "dialog-title" }, title), content, h("div", { class: "actions" }, buttons));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Resolves once there is a session: to what thumbq says of itself to its owner. */
export function logIn() {
  return new Promise((resolve) => {
    let known = null;
    const fault = h("p", { class: "fault", role: "alert" });
    const token = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-help" });
    const submit = button({ text: t("login.submit"), kind: "primary", type: "submit", form: "login" });
    const form = h("form", { id: "login", onsubmit: send }, h("p", { id: "token-help" }, t("login.help")), h("label", { for: "token" }, t("login.token")), token, fault);
    // Browsers close a dialog at the second Escape, whatever the page says to it.
    const dialog = modal({ title: t("login.title"), onclose: () => known ?? dialog.showModal() }, form, submit);

    async function send(event) {
      event.preventDefault();
      submit.disabled = true;
      try {
        known = await opened(token.value.trim());
      } catch (error) {
        fault.textContent = error.message || t("away");
      }
      submit.disabled = false;
      if (!known) return token.select();
      dialog.close();
      dialog.remove();
      resolve(known);
    }
  });
}

/** Ends the session, and starts the page anew. */
export async function logOut() {
  await patiently(() => request("session", { method: "DELETE" }));
  location.reload();
}

/** Begins a session, and returns what thumbq says in it. Raises an error with the reason why there is none. */
async function opened(token) {
  const wrong = new Error(t("login.wrong"));
  // A header takes no other characters, and no token has any.
  if (!/^[\x21-\x7e]+$/.test(token)) throw wrong;
  const asked = (path, options) => fetch(address(path), options).catch(() => Promise.reject(new Error()));
  const answer = await asked("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (answer.status === 401) throw wrong;
  if (!answer.ok) throw new Error((await answer.json()).detail);
  const service = await asked("service");
  if (!service.ok) throw new Error(t("login.cookie"));
  return (await service.json()).data;
}
