// Asks for a token. It goes to thumbq once, and is kept nowhere here: a cookie that no script can read stands for it.

import { address } from "./api.js";
import { button, h } from "./dom.js";
import { t } from "./words.js";

/** Resolves once there is a session. */
export function logIn() {
  return new Promise((resolve) => {
    const fault = h("p", { class: "fault", role: "alert" });
    const token = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-help" });
    const submit = button({ text: t("login.submit"), kind: "primary", type: "submit" });
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "login-title", oncancel: (event) => event.preventDefault() },
      h("h2", { id: "login-title" }, t("login.title")),
      h("p", { id: "token-help" }, t("login.help")),
      h("form", { method: "dialog", onsubmit: send }, h("label", { for: "token" }, t("login.token")), token, fault, h("div", { class: "actions" }, submit)),
    );
    document.body.append(dialog);
    dialog.showModal();

    async function send(event) {
      event.preventDefault();
      submit.disabled = true;
      fault.textContent = (await refusalOf(token.value.trim())) ?? "";
      submit.disabled = false;
      if (fault.textContent) return token.select();
      dialog.remove();
      resolve();
    }
  });
}

/** Ends the session, and starts the page anew. */
export async function logOut() {
  await fetch(address("session"), { method: "DELETE" });
  location.reload();
}

async function refusalOf(token) {
  // A header takes no other characters, and no token has any.
  if (!/^[\x21-\x7e]+$/.test(token)) return t("login.wrong");
  try {
    const answer = await fetch(address("session"), { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    if (answer.ok) return null;
    return answer.status === 401 ? t("login.wrong") : (await answer.json()).detail;
  } catch {
    return t("away");
  }
}
