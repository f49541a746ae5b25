"""The update rules: what an example does to the two numbers that a lane keeps of a coordinate.

:mod:`nonzero.rules.optimizers` are the rules and their hyperparameters, as a user names them; the rest is
compiled. :mod:`nonzero.rules.adagrad` is the rule of the default lanes. :mod:`nonzero.rules.leader` is
FTRL-proximal and dual averaging, which differ in one term. :mod:`nonzero.rules.margins` and
:mod:`nonzero.rules.steps` go over an example's :mod:`~nonzero.rules.rows` for any of them. The loops over
examples are in :mod:`nonzero.loops`.
"""
