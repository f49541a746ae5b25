"""History: what a model was like by the clock and over its whole stream, and what happened to it."""
