// Whether a model still learns, in sentences, and what would mend it.

import { ask, pathOf } from "./api.js";
import { byId, html, refill, say, show } from "./dom.js";
import { sure } from "./dialogs.js";
import { counted, precise, sentence, short } from "./words.js";

const VERDICTS = {
  learning: "Yes.",
  converged: "It has learned what there is to learn, and follows what changes.",
  starved: "Hardly. It is starved: its learning rates have become too small for what there is to learn.",
  idle: "Nothing comes that it could learn from.",
  unknown: "That cannot be told.",
};

let mended = null;

/** Show a diagnosis; null: there is none. */
export function showDiagnosis(model, found) {
  show("diagnosis", found !== null);
  mended = found?.remedy?.action ? model : null;
  if (!found) return;
  byId("diagnosis").classList.toggle("alarm", found.verdict === "starved");
  say("verdict", VERDICTS[found.verdict] ?? found.verdict);
  say("verdict-why", sentence(found.reason));
  say("verdict-remedy", found.remedy ? sentence(`what would help: ${found.remedy.why}`) : "");
  show("mend-buttons", mended !== null);
  refill(
    byId("fields").querySelector("tbody"),
    Object.entries(found.fields).map(([name, field]) =>
      html("tr", {},
        html("th", { scope: "row", class: "long" }, short(name)),
        html("td", {}, field.verdict),
        html("td", { class: "number" }, precise(field.learning_rate?.now)),
        html("td", { class: "number" }, precise(field.learning_rate?.start)))),
  );
}

/** Have the button apply the remedy; `act` runs an action and tells what came of it. */
export function offerRemedy(act) {
  byId("mend").addEventListener("click", async () => {
    const model = mended;
    if (!model || !(await sure("Apply the remedy?", `The learning rates of ${model} become larger again. This cannot be undone.`, "Apply it"))) return;
    await act(async () => {
      const done = await ask(`${pathOf(model)}/remedy`, { method: "POST" });
      return `The remedy was applied to ${counted(done.lanes.length, "learner")}.`;
    });
  });
}
