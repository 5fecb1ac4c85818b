// The start of the page: texts, what thumbq says of itself, the frame around all views, and which one is open.

import { fill, h, icon } from "./core/dom.js";
import { logIn, logOut } from "./core/login.js";
import { onAway } from "./core/patience.js";
import { askWith } from "./core/session.js";
import { loadService, may, service } from "./core/service.js";
import { loadTexts, t } from "./core/words.js";
import { open as openGallery } from "./gallery/view.js";
import { open as openJob } from "./job/view.js";
import { takeEverywhere } from "./upload/panel.js";
import { underWay } from "./upload/uploads.js";

/** The views: `path` is what stands behind the # of an address, `load` gives what opens it in an element. */
const VIEWS = [
  { path: /^\/?$/, title: "nav.pictures", load: () => openGallery, link: "#/" },
  { path: /^\/jobs\/(?<id>[0-9a-z]{26,27})$/, title: "nav.job", load: () => openJob },
  { path: /^\/queues$/, title: "nav.queues", load: async () => (await import("./queues/view.js")).open, link: "#/queues", scope: "admin" },
  { path: /^\/settings$/, title: "nav.presets", load: async () => (await import("./settings/view.js")).open, link: "#/settings", scope: "admin" },
];

history.scrollRestoration = "manual";

let close = () => {};

await loadTexts();
askWith(async () => {
  await logIn();
  await loadService();
  frame();
});
const main = h("main", { id: "main", tabindex: "-1" });
const header = h("header", { class: "top" });
const banner = h("p", { class: "away", role: "status" });
document.body.append(h("a", { class: "skip", href: "#main", onclick: skip }, t("nav.skip")), header, banner, main);
document.body.append(h("div", { class: "drop-hint", "aria-hidden": "true" }, icon("upload"), h("p", {}, t("upload.let"))));
onAway((away) => (banner.textContent = away ? t("away") : ""));
await loadService();
frame();
if (may("upload")) takeEverywhere(() => location.hash.startsWith("#/jobs") && (location.hash = "#/"));
addEventListener("beforeunload", (event) => underWay() && event.preventDefault());
addEventListener("hashchange", () => void show({ moved: true }));
await show({ moved: false });

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
  const open = await view.load();
  close();
  scrollTo(0, 0);
  document.title = `${t(view.title)} – thumbq`;
  mark();
  close = open(main, view.path.exec(path)?.groups ?? {});
  if (!moved) return;
  main.focus({ preventScroll: true });
}

function skip(event) {
  event.preventDefault();
  main.focus();
}
