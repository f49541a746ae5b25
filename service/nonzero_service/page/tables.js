// Slices, late labels, and all other figures of a model.

import { arrange, byId, html, refill, say, show } from "./dom.js";
import { ENOUGH } from "./figures.js";
import { bytes, count, counted, moment, number, percent, precise, short } from "./words.js";

const MANY = 3; // standard deviations beyond which a slice is called wrong: there are dozens of slices

const HEADS = ["Value", "Examples", "Clicked", "Predicted", "Difference"];

/** Show predicted against seen clicks by the values of fields. */
export function showSlices(slices) {
  const fields = Object.entries(slices ?? {}).filter(([, found]) => found.length);
  show("slices", fields.length > 0);
  const place = byId("slices-tables");
  const there = new Map([...place.children].map((details) => [details.dataset.field, details]));
  arrange(place, fields.map(([field, found]) => {
    const details = there.get(field) ?? made(field);
    say(details.querySelector(".many"), counted(found.length, "value"));
    refill(details.querySelector("tbody"), found.map(sliced));
    return details;
  }));
}

function made(field) {
  const details = html("details", { open: true },
    html("summary", {}, html("strong", {}, field), " ", html("span", { class: "many" })),
    html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Values of ${field}` },
      html("table", {},
        html("caption", { class: "unseen" }, `Clicks by ${field}`),
        html("thead", {}, html("tr", {}, ...HEADS.map((name, i) => html("th", { scope: "col", class: i && i < 4 ? "number" : null }, name)))),
        html("tbody"))));
  details.dataset.field = field;
  return details;
}

function sliced(one) {
  const off = one.clicks >= ENOUGH ? one.predicted / one.clicks - 1 : null;
  const wrong = one.predicted > 0 && Math.abs(one.predicted - one.clicks) > MANY * Math.sqrt(Math.max(one.predicted, 1));
  const told = off === null ? (wrong ? "more than chance" : "too early to say") : `${percent(Math.abs(off))} too ${off > 0 ? "many" : "few"}${wrong ? ", more than chance" : ""}`;
  return html("tr", { class: wrong ? "off" : null },
    html("th", { scope: "row", class: "long" }, short(one.value ?? "all others")),
    html("td", { class: "number" }, count(one.examples)),
    html("td", { class: "number" }, one.weight ? percent(one.clicks / one.weight) : "–"),
    html("td", { class: "number" }, one.weight ? percent(one.predicted / one.weight) : "–"),
    html("td", {}, told));
}

/** Show pairs of a name and a figure. */
export function list(id, pairs) {
  refill(byId(id), pairs.filter(([, value]) => value !== null).map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value))));
}

const LATE = {
  labels: {
    joined: "labels joined",
    corrected: "clicks after the window",
    duplicate: "labels given twice",
    conflicting: "labels against an earlier one",
    unknown: "labels of no prediction",
    early: "labels before their prediction",
    gone: "labels that came too late",
  },
  predictions: {
    kept: "predictions kept",
    repeated: "predictions with a known id",
    expired: "predictions whose window ended",
    thinned: "predictions left out",
    waited_out: "windows that ended without any label",
    damaged: "predictions damaged on disk",
    lost: "predictions that the disk refused",
  },
};

/** Show what became of predictions that wait for a label. */
export function showLate(served, late) {
  show("late", Boolean(served || late));
  byId("late").classList.toggle("alarm", Boolean(late?.outage));
  const said = [];
  if (late?.outage) said.push("No labels come, for longer than usual and than chance explains.");
  if (late) said.push(`${counted(late.waiting, "prediction")} with an id ${late.waiting === 1 ? "waits for its" : "wait for their"} label.`);
  if (late && late.joined_share !== null) said.push(`Of those that wait no longer ${percent(late.joined_share)} were labelled.`);
  if (served?.examples) said.push(`Of ${counted(served.examples, "answered prediction")} most clicks have come: predicted over seen is ${number(served.calibration, 3)}, log loss ${number(served.log_loss)}.`);
  say("late-text", said.join(" "));
  list("late-counts", Object.entries(LATE).flatMap(([kind, names]) =>
    Object.entries(late?.[kind] ?? {}).filter(([, n]) => n > 0).map(([name, n]) => [names[name] ?? name.replaceAll("_", " "), count(n)])));
}

const NEGATIVES = { at_once: "at once", window: "when its window ends, and clicks are too", at_end: "when its window ends" };

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
    ["Without a click, a prediction with an id is learned as a negative", NEGATIVES[settings.negatives] ?? settings.negatives ?? null],
    ["Table", `${bytes(state.bytes)}, 2^${settings.bits} slots`],
    ["Made", moment(Date.parse(state.created))],
  ]);
}
