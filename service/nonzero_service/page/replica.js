// A node that follows: who learns, and how far this node is behind it.

import { say, show } from "./dom.js";
import { ago, counted } from "./words.js";

/** Say whom this node follows in what it shows of a model; of one that learns itself there is nothing to say. */
export function showReplica(replica) {
  show("replica", Boolean(replica));
  if (replica) say("replica", `This is node ${replica.node}. ${replica.follows === null ? "No node learns at the moment. Predictions go on with what was learned before." : `It follows ${replica.follows}, ${behind(replica)}.`}`);
}

/** Say how far: by time, since what comes in less than a second differs at each look. */
function behind({ lag_examples: examples, lag_seconds: seconds }) {
  if (seconds < 1) return "less than a second behind";
  return `${ago(1000 * seconds)} behind${examples ? `: ${counted(examples, "example")} to go` : ""}`;
}
