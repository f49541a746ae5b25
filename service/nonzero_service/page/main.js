// What is shown, and when it is asked for anew.

import { Refused, Unreachable, ask, pathOf, token } from "./api.js";
import { comparisonsOf, offerPromotion, showChallengers } from "./challengers.js";
import { askForToken } from "./dialogs.js";
import { offerRemedy, showDiagnosis } from "./diagnosis.js";
import { byId, say, show } from "./dom.js";
import { History, RANGES } from "./history.js";
import { choose, fragmentOf, note, showModels } from "./models.js";
import { markRange, offerRanges, showOverview } from "./overview.js";
import { offerResume, showPause } from "./pausing.js";
import { showReplica } from "./replica.js";
import { showSource, sourceOf } from "./source.js";
import { showLate, showMore, showSlices } from "./tables.js";
import { nameFields, tryModel } from "./trying.js";
import { clock, count, counted } from "./words.js";

const PAUSE = 2000; // between looks, in ms
const REFUSED_PAUSE = 30_000; // while the service asks for a token: its file may change
const LIST = 20_000; // between looks at the list of models, or a hundred times as long as one takes
const DIAGNOSIS = 30_000;
const COMPARISON = 10_000;
const SOURCE = 20; // between looks at what it reads, times as long as one takes
const REFRESH = 30_000;
const RATE = 10_000; // over so long examples a second are counted

let timer = 0;
let looking = false;
let again = false;
let listed = null; // the models, and when they are next asked for
let shown = null; // the model that is shown, and all that is known of it
let answered = null; // when the service answered last

/** Where the fragment leads. */
function wanted() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const range = fragment.get("range");
  return { model: fragment.get("model") ?? "", range: Object.hasOwn(RANGES, range ?? "") ? range : null };
}

/** Look now, or as soon as the look that is under way has ended. */
function hurry() {
  clearTimeout(timer);
  if (looking) again = true;
  else look();
}

async function look() {
  if (document.hidden) return;
  looking = true;
  again = false;
  try {
    await lookOnce();
    answered = Date.now();
    alive();
  } catch (error) {
    failed(error);
  } finally {
    looking = false;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, again ? 0 : byId("connection").dataset.state === "refused" ? REFUSED_PAUSE : PAUSE);
  }
}

async function lookOnce() {
  const started = Date.now();
  if (!listed || started >= listed.next) {
    const { models } = await ask("v1/models");
    const now = Date.now();
    listed = { models, next: now + Math.max(LIST, 100 * (now - started)) };
    showModels(models, shown?.name ?? "");
  }
  const { model, range } = wanted();
  const name = model || listed.models.find((one) => one.model === "default")?.model || listed.models[0]?.model;
  show("empty", !name);
  show("model", Boolean(name));
  if (!name) {
    shown = null;
    listed.next = 0;
    document.title = "Nonzero";
    return;
  }
  if (shown?.name !== name) begin(name);
  await lookAt(shown, range);
}

/** Begin to show another model: of the one before nothing is left. */
function begin(name) {
  shown = { name, history: new History(name), state: null, metrics: null, diagnosis: null, source: null, comparisons: [], range: null, seen: {}, paces: [], turn: 0 };
  say("name", name);
  say("pace", "");
  document.title = `${name} · Nonzero`;
  choose(name);
  showReplica(null);
  showSource([], null);
  showPause(name, null);
  showDiagnosis(name, null);
  showChallengers(name, [], null);
  showSlices({});
  showLate(null, null);
  tryModel(name, null);
  showOverview(undefined, "whole", null);
  show("done", false);
}

/** Ask for what may have changed of a model: its state, and one or two other things. */
async function lookAt(one, range) {
  const state = await ask(pathOf(one.name));
  if (one.state && one.state.created !== state.created) return begin(one.name); // it was made anew
  one.state = state;
  one.range = range ?? one.range ?? (await one.history.best(Date.parse(state.created)));
  const chosen = one.range;
  // What others do to a model (a remedy, say) is seen after a while though it has learned nothing.
  const now = `${state.sequence} ${state.learning?.paused} ${Math.floor(Date.now() / REFRESH)}`;
  const moved = (what) => one.seen[what] !== now;
  const saw = (what) => (one.seen[what] = now);
  const due = (what, every) => Date.now() >= (one.seen[`${what} next`] ?? 0) && (one.seen[`${what} next`] = Date.now() + every);
  one.turn += 1;
  const first = !one.metrics;
  const looks = moved(chosen) && (first || one.turn % 2 || !one.history.of(chosen));
  if (looks) {
    await one.history.update(chosen);
    saw(chosen);
  }
  if (first || (!looks && moved("metrics"))) {
    one.metrics = await ask(`${pathOf(one.name)}/metrics`);
    saw("metrics");
  }
  if (moved("diagnosis") && due("diagnosis", DIAGNOSIS)) {
    one.diagnosis = await ask(`${pathOf(one.name)}/diagnosis`);
    saw("diagnosis");
  }
  const followers = state.followers ?? [];
  if (!followers.length) one.comparisons = [];
  else if (due("comparison", COMPARISON)) one.comparisons = await comparisonsOf(one.name, followers);
  if (!state.topics?.length) one.source = null;
  else if (Date.now() >= (one.seen.source ?? 0)) {
    const started = Date.now();
    one.source = await sourceOf(one.name);
    // There may be thousands of partitions. But who did not answer was waited for, which cost nobody anything.
    one.seen.source = one.source?.untold ? 0 : Date.now() + SOURCE * (Date.now() - started);
  }
  if (shown === one) display(one, chosen);
}

