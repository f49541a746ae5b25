"""The update rules, compiled: what an example does to the two numbers that a lane keeps of a coordinate.

:mod:`nonzero.rules.adagrad` is the rule of the default lanes. :mod:`nonzero.rules.leader` is FTRL-proximal
and dual averaging, which differ in one term. :mod:`nonzero.rules.kernels` are the loops over examples for
models that use these, compiled when the first such model is made: the default model's know only AdaGrad.
"""
