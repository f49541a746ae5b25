// Slices, late labels, and all other figures of a model.

import { byId, html, say, show } from "./dom.js";
import { bytes, count, counted, moment, number, percent, precise } from "./words.js";

const MANY = 3; // standard deviations beyond which a slice is called wrong: there are dozens of slices

/** Show predicted against seen clicks by the values of fields. */
export function showSlices(slices) {
  const fields = Object.entries(slices ?? {}).filter(([, found]) => found.length);
  show("slices", fields.length > 0);
  const place = byId("slices-tables");
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.field));
  const fresh = !place.children.length;
  place.replaceChildren(...fields.map(([field, found]) => sliced(field, found, fresh || open.has(field))));
}

function sliced(field, found, open) {
  const rows = found.map((one) => {
    const off = one.clicks ? one.predicted / one.clicks - 1 : null;
    const wrong = one.predicted > 0 && Math.abs(one.predicted - one.clicks) > MANY * Math.sqrt(Math.max(one.predicted, 1));
    return html("tr", { class: wrong ? "off" : null },
      html("th", { scope: "row", class: "long" }, one.value ?? "all others"),
      html("td", { class: "number" }, count(one.examples)),
      html("td", { class: "number" }, one.weight ? percent(one.clicks / one.weight) : "–"),
      html("td", { class: "number" }, one.weight ? percent(one.predicted / one.weight) : "–"),
      html("td", {}, off === null ? "" : `${percent(Math.abs(off))} too ${off > 0 ? "many" : "few"}${wrong ? ", more than chance" : ""}`));
  });
  const heads = ["Value", "Examples", "Clicked", "Predicted", "Clicks predicted"];
  const details = html("details", { open },
    html("summary", {}, html("strong", {}, field), ` ${counted(found.length, "value")}`),
    html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Values of ${field}` },
      html("table", {},
        html("caption", { class: "unseen" }, `Clicks by ${field}`),
        html("thead", {}, html("tr", {}, ...heads.map((name, i) => html("th", { scope: "col", class: i && i < 4 ? "number" : null }, name)))),
        html("tbody", {}, ...rows))));
  details.dataset.field = field;
  return details;
}

/** Show pairs of a name and a figure. */
function list(id, pairs) {
  byId(id).replaceChildren(...pairs.filter(([, value]) => value !== null).map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value))));
}

/** Show what became of predictions that wait for a label. */
export function showLate(served, labels) {
  const counts = Object.entries(labels ?? {}).filter(([, value]) => typeof value === "number");
  show("late", Boolean(served) || counts.some(([, value]) => value > 0));
  say("late-text", served?.examples ? `Of ${counted(served.examples, "answered prediction")} with an id most clicks have come: predicted over seen is ${number(served.calibration, 3)}, log loss ${number(served.log_loss)}.` : "Predictions with an id wait for their labels.");
  list("late-counts", counts.map(([name, value]) => [name.replaceAll("_", " "), count(value)]));
}

/** Show the figures that have no other place. */
export function showMore(state, metrics) {
  const { settings } = state;
  const { recent, recalibration: map, schema } = metrics ?? {};
  const conflicts = Object.entries(schema?.conflicts ?? {});
  list("more", [
    ["AUC, the last 100,000 examples", metrics && recent?.auc !== null ? `${number(recent.auc)}` : null],
    ["AUC, all examples", metrics && metrics.auc !== null ? number(metrics.auc) : null],
    ["Log loss, the last 100,000", metrics && recent?.log_loss !== null ? `${number(recent.log_loss, 5)} nats` : null],
    ["Log loss, all examples", metrics && metrics.log_loss !== null ? `${number(metrics.log_loss, 5)} nats` : null],
    ["Predicted over seen, the last 100,000", metrics && recent?.calibration !== null ? number(recent.calibration, 3) : null],
    ["Recalibration", map ? `slope ${precise(map.slope)}, offset ${precise(map.offset)}; saves ${precise(map.gain)} nats` : null],
    ["Values of another kind than their field's", conflicts.length ? conflicts.map(([field, n]) => `${field} ${count(n)}`).join(", ") : null],
    ["Fields that settings name and nobody sends", schema?.unseen?.length ? schema.unseen.map((one) => one.field).join(", ") : null],
    ["Products of fields", settings.interactions?.length ? settings.interactions.map((pair) => [pair].flat().join("*")).join(", ") : null],
    ["Predictions with an id are learned from", settings.negatives ? settings.negatives.replaceAll("_", " ") : null],
    ["Table", `${bytes(state.bytes)}, 2^${settings.bits} slots`],
    ["Made", moment(Date.parse(state.created))],
  ]);
}