function display(one, range) {
  const { state, metrics } = one;
  say("pace", paceOf(one));
  note(state);
  markRange(range);
  showReplica(state.replica);
  showPause(one.name, state.learning);
  showSource(state.topics, one.source);
  showOverview(one.history.of(range), range, state.settings.lanes);
  tryModel(one.name, state.settings);
  showDiagnosis(one.name, one.diagnosis);
  if (one.diagnosis) nameFields(Object.keys(one.diagnosis.fields));
  showChallengers(one.name, one.comparisons, state.follows);
  showSlices(metrics?.slices);
  showLate(metrics?.served, state.late_labels);
  showMore(state, metrics);
}

/** Say how much was learned from, and how fast that grows. */
function paceOf({ state, paces }) {
  const now = Date.now();
  paces.push([now, state.sequence]);
  while (paces.length > 2 && now - paces[0][0] > RATE) paces.shift();
  const [[then, before]] = paces;
  const rate = now > then ? (1000 * (state.sequence - before)) / (now - then) : 0;
  const pace = rate <= 0 ? "none at the moment" : rate < 1 ? "less than one a second" : `${count(rate)} a second`;
  return `${counted(state.sequence, "example")} learned from, ${pace}.`;
}

function connection(state, text) {
  byId("connection").dataset.state = state;
  say("connection", text);
}

function alive() {
  connection("live", "Live");
  show("token", token.get() !== ""); // who needs none is not asked to wonder what it is
  document.body.classList.remove("stale");
  show("gone", false);
}

/** Say what is wrong; the last figures stay, greyed. */
function failed(error) {
  if (error instanceof Refused && error.status === 401) {
    connection("refused", "Needs a token");
    show("token", true);
    const why = error.message.includes("not known") ? "The service does not know this token." : "This service asks for a token.";
    say("gone", `${why} Choose Token above.`);
    if (!asked) {
      asked = true;
      giveToken(why);
    }
  } else if (error instanceof Refused && error.status === 404 && shown) {
    connection("live", "Live");
    show("model", shown.state !== null);
    say("gone", `There is no model ${shown.name}${shown.state ? " any more. What you see are its last figures" : ""}.`);
    if (listed) listed.next = 0;
  } else if (error instanceof Refused && !error.passes) {
    connection("refused", "Refused");
    say("gone", error.message);
  } else if (error instanceof Refused || error instanceof Unreachable) {
    connection("gone", error instanceof Refused ? "Busy" : "No answer");
    const since = answered ? ` What you see is from ${clock(answered)}.` : "";
    say("gone", `${error instanceof Refused ? "The service is busy or just starting." : "The service does not answer."}${since} Trying again.`);
  } else {
    throw error; // a defect of this page
  }
  document.body.classList.add("stale");
  show("gone", true);
}

let asked = false;

async function giveToken(why) {
  if (!(await askForToken(why))) return;
  asked = false;
  listed = null;
  hurry();
}

/** Say why something was not done, or that this is not known: where one process passes on to another, an answer can be lost. */
const notDone = (why) => (why.startsWith("the outcome is unknown") ? `It is not known whether this was done: ${why}.` : `Not done: ${why}.`);

/** Do something that changes a model, and say what came of it. */
async function act(action) {
  const done = byId("done");
  try {
    say(done, await action());
    done.classList.remove("wrong");
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    say(done, error instanceof Unreachable ? "The service does not answer: it is not known whether this was done." : notDone(error.message));
    done.classList.add("wrong");
  }
  show(done, true);
  if (shown) shown.seen = {};
  if (listed) listed.next = 0;
  hurry();
}

offerRanges((range) => location.replace(fragmentOf(shown?.name ?? "", range)));
offerResume(act);
offerRemedy(act);
offerPromotion(act);
byId("token").addEventListener("click", () => giveToken("Whoever asks with it may do what its scope allows."));
byId("skip").addEventListener("click", () => byId("main").focus());
addEventListener("hashchange", hurry);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : hurry()));
look();
