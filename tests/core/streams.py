"""Random batches that the tests of the model share."""

from itertools import pairwise

import numpy as np

from nonzero import Batch


def random_batch(
    seed: int,
    n: int = 500,
    slots: int = 64,
    most: int = 12,
    valued: bool = True,
    weighted: bool = False,
) -> Batch:
    """Rows of 0 to `most` nonzeros over few slots, so that they meet; labels that they half decide."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, most + 1, n)
    lengths[::17] = 0
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    indices = rng.integers(0, slots, indptr[-1])
    values = rng.normal(0, 1, indptr[-1]).astype(np.float32) if valued else None
    taste = rng.normal(0, 1, slots)
    scores = np.array([taste[indices[a:b]].sum() for a, b in pairwise(indptr)])
    labels = (rng.random(n) < 1 / (1 + np.exp(1 - scores))).astype(np.float32)
    weights = None
    if weighted:
        weights = rng.choice([0, 1, 0.5, 2.5, 10, 1e-3, 300], n)
    return Batch(indptr, indices, values, labels, weights)


def extreme_batch(rng: np.random.Generator) -> Batch:
    """Five rows of six nonzeros over eight slots, whose values and weights are the largest and the least."""
    n, k = 5, 6
    return Batch(
        np.arange(0, n * k + 1, k),
        rng.integers(0, 8, n * k),
        rng.choice(np.array([1e6, -1e6, 1e-38, 1e-45, 0, 1], np.float32), n * k),
        rng.integers(0, 2, n),
        rng.choice(np.array([0, 1e-45, 1e-38, 1, 1e6], np.float32), n),
    )
