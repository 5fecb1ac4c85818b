// The queues: how many messages there are, what has ended in the last hour on each replica, and what operators do.

import { request } from "../core/api.js";
import { confirmed } from "../core/dialog.js";
import { button, fill, h, icon, say } from "../core/dom.js";
import { patiently } from "../core/patience.js";
import { ago, number, t, time } from "../core/words.js";
import { letters } from "./letters.js";
import { plots } from "./plots.js";

const EVERY_S = [5, 15, 60];
const COUNTS = ["visible", "in_flight", "delayed", "dead"];

/** Opens the view in an element. Returns what closes it. */
export function open(container) {
  const parts = new Map();
  const met = new Set();
  let asking = new AbortController();
  let closed = false;
  let held = false;
  let [everyS] = EVERY_S;
  let timer = 0;

  const state = h("p", { class: "hint" }, t("loading"));
  const choice = h(
    "select",
    { "aria-label": t("gallery.refresh"), onchange: () => ((everyS = Number(choice.value)), turnOnOrOff()) },
    EVERY_S.map((value) => h("option", { value: String(value) }, t("queues.every", value))),
  );
  const hold = h("button", { type: "button", class: "button", "aria-pressed": "false", onclick: toggle }, t("queues.hold"));
  const list = h("div", { class: "queues" });
  fill(
    container,
    h("header", {}, h("div", { class: "row" }, h("h1", {}, t("nav.queues")), choice, hold), state),
    list,
  );
  document.addEventListener("visibilitychange", turnOnOrOff);
  void look();

  /** Asks now, and again in a while. */
  async function look() {
    halt();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const { data } = await patiently(() => request("queues", { signal }), { signal });
      if (!signal.aborted) show(data);
    } catch (error) {
      if (signal.aborted) return;
      fill(state, error.message);
    }
    if (!held) timer = setTimeout(look, everyS * 1000);
  }

  function halt() {
    clearTimeout(timer);
    asking.abort();
  }

  /** Asks nothing while nobody looks, or while the view is held. */
  function turnOnOrOff() {
    if (closed || held || document.visibilityState === "hidden") halt();
    else void look();
  }

  function toggle() {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    turnOnOrOff();
  }

  function show({ replica, now, queues }) {
    met.add(replica);
    fill(state, t("queues.met", { names: [...met], now: time(now) }));
    for (const queue of queues) {
      if (!parts.has(queue.name)) {
        parts.set(queue.name, card(queue.name));
        list.append(parts.get(queue.name).element);
      }
      parts.get(queue.name).show(queue, replica);
    }
  }

  function card(name) {
    const heading = h("h2", { id: `queue-${name}` }, name);
    const figures = h("dl");
    const badges = h("div", { class: "row" });
    const turning = button({ text: t("queues.pause") });
    const drawn = plots(name);
    const dead = letters(name, look);
    const element = h("section", { class: "queue", "aria-labelledby": heading.id }, h("header", { class: "row" }, heading, badges, turning), h("div", { class: "times" }, figures), drawn.element, dead.element);
    const oldest = new Map();
    return {
      element,
      close: drawn.close,
      show(queue, replica) {
        const shown = COUNTS.map((count) => [t(`queues.counts.${count}`), queue.counts ? number(queue.counts[count]) : "–"]);
        oldest.set(replica, queue.oldest_seen_at);
        const [first] = [...oldest.values()].filter(Boolean).sort();
        shown.push([t("queues.counts.oldest"), first ? ago(first) : "–"]);
        fill(figures, shown.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
        turning.firstChild.textContent = t(queue.paused ? "queues.resume" : "queues.pause");
        turning.onclick = () => void turn(name, !queue.paused);
        fill(
          badges,
          queue.paused && h("span", { class: "badge failed" }, t("queues.paused", queue.paused_since && time(queue.paused_since))),
          !queue.counts && h("span", { class: "badge failed" }, icon("alert"), t("queues.away")),
        );
        drawn.add(replica, queue.series);
        dead.show(queue);
      },
    };
  }

  async function turn(name, pausing) {
    if (pausing && !(await confirmed({ title: t("queues.pauseTitle", name), text: t("queues.pauseText"), action: t("queues.pause") }))) return;
    try {
      say((await request(`queues/${name}/${pausing ? "pause" : "resume"}`, { method: "POST" })).message);
    } catch (error) {
      say(error.message);
      fill(state, error.message);
      return;
    }
    await look();
  }

  return () => {
    closed = true;
    halt();
    document.removeEventListener("visibilitychange", turnOnOrOff);
    for (const part of parts.values()) part.close();
  };
}
