"""One example, learned from by AdaGrad in plain Python: what the compiled code does, without its speed.

Kernels differ from it in how they get there. They handle eight lanes, or eight coordinates, as one value
(:mod:`nonzero.kernels.steps`), sum the margin in four interleaved parts (:mod:`nonzero.kernels.margins`),
fetch rows of the table ahead (:mod:`nonzero.kernels.rows`), and leave what no step waits for until 64
examples have come (:mod:`nonzero.kernels.pending`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def learn_example(
    table: NDArray[np.float32],
    indices: Sequence[int],
    values: Sequence[float],
    label: int,
    learning_rate: float = 0.1,
    epsilon: float = 1.0,
) -> float:
    """Predict one example, then learn from it with one lane of AdaGrad.

    Parameters
    ----------
    table
        float32[slots + 1, 2]: the weight and the accumulator of each slot; the intercept's row is the last.
        It is changed.
    indices, values
        The example's nonzeros: hashed indices, and as many values.
    label
        0 or 1.
    learning_rate, epsilon
        As of :class:`nonzero.AdaGrad`.

    Returns
    -------
    float
        The probability of a click just before.

    Examples
    --------
    >>> from nonzero import AdaGrad, Batch, LogisticRegression
    >>> table, model = np.zeros((2**4 + 1, 2), np.float32), LogisticRegression(bits=4, optimizer=AdaGrad(0.5))
    >>> for label in (1, 0, 1):
    ...     p = learn_example(table, [3, 9], [1.0, -2.0], label, learning_rate=0.5)
    ...     [q] = model.learn(Batch([0, 2], [3, 9], [1.0, -2.0], [label]))
    ...     assert math.isclose(p, q, rel_tol=1e-5)
    >>> np.allclose(table, model.table.rows, rtol=1e-5)
    True
    """
    slots = len(table) - 1
    # The intercept is a coordinate like any other, whose value is always 1.
    coordinates = [(i % slots, x) for i, x in zip(indices, values, strict=True)] + [(slots, 1.0)]
    margin = sum(float(table[i, 0]) * x for i, x in coordinates)
    p = 1 / (1 + math.exp(-margin))
    for i, x in coordinates:
        gradient = (p - label) * x
        table[i, 1] += gradient**2
        table[i, 0] -= learning_rate * gradient / math.sqrt(table[i, 1] + epsilon)
    return p
