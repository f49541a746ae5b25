// Topics that a model learns from: how reading them goes, how far it is, and what was refused.

import { Refused, ask, now, pathOf } from "./api.js";
import { byId, html, refill, say, show } from "./dom.js";
import { list } from "./tables.js";
import { ago, count, counted, moment, sentence, short } from "./words.js";

const ROWS = 100; // so many partitions are shown: those that are furthest behind

const OVER_HTTP = "What comes over HTTP is learned from meanwhile.";

/** What is said of each state, of the topics and of when it began. */
const STATES = {
  reading: ({ lag_messages: lag, lag_seconds: seconds }, topics) => {
    if (lag === null) return `It reads ${topics}.`;
    if (!lag) return `It reads ${topics}, and has caught up.`;
    return `It reads ${topics}, and is ${counted(lag, "message")}${seconds === null ? "" : `, ${lasting(seconds)},`} behind.`;
  },
  paused: (_, topics) => `It does not read ${topics} while learning is paused.`,
  waiting: (_, topics, since) => `It waits for ${topics}, ${since}.`,
  stopped: (_, topics, since) => `It has stopped reading ${topics}, ${since}.`,
};

const NEXT = {
  paused: "It reads on when the pause has ended.",
  waiting: `It tries again by itself. ${OVER_HTTP}`,
  stopped: `No waiting mends that: do what it says, then start the service again. ${OVER_HTTP}`,
};

/** Show the source of a model: what the service says of it, or why it says nothing; null: there is none. */
export function showSource(topics, source) {
  show("source", Boolean(source));
  const troubled = source?.state === "waiting" || source?.state === "stopped";
  show("source-trouble", troubled);
  byId("source").classList.toggle("alarm", source?.state === "stopped");
  byId("source-trouble").classList.toggle("wrong", source?.state === "stopped");
  if (!source) return;
  const named = `the ${topics.length === 1 ? "topic" : "topics"} ${topics.map((topic) => short(topic, 60)).join(" and ")}`;
  const told = !source.untold;
  for (const part of ["source-topics", "source-note"]) show(part, told && source.partitions.length > 0);
  show("source-time", Boolean(source.event_time));
  show("source-counts", Boolean(source.event_time));
  if (!told) {
    say("source-state", `How it gets on with ${named} is not known at the moment.`);
    say("source-why", sentence(source.untold));
    say("source-next", "");
    for (const part of ["source-parts", "source-refused", "source-unseen"]) show(part, false);
    return;
  }
  const since = `since ${moment(source.since)}, ${ago(now() - source.since)} now`;
  const state = (STATES[source.state] ?? STATES.reading)(source, named, source.state === "stopped" ? `at ${moment(source.since)}, ${ago(now() - source.since)} ago` : since);
  say("source-state", state);
  if (troubled) say("source-trouble", state);
  say("source-why", troubled ? sentence(source.reason) : "");
  say("source-next", NEXT[source.state] ?? "");
  showEventTime(source.event_time);
  showTopics(source);
  showPartitions(source.partitions);
  showRefusals(source);
}

const lasting = (seconds) => (seconds < 1 ? "less than a second" : ago(1000 * seconds));

/** Say how far event time is, and which clicks wait. */
function showEventTime(time) {
  if (!time) return;
  const reached = time.reached === null
    ? "Of event time nothing is known yet."
    : `Event time has reached ${moment(time.reached)}, ${lasting(time.behind_seconds)} behind the clock.`;
  const waits = time.waiting_labels;
  say("source-time", `${reached} ${waits ? `${counted(waits, "click")} ${waits === 1 ? "waits for its impression" : "wait for their impressions"}.` : "No click waits for its impression."}`);
  list("source-counts", [
    ["clicks joined after they had waited", time.joined_after_waiting],
    ["clicks that waited in vain", time.waited_in_vain],
    ["records without a time", time.wrong_times.untimed],
    ["records with a time still to come", time.wrong_times.future],
    ["records with a time far ahead of the others", time.wrong_times.leapt],
  ].map(([name, n]) => [name, n ? count(n) : null]));
}

/** A figure of several partitions; null where one is not known, or there are none. */
const total = (parts, name) => (!parts.length || parts.some((part) => part[name] === null) ? null : parts.reduce((sum, part) => sum + part[name], 0));

const figure = (n) => (n === null ? "–" : count(n));

/** A place in topics: its topic, and which part of that. */
const placed = (topic, part) => html("th", { scope: "row", class: "long" }, short(topic), " ", html("span", { class: "quiet" }, part));

function showTopics({ topics, partitions }) {
  const rows = topics.map((topic) => [topic, partitions.filter((part) => part.topic === topic)]).filter(([, parts]) => parts.length);
  refill(byId("source-topics").querySelector("tbody"), rows.map(([topic, parts]) =>
    html("tr", {},
      placed(topic, counted(parts.length, "partition")),
      html("td", { class: "number" }, figure(total(parts.filter((part) => part.position !== null), "position"))),
      html("td", { class: "number" }, figure(total(parts, "lag_messages"))),
      html("td", { class: "number" }, count(total(parts, "refused"))))));
  const sums = rows.some(([, parts]) => parts.length > 1) ? "; of several partitions it is their sum" : "";
  const unknown = partitions.some((part) => part.lag_messages === null) ? " How far it is behind is not known while no broker tells what there is." : "";
  say("source-note", `The position is the offset that is read next${sums}.${unknown}`);
}

function showPartitions(partitions) {
  const many = partitions.length > new Set(partitions.map((part) => part.topic)).size;
  show("source-parts", many);
  if (!many) return;
  const shown = partitions.length > ROWS ? [...partitions].sort((a, b) => (b.lag_messages ?? 0) - (a.lag_messages ?? 0)).slice(0, ROWS) : partitions;
  say("source-parts-some", partitions.length > ROWS ? `The ${ROWS} that are furthest behind, of ${count(partitions.length)}.` : "");
  refill(byId("source-parts").querySelector("tbody"), shown.map((part) =>
    html("tr", {},
      html("th", { scope: "row", class: "long" }, short(part.topic)),
      html("td", { class: "number" }, String(part.partition)),
      html("td", { class: "number" }, figure(part.position)),
      html("td", { class: "number" }, figure(part.lag_messages)),
      html("td", { class: "number" }, count(part.refused)))));
}

/** Show what was refused; null: the token may not see what stands in messages. */
function showRefusals({ refused, refusals }) {
  show("source-refused", refusals?.length > 0);
  show("source-unseen", refusals === null && refused > 0);
  refill(byId("source-refused").querySelector("tbody"), [...(refusals ?? [])].reverse().map((one) =>
    html("tr", {},
      placed(one.topic, `partition ${one.partition}`),
      html("td", { class: "number" }, String(one.offset)), // as other tools take it
      html("td", { class: "number" }, String(one.line)),
      html("td", { class: "reason" }, short(one.reason, 300)))));
}

/** Ask for the source of a model that has one; a node that passes this on may get no answer, and all else is shown. */
export async function sourceOf(model) {
  try {
    return await ask(`${pathOf(model)}/source`);
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error;
    return error.status === 404 ? null : { untold: error.message };
  }
}
