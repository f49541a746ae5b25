"""The update rules, compiled: what an example does to the two numbers that a lane keeps of a coordinate.

:mod:`nonzero.rules.adagrad` is the rule of the default lanes. :mod:`nonzero.rules.leader` is FTRL-proximal
and dual averaging, which differ in one term. :mod:`nonzero.rules.margins` and :mod:`nonzero.rules.steps` go
over an example's :mod:`~nonzero.rules.rows` for any of them. :mod:`nonzero.rules.kernels` are the loops over
examples for models that use other rules than AdaGrad, compiled when the first such model is made.
"""
