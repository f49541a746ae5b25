"""Learning while serving: from a batch that waits to rows of the journal, and from these to the model."""
