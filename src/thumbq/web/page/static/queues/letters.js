// Dead letters, on request only: what is looked at is hidden from others meanwhile, and counts a receive more.

import { address, request } from "../core/api.js";
import { confirmed } from "../core/dialog.js";
import { button, fill, h, keepFocus } from "../core/dom.js";
import { framed } from "../core/picture.js";
import { ago, number, t } from "../core/words.js";

/** Returns the dead letters of a queue; `changed` is called after something was done. */
export function letters(queue, changed) {
  const base = `queues/${queue}/dead-letters`;
  const chosen = new Set();
  const codes = new Set();
  let dead = 0;
  const told = h("p", { class: "hint", role: "status" });
  const looking = button({ text: t("queues.dead.look"), name: "again", onclick: look });
  const filter = h("select", { "aria-label": t("queues.dead.code"), onchange: look });
  const tick = h("input", { type: "checkbox", onchange: () => tickAll(tick.checked) });
  const some = ["redrive", "remove"].map((verb) => button({ text: verb, kind: looks(verb), onclick: () => void see(verb, [...chosen]) }));
  const all = ["redrive", "remove"].map((verb) => button({ text: t(`queues.dead.${verb}All`), kind: looks(verb), onclick: () => void see(verb) }));
  const ticks = h("label", { class: "row" }, tick, t("queues.dead.all"));
  const list = h("ul", { class: "letters" });
  const element = h("details", { class: "dead" }, h("summary", {}, t("queues.dead.title")), h("p", { class: "hint" }, t("queues.dead.help")), h("div", { class: "row" }, looking, filter, all), told, h("div", { class: "row" }, ticks, some), list);

  function draw() {
    const boxes = tickable();
    tick.checked = boxes.length > 0 && chosen.size === boxes.length;
    tick.indeterminate = chosen.size > 0 && !tick.checked;
    keepFocus(
      () => {
        ["redrive", "remove"].forEach((verb, place) => {
          some[place].firstChild.textContent = t(`queues.dead.${verb}`, chosen.size);
          some[place].disabled = chosen.size === 0;
          // What is chosen by its code is not all.
          all[place].disabled = dead === 0 || filter.value !== "";
          some[place].hidden = list.childElementCount === 0;
        });
        filter.hidden = codes.size === 0;
        ticks.hidden = list.childElementCount === 0;
      },
      () => looking,
    );
  }

  function tickable() {
    return [...list.querySelectorAll("li > input:enabled")];
  }

  function tickAll(checked) {
    for (const box of tickable()) if (box.checked !== checked) box.click();
  }

  async function look() {
    const { value } = filter;
    fill(told, t("loading"));
    chosen.clear();
    try {
      const { data } = await request(`${base}?limit=100${value && `&code=${encodeURIComponent(value)}`}`);
      for (const letter of data.letters) codes.add(letter.code ?? "-");
      fill(filter, ["", ...codes].map((each) => h("option", { value: each }, each || t("queues.dead.anyCode"))));
      filter.value = value;
      keepFocus(() => fill(list, data.letters.map(row)), () => looking);
      fill(told, t("queues.dead.found", { shown: data.letters.length, others: data.others }));
    } catch (error) {
      fill(told, error.message || t("away"));
    }
    draw();
  }

  function row(letter) {
    const key = letter.keys[0] ?? letter.id;
    const box = h("input", { type: "checkbox", "aria-label": t("queues.dead.choose", key), onchange: () => (box.checked ? chosen.add(letter.id) : chosen.delete(letter.id), draw()) });
    const body = h("pre", { tabindex: "0" }, letter.body);
    const picture = framed({ src: letter.original && address(`originals/${letter.original.split("/").pop()}`), kind: "small", original: true });
    return h(
      "li",
      { id: `letter-${letter.id}` },
      box,
      h("div", { class: "holder" }, picture),
      h(
        "div",
        {},
        h("p", {}, h("b", {}, letter.code ?? "–"), " ", letter.reason),
        h("p", { class: "facts" }, letter.job ? h("a", { href: `#/jobs/${letter.job.split("/").pop()}` }, key) : key),
        h("p", { class: "facts" }, letter.sent_at && [ago(letter.sent_at), " · "], t("queues.dead.receives", number(letter.receive_count))),
        h("details", { ontoggle: () => letter.body_cut && void whole(letter, body) }, h("summary", {}, t("queues.dead.body")), body),
      ),
      h("p", { class: "fault" }),
    );
  }

  async function whole(letter, body) {
    letter.body_cut = false;
    try {
      fill(body, (await request(`${base}/${letter.id}`)).data.letter.body);
    } catch (error) {
      fill(body, error.message || t("away"));
    }
  }

  /** Redrives or removes dead letters with these ids, or all, after a question that says how many. */
  async function see(verb, ids) {
    const meant = ids ? { ids } : { all: true };
    const ask = (body) => request(`${base}/${verb}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    try {
      const { number: most } = (await ask({ ...meant, dry_run: true })).data;
      if (!(await confirmed({ title: t(`queues.dead.${verb}Title`, most), text: t(`queues.dead.${verb}Text`), action: t(`queues.dead.${verb}`, most) }))) return;
      let done = 0;
      for (;;) {
        const { data } = await ask(meant);
        done += data.number;
        keepFocus(() => data.letters.forEach(tell), () => looking);
        fill(told, t(`queues.dead.${verb}Done`, number(done)));
        if (ids || !data.left || !data.number) break;
      }
      // Of all, those are told of that stay.
      if (!ids) keepFocus(() => fill(list, [...list.children].filter((item) => item.querySelector(".fault").textContent)), () => looking);
    } catch (error) {
      fill(told, error.message || t("away"));
    }
    for (const box of tickable()) box.checked = false;
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
    item.querySelector("input").disabled = status === "missing";
  }

  return {
    element,
    show({ counts, dead_letters: there }) {
      element.hidden = !there;
      dead = counts?.dead ?? 0;
      draw();
    },
  };
}

function looks(verb) {
  return verb === "remove" ? "danger" : "";
}
