"""A model: its settings, what it has learned, and :class:`~nonzero.LogisticRegression`, which holds both."""
