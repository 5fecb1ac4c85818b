// The start of the page: texts, what thumbq says of itself, the frame around all views, and which one is open.

import { button, fill, h, icon, trouble } from "./core/dom.js";
import { logIn, logOut } from "./core/dialog.js";
import { onAway } from "./core/patience.js";
import { askWith } from "./core/api.js";
import { know, loadService, may, service } from "./core/service.js";
import { loadTexts, t } from "./core/words.js";
import { open as openGallery } from "./gallery/view.js";
import { open as openJob } from "./job/view.js";
import { takeEverywhere } from "./upload/panel.js";
import { underWay } from "./upload/uploads.js";

/** The views: `path` is what stands behind the # of an address, `load` gives what opens it in an element. */
const VIEWS = [
  { path: /^\/?$/, title: "nav.pictures", load: async () => openGallery, link: "#/" },
  { path: /^\/jobs\/(?<id>[0-9a-z]{26,27})$/, title: "nav.job", load: async () => openJob },
  { path: /^\/queues$/, title: "nav.queues", load: async () => (await import("./queues/view.js")).open, link: "#/queues", scope: "admin" },
  { path: /^\/settings$/, title: "nav.presets", load: async () => (await import("./settings/view.js")).open, link: "#/settings", scope: "admin" },
];

history.scrollRestoration = "manual";

let close = () => {};
let current = null;
let shown = 0;

await loadTexts();
askWith(async () => {
  const before = service();
  know(await logIn());
  frame();
  // Another person may see other things.
  if (before && String(before.client.scopes) !== String(service().client.scopes)) void show({ moved: true });
});
const main = h("main", { id: "main", tabindex: "-1" });
const header = h("header", { class: "top" });
const banner = h("p", { class: "away", role: "status" });
document.body.append(h("a", { class: "skip", href: "#main", onclick: skip }, t("nav.skip")), header, banner, main);
document.body.append(h("div", { class: "drop-hint", "aria-hidden": "true" }, icon("upload"), h("p", {}, t("upload.let"))));
onAway((away) => (banner.textContent = away ? t("away") : ""));
takeEverywhere(() => current === VIEWS[0] || (location.hash = "#/"));
addEventListener("beforeunload", (event) => underWay() && event.preventDefault());
await start();

async function start() {
  try {
    await loadService();
  } catch (error) {
    return fill(main, trouble(h("h1", {}, "thumbq"), h("p", {}, error.message), button({ text: t("again"), onclick: start })));
  }
  frame();
  addEventListener("hashchange", () => void show({ moved: true }));
  await show({ moved: false });
}

/** Draws the frame: the name, the views, and the end of the session. */
function frame() {
  const links = VIEWS.filter(({ link, scope }) => link && (!scope || may(scope)));
  const { name } = service().client;
  fill(
    header,
    h("a", { class: "brand", href: "#/" }, "thumbq"),
    h("nav", { "aria-label": t("nav.views") }, links.length > 1 && links.map(({ link, title }) => h("a", { href: link }, t(title)))),
    name && h("span", { class: "who" }, name),
    name && h("button", { type: "button", class: "button quiet", onclick: logOut }, t("nav.logOut")),
  );
  mark();
}

function mark() {
  for (const link of header.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.hash === (location.hash || "#/"));
    if (link.hasAttribute("aria-current")) link.setAttribute("aria-current", "page");
  }
}

async function show({ moved }) {
  const path = location.hash.slice(1);
  const view = VIEWS.find((each) => each.path.test(path)) ?? VIEWS[0];
  const turn = (shown += 1);
  const open = view.scope && !may(view.scope) ? forbidden : await view.load().catch(() => missing);
  if (turn !== shown) return;
  close();
  current = view;
  scrollTo(0, 0);
  document.title = `${t(view.title)} – thumbq`;
  mark();
  close = open(main, view.path.exec(path)?.groups ?? {});
  if (!moved) return;
  main.focus({ preventScroll: true });
}

/** Opens what stands in place of a view that is for others. */
function forbidden(container) {
  fill(container, trouble(h("h1", {}, t("nav.forbidden"))));
  return () => {};
}

/** Opens what stands in place of a view that could not be loaded: thumbq is away, or has another version of it. */
function missing(container) {
  fill(container, trouble(h("h1", {}, t("nav.missing")), button({ text: t("again"), onclick: () => location.reload() })));
  return () => {};
}

function skip(event) {
  event.preventDefault();
  main.focus();
}
