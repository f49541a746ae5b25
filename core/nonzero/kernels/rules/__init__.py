"""The update rules: what an example does to the two numbers that a lane keeps of a coordinate.

To read in this order:

- :mod:`~nonzero.kernels.rules.reference`: one step in plain Python;
- :mod:`~nonzero.kernels.rules.interface`: what a rule is;
- :mod:`~nonzero.kernels.rules.adagrad`: the rule of the default lanes;
- :mod:`~nonzero.kernels.rules.leader`: FTRL-proximal and dual averaging, which differ in one term;
- :mod:`~nonzero.kernels.rules.mixed`: all of them side by side;
- :mod:`~nonzero.kernels.rules.optimizers`: the rules as a user names them.

A new rule is a new file here, and a class in ``optimizers``, where its hyperparameters have their places.
:mod:`~nonzero.kernels.entry_points` has two kernels for models of it alone; by ``mixed``, whose ``FAMILIES``
name it then, it can stand beside others.
"""
