// A form that predicts an example typed in, and takes the prediction apart.

import { Unreachable, ask, pathOf } from "./api.js";
import { byId, html, say, show, svg } from "./dom.js";
import { number, percent, short } from "./words.js";

const SHOWN = 100; // so many parts, those that weigh most
const ASKED = 20; // so many fields are named
const LINES = 5; // so many lines show how an example is written

const UNNAMED = /^field \d+$/; // what the diagnosis calls a field that no request has shown

let model = "";
let kinds = {};
let products = new Set(); // the model makes them itself

/** Say whose predictions are tried; one example is as good for another model, its answer is not. */
export function tryModel(name, settings) {
  kinds = settings?.schema?.fields ?? {};
  products = new Set((settings?.interactions ?? []).map((pair) => [pair].flat().join("*")));
  if (name === model) return;
  model = name;
  say("try-answer", "");
  say("try-error", "");
  nameFields([]);
  show("try-parts", false);
}

/** Name the fields that the model knows. */
export function nameFields(fields) {
  const own = fields.filter((name) => !products.has(name));
  const names = own.filter((name) => !UNNAMED.test(name)).map((name) => short(name, 40)).slice(0, ASKED);
  say("try-fields", names.length ? `Its fields: ${names.join(", ")}${names.length < own.length ? ", …" : ""}.` : "");
  byId("try-text").placeholder = names.slice(0, LINES).map((name) => (kinds[name] === "number" ? `${name}:0.5` : `${name}=…`)).join("\n");
}

/** Read features from text. */
export function featuresOf(text) {
  if (text.trim().startsWith("{")) {
    const read = JSON.parse(text);
    return read.features && typeof read.features === "object" && !Array.isArray(read.features) ? read.features : read;
  }
  const found = {};
  text.split("\n").forEach((line, i) => {
    if (!line.trim()) return;
    const [, field, sign, value] = /^\s*([^=:]+?)\s*([=:])\s*(.*?)\s*$/.exec(line) ?? [];
    if (field === undefined) throw new Error(`Line ${i + 1} is “${line.trim().slice(0, 60)}”: write field=value.`);
    const isNumber = sign === ":" || kinds[field] === "number";
    if (isNumber && (value === "" || !Number.isFinite(Number(value)))) throw new Error(`Line ${i + 1}: “${value.slice(0, 60)}” is no number.`);
    const read = isNumber ? Number(value) : value;
    if (!Object.hasOwn(found, field)) found[field] = read;
    else if (isNumber) throw new Error(`Line ${i + 1}: ${field} has two numbers.`);
    else found[field] = [found[field], read].flat();
  });
  return found;
}

async function predict() {
  const asked = model;
  say("try-error", "");
  let features;
  try {
    features = featuresOf(byId("try-text").value);
  } catch (error) {
    return refuse(error instanceof SyntaxError ? `This is not JSON: ${error.message}.` : error.message);
  }
  if (!Object.keys(features).length) return refuse("Write at least one field, as site=news.");
  try {
    const answer = await ask(`${pathOf(asked)}/explain`, { method: "POST", body: JSON.stringify({ features }) });
    if (asked === model) explain(answer);
  } catch (error) {
    refuse(error instanceof Unreachable ? "The service does not answer." : error.message);
  }
}

function refuse(why) {
  say("try-error", why);
  say("try-answer", "");
  show("try-parts", false);
  byId("try-text").setAttribute("aria-invalid", "true");
}

function explain(answer) {
  byId("try-text").removeAttribute("aria-invalid");
  const unknown = answer.contributions.filter((one) => one.weight === 0).map((one) => short(one.feature, 60));
  byId("try-answer").replaceChildren(
    html("p", { class: "lead" }, `${percent(answer.probability)} of such are clicked, it says.`),
    html("p", { class: "quiet" }, unknown.length ? `It has learned nothing of ${unknown.slice(0, 5).join(", ")}${unknown.length > 5 ? ", …" : ""}.` : ""),
  );
  const parts = [
    { name: "any example", share: answer.intercept },
    ...answer.contributions.map((one) => ({ name: one.value === 1 ? one.feature : `${one.feature} × ${Number(one.value.toPrecision(6))}`, share: one.contribution })).sort((a, b) => Math.abs(b.share) - Math.abs(a.share)).slice(0, SHOWN),
    { name: "the rest: how its learners are mixed", share: answer.mixing },
  ];
  const largest = Math.max(...parts.map((part) => Math.abs(part.share)), 1e-9);
  byId("try-parts").querySelector("tbody").replaceChildren(
    ...parts.map(({ name, share }) =>
      html("tr", {}, html("th", { scope: "row", class: "long" }, short(name)), html("td", { class: "number" }, `${share > 0 ? "+" : ""}${number(share, 3)}`), html("td", { class: "wide" }, bar(share / largest)))),
  );
  show("try-parts", true);
}

function bar(share) {
  const size = 50 * Math.abs(share);
  return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: share < 0 ? "against" : "for", x: share < 0 ? 50 - size : 50, y: 1, width: size, height: 8 }),
    svg("line", { x1: 50, x2: 50, y1: 0, y2: 10 }));
}

byId("try-form").addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});
byId("try-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("try-form").requestSubmit();
});
