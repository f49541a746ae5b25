// Models that learn from the same stream with other settings, and how they compare.

import { Refused, ask, pathOf, unlessGone } from "./api.js";
import { arrange, byId, html, say, show, svg } from "./dom.js";
import { sure } from "./dialogs.js";
import { fragmentOf } from "./models.js";
import { counted, moment, number, percent, sentence, short } from "./words.js";

const SLICES = 10; // so many are named

let promote = () => {};

/** Show how challengers compare with a model. */
export function showChallengers(model, comparisons, follows) {
  show("challengers", comparisons.length > 0 || Boolean(follows));
  const list = byId("challengers-list");
  // Elements stay the same: who has one of their buttons focused keeps it.
  const there = new Map([...list.children].map((item) => [item.dataset.name, item]));
  arrange(list, [
    ...(follows ? [there.get(`> ${follows}`) ?? leading(follows)] : []),
    ...comparisons.map((one) => compared(model, one, there.get(`${model} ${one.with}`))),
  ]);
}

function leading(champion) {
  const item = html("p", {}, "It is a challenger: it learns from the stream of ", html("a", { href: fragmentOf(champion) }, champion), ". Its page shows the history of that stream, and how the two compare.");
  item.dataset.name = `> ${champion}`;
  return item;
}

const verdicts = {
  better: (one) => `${one.with} is better than ${one.model}${byHow(one)}.`,
  worse: (one) => `${one.with} is worse than ${one.model}${byHow(one)}.`,
  undecided: (one) => `It is not decided yet whether ${one.with} is better than ${one.model}.`,
};

function byHow({ difference, log_loss: loss }) {
  return difference.mean && loss.model ? `: its log loss is ${percent(Math.abs(difference.mean) / loss.model)} ${difference.mean < 0 ? "lower" : "higher"}` : "";
}

function compared(model, one, there) {
  const item = there ?? made(model, one.with);
  const parts = item.querySelectorAll("p");
  say(parts[0], (verdicts[one.verdict] ?? verdicts.undecided)(one));
  const { low, high } = one.difference;
  if (!one.examples) {
    say(parts[1], `${sentence(one.reason)} ${one.since ? "Nothing has come yet that both predicted." : "It still reads what came before it was made."}`);
  } else {
    const over = `over ${counted(one.examples, "example")}${one.since?.time ? ` since ${moment(one.since.time)}` : ""}`;
    say(parts[1], `${sentence(one.reason)} Log loss ${number(one.log_loss.model)} of ${one.model}, ${number(one.log_loss.with)} of ${one.with}, ${over} that both predicted. ${bySlice(one)}`.trim());
  }
  item.querySelector(".interval").replaceChildren(...picture(one.difference));
  show(item.querySelector(".interval"), low !== null && high !== null);
  return item;
}

/** Say for which values of fields a challenger differs. */
function bySlice({ slices }) {
  const told = Object.entries(slices ?? {}).flatMap(([field, found]) => found.map((one) => ({ ...one, name: `${field}=${short(one.value ?? "all others", 40)}` })));
  return ["better", "worse"]
    .map((verdict) => [verdict, told.filter((one) => one.verdict === verdict).slice(0, SLICES)])
    .filter(([, found]) => found.length)
    .map(([verdict, found]) => `${sentence(verdict).slice(0, -1)} for ${found.map((one) => one.name).join(", ")}.`)
    .join(" ");
}

function made(model, name) {
  const button = html("button", { type: "button" }, `Promote ${name}`);
  button.addEventListener("click", () => promote(model, name));
  const item = html("article", {},
    html("h3", {}, html("a", { href: fragmentOf(name) }, name)),
    html("p", { class: "lead" }), html("p"),
    svg("svg", { class: "interval", viewBox: "0 0 300 34", "aria-hidden": "true" }),
    html("p", { class: "buttons" }, button));
  item.dataset.name = `${model} ${name}`;
  return item;
}

/** Draw the interval of the difference around zero: left of it the challenger is better. */
function picture({ mean, low, high }) {
  if (low === null || high === null) return [];
  const reach = 1.1 * Math.max(Math.abs(low), Math.abs(high), 1e-12);
  const x = (value) => 150 + (150 * value) / reach;
  return [
    svg("line", { class: "zero", x1: 150, x2: 150, y1: 0, y2: 20 }),
    svg("line", { class: "span", x1: x(low), x2: x(high), y1: 10, y2: 10 }),
    svg("circle", { cx: x(mean), cy: 10, r: 4 }),
    svg("text", { x: 144, y: 32, "text-anchor": "end" }, "challenger better"),
    svg("text", { x: 156, y: 32 }, "challenger worse"),
  ];
}

/** Have the buttons promote; `act` runs an action and tells what came of it. */
export function offerPromotion(act) {
  promote = async (model, name) => {
    if (!(await sure(`Promote ${name}?`, `Requests to ${model} are answered by what ${name} has learned, with its settings, from now on.`, "Promote it"))) return;
    await act(async () => {
      await ask(`${pathOf(model)}/promote?with=${encodeURIComponent(name)}`, { method: "POST" });
      return `${model} goes on as what ${name} was.`;
    });
  };
}

/** Fetch how the challengers of a model compare. */
export async function comparisonsOf(model, followers) {
  const asked = followers.map((name) => ask(`${pathOf(model)}/comparison?with=${encodeURIComponent(name)}`).catch(unlessRefused));
  return (await Promise.all(asked)).filter((one) => one !== null);
}

/** Pass over that one learns no more, or follows no more: its champion is shown all the same. */
function unlessRefused(error) {
  return error instanceof Refused && error.status === 409 ? null : unlessGone(error);
}
