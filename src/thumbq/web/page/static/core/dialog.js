// Dialogs. The browser keeps the focus inside, and gives it back.

import { button, h } from "./dom.js";
import { t } from "./words.js";

/** Asks before something is done that cannot be undone. Resolves to whether it is to be done. */
export function confirmed({ title, text, action }) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title", onclose: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      h(
        "div",
        { class: "actions" },
        button({ text: t("cancel"), onclick: () => dialog.close("no"), autofocus: true }),
        button({ text: action, kind: "danger", onclick: () => dialog.close("yes") }),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
