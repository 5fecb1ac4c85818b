// What thumbq takes and makes, and what whoever looks at the page may do: asked for once, and again after a log-in.

import { request } from "./api.js";
import { patiently } from "./patience.js";

let known = null;
let tell;

/** Resolves once thumbq has said it for the first time. */
export const isKnown = new Promise((resolve) => (tell = resolve));

/** Asks thumbq. */
export async function loadService() {
  know((await patiently(() => request("service"))).data);
}

/** Takes what thumbq has said. */
export function know(said) {
  known = said;
  tell();
}

export function service() {
  return known;
}

/** Returns whether whoever looks at the page may do what needs this scope. */
export function may(scope) {
  return known.client.scopes.includes(scope);
}
