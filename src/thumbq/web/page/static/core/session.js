// Whether somebody is logged in. The dialog that asks for the token is given by whoever starts the page.

let ask = null;
let asking = null;

/** Says who asks for a token: a function that resolves once there is a session again. */
export function askWith(dialog) {
  ask = dialog;
}

/** Waits until there is a session again. All who wait share one dialog. */
export function sessionEnded() {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}
