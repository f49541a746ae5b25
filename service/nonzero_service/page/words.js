// Figures as people read them, and sentences about them.

import { ENOUGH } from "./figures.js";

const NO_BREAK = "\u00a0";
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A name, cut where it is very long. */
export const short = (name, most = 120) => (name.length > most ? `${name.slice(0, most)}…` : name);

/** What the service says, as a sentence. */
export const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "");

/** A count: 4,982. */
export const count = (n) => WHOLE.format(n);

/** "1 example", "5 examples". */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${Math.round(n) === 1 ? one : many}`;

/** A share, with two digits or so: 5.6 %. */
export function percent(share) {
  const value = 100 * share;
  const size = Math.abs(value);
  const digits = size >= 9.95 || size === 0 ? 0 : size >= 0.095 ? 1 : 2;
  return `${value.toLocaleString("en", { minimumFractionDigits: 0, maximumFractionDigits: digits }).replace("-", "−")}${NO_BREAK}%`;
}

/** A number with some digits; a dash where there is none. */
export const number = (value, digits = 4) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−");

/** A number of any size, with three digits that mean something. */
export const precise = (value) =>
  value === null || value === undefined ? "–" : String(Number(value.toPrecision(3))).replace("-", "−");

const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const MINUTE = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

export const clock = (ms) => CLOCK.format(ms);
export const minute = (ms) => MINUTE.format(ms);
export const day = (ms) => DAY.format(ms);

/** A moment: its time today, else its day too. */
export const moment = (ms, now = Date.now()) =>
  new Date(ms).toDateString() === new Date(now).toDateString() ? clock(ms) : `${day(ms)}, ${minute(ms)}`;

/** A time that has passed, in its largest unit. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  for (const [size, unit] of [[86400, "day"], [3600, "hour"], [60, "minute"]])
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}s`;
  return counted(seconds, "second");
}

/** A size in bytes. */
export function bytes(n) {
  for (const [size, unit] of [[2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "KB"]])
    if (n >= size) return `${Number((n / size).toPrecision(3))}${NO_BREAK}${unit}`;
  return `${n}${NO_BREAK}bytes`;
}

/** How much better the predictions are than the average rate, as a sentence. */
export function gainSentence(sum) {
  if (!sum.examples) return "There was nothing to learn from in this time.";
  if (sum.clicks < ENOUGH || sum.weight - sum.clicks < ENOUGH)
    return `Too early to say how well it predicts: ${counted(sum.clicks, "click")} in ${counted(sum.examples, "example")} so far.`;
  if (Math.abs(sum.gain) < Math.max(0.0005, 2 * (sum.chance || 0)))
    return "Predictions are as good as always saying the average rate, as far as chance lets one tell.";
  return `Predictions are ${percent(Math.abs(sum.gain))} ${sum.gain > 0 ? "better" : "worse"} than always saying the average rate.`;
}

/** How many clicks were predicted and came, as a sentence. */
export function calibrationSentence(sum) {
  if (!sum.examples) return "";
  const said = `It predicted ${counted(sum.predicted, "click")}; ${count(sum.clicks)} came`;
  if (sum.clicks < ENOUGH) return `${said}.`;
  const off = sum.predicted / sum.clicks - 1;
  if (Math.abs(off) < 0.0005) return `${said}: just as many.`;
  return `${said}: ${percent(Math.abs(off))} too ${off > 0 ? "many" : "few"}.`;
}

/** Whether chance alone explains the difference between clicks predicted and seen. */
export function chanceSentence(sum) {
  // A click is drawn with the probability that was predicted: their number varies by less than its square root.
  if (sum.clicks < ENOUGH || Math.abs(sum.weight - sum.examples) > 0.001 * sum.examples) return "";
  const apart = Math.abs(sum.predicted - sum.clicks) / Math.sqrt(sum.predicted);
  return apart <= 2 ? "Chance alone explains that: on the whole it is calibrated." : "That is more than chance explains: it is not calibrated.";
}
