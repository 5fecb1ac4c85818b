// What was done to an original's pixels, in words.

import { number, t } from "../core/words.js";

/** Returns a text for each step; what was not done has none. */
export function stepsInWords(steps) {
  if (!steps) return [];
  const { orientation = 1, profile, flattened_on: background, frames_dropped: dropped = 0, shrink_on_load: shrunk } = steps;
  return [
    orientation > 1 && t(`steps.orientation.${orientation}`),
    profile && t(`steps.profile.${profile}`),
    background && t("steps.flattened", background),
    dropped > 0 && t("steps.dropped", number(dropped)),
    shrunk && shrinking(shrunk),
  ].filter(Boolean);
}

function shrinking(shrunk) {
  if (shrunk === "embedded-thumbnail") return t("steps.embedded");
  const [scale, scans] = shrunk.split(" ");
  return t(scans ? "steps.shrunkScans" : "steps.shrunk", scale);
}
