// Sums over rows of a model's history.

/** So many clicks a figure needs, and so many examples without one: of fewer it says more than is known. */
export const ENOUGH = 20;

/** The mean loss of who always says the rate, in nats. */
function entropy(rate) {
  return rate > 0 && rate < 1 ? -(rate * Math.log(rate) + (1 - rate) * Math.log1p(-rate)) : 0;
}

const BATCHES = 8; // rows of fewer do not tell how much chance moves them

/** How far chance moves the mean by which the loss differs from the average rate's: by batch means, in nats. */
function deviation(rows, { rate, weight, loss, baseLoss }) {
  if (rows.length < BATCHES) return NaN;
  let squares = 0;
  for (const row of rows) {
    const constant = -(row.clicks * Math.log(rate) + (row.weight - row.clicks) * Math.log1p(-rate));
    squares += ((row.log_loss ?? 0) * row.weight - constant - (loss - baseLoss) * row.weight) ** 2;
  }
  return Math.sqrt((squares * rows.length) / (rows.length - 1)) / weight;
}

/** Add rows up: counts, rates, the loss, and how much better it is than always saying the average rate. */
export function summed(rows) {
  const sum = { examples: 0, weight: 0, clicks: 0, predicted: 0 };
  let losses = 0;
  for (const row of rows) {
    sum.examples += row.examples;
    sum.weight += row.weight;
    sum.clicks += row.clicks;
    sum.predicted += row.predicted;
    losses += (row.log_loss ?? 0) * row.weight;
  }
  sum.loss = sum.weight ? losses / sum.weight : null;
  sum.rate = sum.weight ? sum.clicks / sum.weight : null;
  sum.predictedRate = sum.weight ? sum.predicted / sum.weight : null;
  const base = sum.weight ? entropy(sum.rate) : 0;
  sum.baseLoss = base || null;
  sum.gain = base ? 1 - sum.loss / base : null;
  sum.chance = base ? deviation(rows, sum) / base : null;
  if (rows.length) {
    sum.time = rows[0].time;
    sum.end = rows.at(-1).end;
    sum.sequence = rows.at(-1).sequence;
    sum.start = rows[0].sequence - rows[0].examples;
    sum.shares = rows.at(-1).shares ?? null;
  }
  return sum;
}

/** Rows further apart than this many times their own length are not joined by a line. */
const GAP = 5;

/** Make at most so many points of rows, each of neighbours that had enough clicks to say something. */
export function points(rows, most, byTime) {
  const total = rows.reduce((clicks, row) => clicks + row.clicks, 0);
  const weight = rows.reduce((sum, row) => sum + row.weight, 0);
  const groups = [];
  let group = { rows: [], clicks: 0, weight: 0 };
  const enough = Math.max(total / most, 10);
  for (const row of rows) {
    const last = group.rows.at(-1);
    const apart = byTime && last && row.time - last.end > GAP * Math.max(row.end - row.time, last.end - last.time);
    if (apart || (group.clicks >= enough - 0.5 && group.weight >= 0.6 * (weight / most))) {
      groups.push(group);
      group = { rows: [], clicks: 0, weight: 0, apart };
    }
    group.rows.push(row);
    group.clicks += row.clicks;
    group.weight += row.weight;
  }
  const before = groups.at(-1);
  if (before && !group.apart && group.clicks < enough / 2) before.rows.push(...group.rows);
  else if (group.rows.length) groups.push(group);
  return groups.map((one) => ({ ...summed(one.rows), apart: Boolean(one.apart) }));
}
