# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The interface of an update rule: five functions, of which kernels are made.

Read :func:`nonzero.kernels.rules.reference.learn_example` first: it is the whole algorithm on one page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nonzero.arithmetic.intrinsics import load
from nonzero.native import inlined

ONE = np.float32(1.0)
ZERO = np.float32(0.0)


class Example(NamedTuple):
    """An example that was predicted, as a rule learns from it. Numbers are of one lane, or of eight.

    Parameters
    ----------
    row
        Its row of the batch.
    margin
        In log-odds, within +-50.
    click, none
        The probability of a click, and of none. Their sum is 1 but for rounding, and neither lost anything
        to a subtraction from 1.
    label
        float32: 0 or 1, the same in every lane.
    weight
        float32: its importance, above 0 and at most 1e6.
    variance
        The variance of the margin, where the rule keeps variances; else 0.
    """

    row: Any
    margin: Any
    click: Any
    none: Any
    label: Any
    weight: Any
    variance: Any


class UpdateRule(NamedTuple):
    """What a lane keeps of a coordinate, and what it learns from a gradient.

    A lane keeps two float32 of each coordinate, `first` and `second`, which both begin as 0. Every function
    is declared ``@inlined`` and gets *numbers*: a float32, or eight of them with the same operators, one of
    each lane, or of eight rows of one lane. So a rule is written once and compiled for both. Numbers can be
    added, subtracted, multiplied and divided, also with an ``np.float32``; all else that can be done with
    them is in :mod:`nonzero.arithmetic` (there is no unary minus: ``-ONE * x``).

    A function must never branch on a number (use ``where``), allocate, raise, or let one lane's number reach
    another's. It must use nothing but IEEE arithmetic in a fixed order, so that the same stream gives the
    same bits on any CPU. ``tests/core/kernels/rules/test_interface.py`` holds every rule to this page.

    Parameters
    ----------
    read_params
        ``(hyperparameters, learned) -> params``: what the other functions need beside the two numbers, for
        one example, as a named tuple of numbers. `hyperparameters` are the model's, to be read by
        :func:`hyperparameter`; `learned` is an int64, the number of examples learned from before this one.
    weight
        ``(first, second, params) -> weight``: the weight of a coordinate, in log-odds for a value of 1,
        within +-1e6; 0 where both numbers are 0.
    update
        ``(first, second, gradient, params) -> (first, second)``: the two numbers after an example of weight
        1. `gradient` is that of the log loss in this coordinate, ``(p - y) x``, within +-1e6. What is
        returned is finite, of whatever two numbers an update can return: `first` within +-1e30, `second`
        from 0 to 1e30. A gradient of 0 leaves two zeros as they are: pages of the table that were never
        touched take no memory. None where a step is not one of each coordinate alone.
    learn
        ``(step, rows, table, example, params) -> None``: one whole example of weight 1. `step` is
        :func:`nonzero.kernels.steps.step` or its like for eight rows, which most rules hand to their
        `update` and to :func:`residual`.
    learn_weighted
        The same for a weight other than 1. Both may write to the rows of the table that the example names,
        and to the intercept's, and no other. A rule by which a weight multiplies the gradient needs no more
        than `step`.

    See Also
    --------
    nonzero.kernels.rules.adagrad : a rule whose weight is stored.
    nonzero.kernels.rules.leader : a rule whose weight is worked out when it is read.

    Examples
    --------
    >>> from nonzero.kernels.rules.adagrad import ADAGRAD
    >>> ADAGRAD._fields
    ('read_params', 'weight', 'update', 'learn', 'learn_weighted')
    """

    read_params: Callable[..., Any]
    weight: Callable[..., Any]
    update: Any
    learn: Callable[..., Any]
    learn_weighted: Callable[..., Any]


@inlined
def hyperparameter(hyperparameters, place):
    """Return the numbers of every lane that stand at a place of :mod:`nonzero.kernels.rules.optimizers`.

    Parameters
    ----------
    hyperparameters
        The model's, as `read_params` of a rule gets them.
    place
        A member of the rule's ``places``, such as :data:`nonzero.kernels.rules.optimizers.RATE`.

    Returns
    -------
    numbers
        A float32, or eight of them.
    """
    return load(hyperparameters, place[0], place[1])


@inlined
def residual(example):
    """Return p - y without the cancellation of 1 - p: -(1 - p) for a click.

    Parameters
    ----------
    example
        An :class:`Example`.

    Returns
    -------
    numbers
        Times a feature's value, it is the gradient of the log loss in that coordinate.
    """
    return example.none * -ONE if example.label > ZERO else example.click
