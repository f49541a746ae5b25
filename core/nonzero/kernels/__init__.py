"""What learns and predicts, as compiled code, and what it writes down on the way.

- :mod:`~nonzero.kernels.tuples`: what every kernel is handed: rows, the model's state, the call;
- :mod:`~nonzero.kernels.rules`: the update rules; read its ``reference`` and ``interface`` first;
- :mod:`~nonzero.kernels.margins` and :mod:`~nonzero.kernels.steps`: an example's nonzeros, for any rule;
- :mod:`~nonzero.kernels.learning`: the loops over examples; :mod:`~nonzero.kernels.pending` mixes and counts
  what they predicted, by :mod:`~nonzero.kernels.mixture`;
- :mod:`~nonzero.kernels.entry_points`: the kernels made of all that, and the choice among them;
- :mod:`~nonzero.kernels.scales` and :mod:`~nonzero.kernels.products`: what is done to a batch before;
- :mod:`~nonzero.kernels.evidence`: what is written down for the diagnosis.
"""
