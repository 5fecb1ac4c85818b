// Dead letters, on request only: what is looked at is hidden from others meanwhile, and counts a receive more.

import { address, request } from "../core/api.js";
import { confirmed } from "../core/dialog.js";
import { button, fill, h } from "../core/dom.js";
import { say } from "../core/live.js";
import { framed } from "../core/picture.js";
import { number, t, time } from "../core/words.js";

/** Returns the dead letters of a queue; `changed` is called after something was done. */
export function letters(queue, changed) {
  const base = `queues/${queue}/dead-letters`;
  const chosen = new Set();
  const codes = new Set();
  let code = "";
  let dead = 0;
  const told = h("p", { class: "hint", role: "status" });
  const tools = h("div", { class: "row" });
  const list = h("ul", { class: "letters" });
  const element = h("details", { class: "dead" }, h("summary", {}, t("queues.dead.title")), h("p", { class: "hint" }, t("queues.dead.help")), tools, told, list);

  function draw() {
    const some = (verb) => button({ text: t(`queues.dead.${verb}`, chosen.size), kind: verb === "remove" ? "danger" : "", disabled: chosen.size === 0, onclick: () => void see(verb, [...chosen]) });
    const all = (verb) => button({ text: t(`queues.dead.${verb}All`), kind: verb === "remove" ? "danger" : "", disabled: dead === 0, onclick: () => void see(verb) });
    const filter = h("select", { "aria-label": t("queues.dead.anyCode"), onchange: () => ((code = filter.value), look()) }, ["", ...codes].map((each) => h("option", { value: each, selected: each === code }, each || t("queues.dead.anyCode"))));
    fill(tools, button({ text: t("queues.dead.look"), name: "again", onclick: look }), codes.size > 0 && filter, some("redrive"), some("remove"), all("redrive"), all("remove"));
  }

  async function look() {
    fill(told, t("loading"));
    chosen.clear();
    try {
      const { data } = await request(`${base}?limit=100${code && `&code=${encodeURIComponent(code)}`}`);
      for (const letter of data.letters) codes.add(letter.code ?? "-");
      fill(list, data.letters.map(row));
      fill(told, t("queues.dead.found", { shown: data.letters.length, others: data.others }));
    } catch (error) {
      fill(told, error.message);
    }
    draw();
  }

  function row(letter) {
    const tick = h("input", { type: "checkbox", "aria-label": t("queues.dead.choose", letter.keys[0] ?? letter.id), onchange: () => (tick.checked ? chosen.add(letter.id) : chosen.delete(letter.id), draw()) });
    const body = h("pre", { tabindex: "0" }, letter.body);
    const picture = framed({ src: letter.original && address(`originals/${letter.original.split("/").pop()}`), kind: "small" });
    const key = letter.keys[0] ?? letter.id;
    const facts = [letter.sent_at && time(letter.sent_at), t("queues.dead.receives", number(letter.receive_count))].filter(Boolean).join(" · ");
    return h(
      "li",
      { id: `letter-${letter.id}` },
      tick,
      h("div", { class: "holder" }, picture),
      h("div", {}, h("p", {}, h("b", {}, letter.code ?? "–"), " ", letter.reason), h("p", { class: "facts" }, letter.job ? h("a", { href: `#/jobs/${letter.job.split("/").pop()}` }, key) : key), h("p", { class: "facts" }, facts), h("details", { ontoggle: () => letter.body_cut && void whole(letter, body) }, h("summary", {}, t("queues.dead.body")), body)),
      h("p", { class: "fault" }),
    );
  }

  async function whole(letter, body) {
    letter.body_cut = false;
    try {
      fill(body, (await request(`${base}/${letter.id}`)).data.letter.body);
    } catch (error) {
      fill(body, error.message);
    }
  }

  /** Redrives or removes dead letters with these ids, or all, after a question that says how many. */
  async function see(verb, ids) {
    const meant = ids ? { ids } : { all: true };
    const ask = (body) => request(`${base}/${verb}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    try {
      const { number: most } = (await ask({ ...meant, dry_run: true })).data;
      if (!(await confirmed({ title: t(`queues.dead.${verb}Title`, number(most)), text: t(`queues.dead.${verb}Text`), action: t(`queues.dead.${verb}`, most) }))) return;
      let done = 0;
      for (;;) {
        const { data } = await ask(meant);
        done += data.number;
        for (const each of data.letters) tell(each);
        fill(told, t(`queues.dead.${verb}Done`, number(done)));
        if (ids || !data.left || !data.number) break;
      }
      say(told.textContent);
      if (!ids) fill(list);
    } catch (error) {
      fill(told, error.message);
      say(error.message);
    }
    chosen.clear();
    draw();
    changed();
  }

  /** Takes a dead letter that is gone from the list, and says of another one why it stays. */
  function tell({ id, status, error }) {
    const item = document.getElementById(`letter-${id}`);
    if (status === "redriven" || status === "removed") return item?.remove();
    if (!item) return;
    fill(item.querySelector(".fault"), error ?? t(`queues.dead.${status}`));
    const tick = item.querySelector("input");
    tick.checked = false;
    tick.disabled = status === "missing";
  }

  return {
    element,
    show({ counts, dead_letters: there }) {
      element.hidden = !there;
      const now = counts?.dead ?? 0;
      if (now !== dead || tools.childElementCount === 0) {
        dead = now;
        draw();
      }
    },
  };
}
