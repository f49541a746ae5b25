// How well a model predicts: sentences, charts, and what happened.

import { Chart } from "./chart.js";
import { byId, html, refill, say, show } from "./dom.js";
import { points, summed } from "./figures.js";
import { RANGES } from "./history.js";
import { calibrationSentence, chanceSentence, count, counted, gainSentence, moment, number, percent, precise, sentence } from "./words.js";

const EVENTS = 30; // the newest are listed
const KINDS = {
  start: "Start",
  pause: "Pause",
  resume: "Goes on",
  discard: "Discarded",
  remedy: "Remedy",
  recalibration: "Recalibration",
  promotion: "Promotion",
  shift: "Change",
  recovered: "Adapted",
};
const ALARMING = new Set(["shift", "pause"]);

const charts = {
  gain: new Chart(byId("gain-chart"), 276),
  rate: new Chart(byId("rate-chart"), 206),
  loss: new Chart(byId("loss-chart"), 206),
  shares: new Chart(byId("shares-chart"), 206),
};

/** Offer the ranges. */
export function offerRanges(onChoice) {
  byId("ranges").append(
    ...Object.entries(RANGES).map(([range, { name }]) => {
      const radio = html("input", { type: "radio", name: "range", value: range });
      radio.addEventListener("change", () => onChoice(range));
      return html("label", {}, radio, html("span", {}, name));
    }),
  );
}

/** Mark the range that is shown. */
export function markRange(range) {
  for (const radio of byId("ranges").querySelectorAll("input")) radio.checked = radio.value === range;
}

const sign = (value) => (Number.isFinite(value) ? percent(value) : "–");
const rounded = (value) => (Number.isFinite(value) ? number(value) : "–");

/** Show a range of a model's history. */
export function showOverview(history, range, lanes) {
  const byTime = range !== "whole";
  const { rows, events } = history ?? { rows: [], events: [] };
  const sum = summed(rows);
  say("gain", history ? gainSentence(sum) : "");
  say("gain-detail", sum.loss === null || sum.gain === null ? "" : `By log loss: ${number(sum.loss)} nats an example, against ${number(sum.baseLoss)} of who always says ${percent(sum.rate)}.`);
  say("calibration", history ? calibrationSentence(sum) : "");
  say("calibration-detail", sum.examples ? `${counted(sum.examples, "example")}, of which ${percent(sum.rate)} were clicked. ${chanceSentence(sum)}` : "");
  const first = byTime ? sum.time : sum.start;
  const last = byTime ? sum.end : sum.sequence;
  const listed = events.slice(-EVENTS).map((event, i) => ({ ...event, number: i + 1, at: byTime ? event.time : event.sequence }));
  say("change", history && sum.examples ? changeSentence(listed, byTime) : "");
  showEvents(listed, byTime);
  for (const name of Object.keys(charts)) show(`${name}-chart`, rows.length > 0);
  const shared = rows.some((row) => row.shares);
  show("shares-chart", shared);
  show(byId("rate-chart").parentElement, rows.length > 0);
  if (!rows.length) return;
  const marks = listed.map((event) => ({ at: event.at, number: event.number, kind: ALARMING.has(event.kind) ? "alarming" : event.kind === "recovered" ? "good" : "plain" }));
  const drawn = points(rows, innerWidth < 600 ? 40 : 60, byTime);
  const common = { points: drawn, byTime, marks };
  const over = byTime ? `from ${moment(first)} to ${moment(last)}` : `over ${counted(sum.examples, "example")}`;
  const gains = drawn.map((point) => point.gain).filter(Number.isFinite);
  charts.gain.draw({
    ...common,
    series: [{ name: "Better than the average rate", short: "better by", style: "one", value: (point) => point.gain }],
    text: sign,
    zero: "the average rate",
    said: gains.length ? `How much better than the average rate, ${over}: from ${percent(Math.min(...gains))} to ${percent(Math.max(...gains))}, at last ${percent(gains.at(-1))}.` : "No figures yet.",
  });
  charts.rate.draw({
    ...common,
    series: [
      { name: "predicted", style: "one", value: (point) => point.predictedRate },
      { name: "seen", style: "two", value: (point) => point.rate },
    ],
    text: sign,
    zero: "",
    said: `Click rate ${over}: ${sign(sum.predictedRate)} predicted, ${sign(sum.rate)} seen.`,
  });
  charts.loss.draw({
    ...common,
    series: [
      { name: "the model", style: "one", value: (point) => point.loss },
      { name: "always the average rate", short: "average rate", style: "two", value: (point) => point.baseLoss ?? NaN },
    ],
    text: rounded,
    tick: precise,
    said: `Log loss in nats an example, ${over}: ${rounded(sum.loss)}, and ${rounded(sum.baseLoss)} of who always says the average rate.`,
  });
  if (!shared) return;
  const newest = rows.findLast((row) => row.shares).shares;
  const names = newest.map((_, lane) => nameOf(lanes?.[lane], lane));
  charts.shares.draw({
    ...common,
    stacked: true,
    series: newest.map((_, lane) => ({ name: names[lane], style: `lane-${lane}`, value: (point) => point.shares?.[lane] ?? NaN })),
    text: sign,
    said: `The learners' shares now: ${newest.map((share, lane) => `${names[lane]} ${percent(share)}`).join(", ")}.`,
  });
}

function nameOf(lane, place) {
  if (!lane) return `learner ${place + 1}`;
  return lane.rule === "kalman" ? `Kalman ${place + 1}, prior ${lane.prior_variance}` : `${lane.rule === "adagrad" ? "AdaGrad" : lane.rule} ${place + 1}, rate ${lane.learning_rate ?? lane.alpha ?? "–"}`;
}

const placed = (event, byTime) => (byTime ? moment(event.time) : `example ${count(event.sequence)}`);

/** Say whether something changed, and whether that is over. */
function changeSentence(events, byTime) {
  const shift = events.findLast((event) => event.kind === "shift");
  if (!shift) return "Nothing changed all at once.";
  const over = events.find((event) => event.kind === "recovered" && event.number > shift.number);
  return `Something changed at ${placed(shift, byTime)}: ${shift.text.replace(/\.$/, "")}.${over ? ` By ${placed(over, byTime)} it had adapted: since then predictions are off by no more than chance.` : ""}`;
}

function showEvents(events, byTime) {
  show("events-none", !events.length);
  const list = byId("events-list");
  const items = events.map((event) =>
    html("li", { value: event.number, class: ALARMING.has(event.kind) ? "alarming" : null },
      html("span", { class: "head" }, html("strong", {}, KINDS[event.kind] ?? event.kind), " ",
        html("span", { class: "quiet" }, byTime ? placed(event, true) : `${placed(event, false)}, ${moment(event.time)}`)),
      html("span", { class: "text" }, sentence(event.text))),
  );
  refill(list, items);
}
