// Questions that wait for an answer.

import { token } from "./api.js";
import { byId, say } from "./dom.js";

/** Ask whether something is to be done; return whether it is. */
export function sure(title, text, yes) {
  const dialog = byId("ask");
  say("ask-title", title);
  say("ask-text", text);
  say("ask-yes", yes);
  dialog.returnValue = "no";
  dialog.showModal();
  byId("ask-no").focus();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }),
  );
}

/** Ask for a token, unless that is being done; return whether there is another. */
export function askForToken(why) {
  const dialog = byId("token-dialog");
  say("token-why", why);
  if (dialog.open) return Promise.resolve(false);
  const field = byId("token-text");
  field.value = "";
  field.setCustomValidity("");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener(
      "close",
      () => {
        const given = dialog.returnValue === "yes";
        if (given) token.set(field.value.trim());
        field.value = "";
        resolve(given);
      },
      { once: true },
    ),
  );
}

byId("token-text").addEventListener("input", ({ target }) =>
  target.setCustomValidity(/^[\x21-\x7e]*$/.test(target.value.trim()) ? "" : "A token has letters, digits and signs of ASCII only."),
);

// Enter is for the other button: this one ends nothing of the form.
byId("token-no").addEventListener("click", () => byId("token-dialog").close("no"));
