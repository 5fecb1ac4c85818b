// A grid of very many cards of one size, of which only those are made that can be seen.

import { h } from "../core/dom.js";

const GAP = 16;
const SPARE_ROWS = 3;

/**
 * Returns the grid. `count` says how many cards there are, `make` makes the one at a place, `keyOf` says what it shows,
 * and `near` is called with the last place that is seen.
 */
export function cardGrid({ label, count, make, keyOf, near }) {
  const list = h("ul", { class: "cards", "aria-label": label });
  const shown = new Map();
  let planned = 0;
  let columns = 1;
  let size = { width: 0, height: 0 };

  function measure() {
    const least = list.clientWidth < 520 ? 148 : 192;
    columns = Math.max(1, Math.floor((list.clientWidth + GAP) / (least + GAP)));
    const width = Math.floor((list.clientWidth - GAP * (columns - 1)) / columns);
    // The letters may be larger than usual: what is below a picture grows with them.
    size = { width, height: Math.round(width * 0.75) + 3.75 * parseFloat(getComputedStyle(document.documentElement).fontSize) };
  }

  function draw() {
    planned = 0;
    const rows = Math.ceil(count() / columns);
    const row = size.height + GAP;
    list.style.height = `${Math.max(0, rows * row - GAP)}px`;
    const top = list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / row) - SPARE_ROWS) * columns;
    const last = Math.min(count(), (Math.ceil((innerHeight - top) / row) + SPARE_ROWS) * columns);
    for (const [place, { element }] of shown) {
      if ((place < first || place >= last) && !(place < count() && element.contains(document.activeElement))) {
        element.remove();
        shown.delete(place);
      }
    }
    for (let place = first; place < last; place += 1) show(place);
    near(last);
  }

  function show(place) {
    const key = keyOf(place);
    let card = shown.get(place);
    if (card?.key !== key) {
      const element = h("li", { class: "card", "aria-posinset": place + 1, "aria-setsize": count() }, make(place));
      const focused = card?.element.contains(document.activeElement);
      if (card) card.element.replaceWith(element);
      else list.insertBefore(element, following(place));
      if (focused) element.querySelector("a")?.focus();
      card = { key, element };
      shown.set(place, card);
    }
    const { style } = card.element;
    style.width = `${size.width}px`;
    style.height = `${size.height}px`;
    style.transform = `translate(${(place % columns) * (size.width + GAP)}px, ${Math.floor(place / columns) * (size.height + GAP)}px)`;
  }

  /** Returns the card before which one belongs: who goes by keyboard goes in their order. */
  function following(place) {
    let next = Infinity;
    for (const other of shown.keys()) if (other > place && other < next) next = other;
    return shown.get(next)?.element ?? null;
  }

  const plan = () => (planned ||= requestAnimationFrame(draw));
  const resized = new ResizeObserver(() => (measure(), plan()));
  resized.observe(list);
  addEventListener("scroll", plan, { passive: true });
  measure();
  return {
    element: list,
    draw: plan,
    close() {
      cancelAnimationFrame(planned);
      removeEventListener("scroll", plan);
      resized.disconnect();
    },
  };
}
