// What has ended in the last hour, as lines: one for each replica that has answered. And the same as a table.

import { fill, h } from "../core/dom.js";
import { number, seconds, t, time } from "../core/words.js";
import uPlot from "../vendor/uPlot.iife.min.js";

const HEIGHT = 130;
const HUES = ["--accent", "--good", "--bad", "--muted", "--text"];

/** What each plot shows: its lines, how a value is written, and the least height of its scale. Counts are of a minute. */
const PLOTS = [
  { name: "done", lines: ["done"], write: number, least: 4 },
  { name: "failed", lines: ["failed"], write: number, least: 4 },
  { name: "wait", lines: ["wait_p50_s", "wait_p99_s"], write: seconds, least: 0.1 },
  { name: "work", lines: ["work_p50_s", "work_p99_s"], write: seconds, least: 0.1 },
];

/** Returns the plots of one queue. */
export function plots(queue) {
  const found = new Map();
  const frames = PLOTS.map((plot) => h("figure", { role: "img", "aria-label": t(`queues.plots.${plot.name}`) }));
  const legend = h("ul", { class: "legend" });
  const rows = h("tbody");
  const table = h(
    "details",
    { ontoggle: fillTable },
    h("summary", {}, t("queues.table")),
    h("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": `${t("queues.table")}: ${queue}` }, h("table", {}, h("thead", {}, h("tr", {}, t("queues.columns").map((text) => h("th", { scope: "col" }, text)))), rows)),
  );
  const element = h("div", { class: "plots" }, legend, h("div", { class: "grid" }, PLOTS.map((plot, place) => h("div", {}, h("h3", {}, t(`queues.plots.${plot.name}`)), frames[place]))), table);
  const drawn = [];
  const sizes = new ResizeObserver(() => drawn.forEach((plot, place) => plot.setSize({ width: frames[place].clientWidth, height: HEIGHT })));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  sizes.observe(element);
  dark.addEventListener("change", draw);

  function add(replica, series) {
    const begins = Date.parse(series.begins_at) / 1000;
    const isNew = !found.has(replica);
    // The last step is not over yet.
    found.set(replica, { ...series, times: series.done.slice(0, -1).map((_, place) => begins + place * series.step_s) });
    if (isNew) fill(legend, [...found.keys()].map((name, place) => h("li", { style: { "--line-colour": `var(${hue(place)})` } }, name)));
    if (isNew || drawn.length === 0) draw();
    else PLOTS.forEach((plot, place) => drawn[place].setData(dataOf(plot)));
    if (table.open) fillTable();
  }

  function draw() {
    if (found.size === 0) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    PLOTS.forEach((plot, place) => {
      drawn[place]?.destroy();
      const lines = [...found.keys()].flatMap((name, index) => plot.lines.map((_, which) => ({ label: name, stroke: colour(hue(index)), width: 1.5, dash: which ? [4, 4] : [], points: { show: true, size: 4, filter: alone } })));
      const axes = [
        { ...axis, size: 28, gap: 6, space: 80, values: (_, splits) => splits.map((at) => clock(at)) },
        { ...axis, size: 56, space: 30, values: (_, splits) => splits.map((value) => plot.write(value)) },
      ];
      const options = { width: frames[place].clientWidth || 300, height: HEIGHT, series: [{}, ...lines], axes, legend: { show: false }, cursor: { show: false }, scales: { y: { range: (_, least, most) => [0, Math.max(most || 0, plot.least) * 1.05] } } };
      drawn[place] = new uPlot(options, dataOf(plot), frames[place]);
    });
  }

  function dataOf({ lines, write }) {
    const all = [...found.values()];
    return uPlot.join(all.map((series) => [series.times, ...lines.map((line) => series[line].slice(0, -1).map((value) => (write === number ? (value * 60) / series.step_s : value)))]));
  }

  function fillTable() {
    if (!table.open) return;
    const shown = [...found].flatMap(([replica, series]) => series.times.map((at, place) => ({ at, place, replica, series })).filter(({ place }) => series.done[place] || series.failed[place] || series.retried[place]));
    shown.sort((one, other) => other.at - one.at);
    const text = (value) => (value === null ? "–" : seconds(value));
    fill(
      rows,
      shown.length === 0 && h("tr", {}, h("td", { colspan: "9" }, t("queues.nothing"))),
      shown.map(({ at, place, replica, series }) =>
        h("tr", {}, h("th", { scope: "row" }, clock(at, true)), h("td", {}, replica), ["done", "failed", "retried"].map((name) => h("td", {}, number(series[name][place]))), ["wait_p50_s", "wait_p99_s", "work_p50_s", "work_p99_s"].map((name) => h("td", {}, text(series[name][place])))),
      ),
    );
  }

  function close() {
    sizes.disconnect();
    dark.removeEventListener("change", draw);
    for (const plot of drawn) plot.destroy();
  }

  return { element, add, close };
}

/** Returns the places of values that no line goes to: only a point shows them. */
function alone({ data }, index) {
  const values = data[index];
  return values.flatMap((value, place) => ((value ?? null) !== null && (values[place - 1] ?? values[place + 1] ?? null) === null ? [place] : []));
}

function hue(place) {
  return HUES[place % HUES.length];
}

function clock(at, exact = false) {
  return time(new Date(at * 1000), { hour: "2-digit", minute: "2-digit", ...(exact && { second: "2-digit" }) });
}
