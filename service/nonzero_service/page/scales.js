// Where things stand on an axis, and which of its values are named.

import { day, minute, clock } from "./words.js";

/** Return what maps values from low to high to places from start to end. */
export function scale(low, high, start, end) {
  const factor = high > low ? (end - start) / (high - low) : 0;
  return (value) => start + (value - low) * factor;
}

/** Round values, few enough, between low and high. */
export function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

const SECOND = 1000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000]
  .map((seconds) => seconds * SECOND);

/** Round times, few enough, and how they are written. */
export function timeTicks(low, high, most) {
  const step = STEPS.find((one) => (high - low) / one <= most) ?? STEPS.at(-1);
  const shift = new Date(low).getTimezoneOffset() * 60 * SECOND; // round in the reader's own time
  const found = [];
  for (let t = Math.ceil((low - shift) / step) * step + shift; t <= high; t += step) found.push(t);
  return { ticks: found, text: step >= 86400 * SECOND ? day : step >= 60 * SECOND ? minute : clock };
}
