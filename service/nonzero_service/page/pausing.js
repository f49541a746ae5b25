// The circuit breaker: why learning is paused, and what becomes of what is held.

import { ask, now, pathOf } from "./api.js";
import { byId, say, show } from "./dom.js";
import { sure } from "./dialogs.js";
import { ago, counted, moment, sentence } from "./words.js";

let paused = null;

/** Show whether a model's learning is paused. */
export function showPause(model, learning) {
  paused = learning?.paused ? { model, held: learning.held ?? 0 } : null;
  show("paused", paused !== null);
  if (!paused) return;
  const since = learning.since ? ` That was at ${moment(learning.since)}, ${ago(now() - learning.since)} ago.` : "";
  say("paused-why", `${sentence(learning.reason ?? "what came jumped all at once")}${since}`);
  say("paused-held", `${counted(paused.held, "example")} ${paused.held === 1 ? "is" : "are"} held, safe on disk. It goes on predicting with what it knew before.`);
}

/** Have the buttons do what they say; `act` runs an action and tells what came of it. */
export function offerResume(act) {
  const end = async (discard) => {
    if (!paused) return;
    const { model, held } = paused;
    const many = counted(held, "example");
    const yes = discard
      ? await sure("Discard what is held?", `${model} will never learn from the ${many} that came since the pause. This cannot be undone.`, "Discard them")
      : await sure("Learn from what is held?", `${model} learns from the ${many} that came since the pause, and goes on. What they teach it cannot be taken back.`, "Learn from them");
    if (!yes) return;
    await act(async () => {
      const done = await ask(`${pathOf(model)}/resume${discard ? "?discard=true" : ""}`, { method: "POST" });
      return discard ? `${counted(done.discarded, "example")} discarded. Learning goes on.` : `${counted(done.applied, "example")} learned from. Learning goes on.`;
    });
  };
  byId("resume").addEventListener("click", () => end(false));
  byId("discard").addEventListener("click", () => end(true));
}
