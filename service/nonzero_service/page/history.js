// What a model was like: rows and events over a range, fetched once and then only what is new.

import { ask, now, pathOf, unlessGone } from "./api.js";
import { ENOUGH, summed } from "./figures.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The ranges: how long, and by which steps. */
export const RANGES = {
  whole: { name: "whole stream", step: "examples" },
  quarter: { name: "last 15 minutes", step: "second", length: 15 * MINUTE },
  hour: { name: "last hour", step: "minute", length: HOUR },
  day: { name: "last day", step: "minute", length: DAY },
  month: { name: "last 30 days", step: "hour", length: 30 * DAY },
};

/** What is known of one model's history. */
export class History {
  constructor(model) {
    this.model = model;
    this.kept = new Map();
  }

  /** Fetch what is new of a range. */
  async update(name) {
    const { step, length } = RANGES[name];
    const kept = this.kept.get(name);
    const from = length && Math.max(Math.round(now() - length), kept?.rows.at(-1)?.time ?? 0);
    const told = await ask(`${pathOf(this.model)}/history?step=${step}${length ? `&from=${from}` : ""}`).catch(unlessGone);
    if (!told) return;
    const rows = length && kept ? [...kept.rows.filter((row) => row.time < from), ...told.rows] : told.rows;
    const events = new Map((length && kept ? kept.events : []).map((event) => [keyOf(event), event]));
    for (const event of told.events) events.set(keyOf(event), event);
    this.kept.set(name, { rows, events: [...events.values()].sort((a, b) => a.time - b.time || a.sequence - b.sequence) });
  }

  /** Return the rows and events of a range, as far as they are known; undefined before. */
  of(name) {
    const kept = this.kept.get(name);
    const { length } = RANGES[name];
    if (!kept || !length) return kept;
    const from = now() - length;
    return { rows: kept.rows.filter((row) => row.end > from), events: kept.events.filter((event) => event.time > from) };
  }

  /** Return the range that says most: the whole stream of a young model, the last day of one that is older. */
  async best(created) {
    if (now() - created < DAY) return "whole";
    await this.update("day");
    return summed(this.of("day")?.rows ?? []).clicks >= ENOUGH ? "day" : "whole";
  }
}

const keyOf = (event) => `${event.time} ${event.sequence} ${event.kind}`;
