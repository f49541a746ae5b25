"""McMahan's uncertainty: a bound on what one more example does, and small where much was seen."""

from typing import Any

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import AdaGrad, Batch, BatchError, LogisticRegression


def log_odds(p: Any) -> Any:
    p = p.astype(float)
    return np.log(p / (1 - p))


@pytest.mark.parametrize("label", [0, 1])
def test_no_example_moves_a_prediction_by_more(label: Any) -> None:
    model = LogisticRegression(bits=8, optimizer=AdaGrad(0.2, 0.1))
    model.learn(random_batch(1, slots=200))
    # Values up to 1, and each slot once: then the step is the rate times a gradient of at most |x|.
    rng = np.random.default_rng(2)
    for _ in range(50):
        slots = rng.choice(256, 8, replace=False)
        row = Batch([0, 8], slots, rng.uniform(-1, 1, 8), [label])
        before, bound = log_odds(model.predict(row)), model.uncertainty(row)
        model.learn(row)
        assert 0 < abs(log_odds(model.predict(row)) - before) <= bound


@pytest.mark.parametrize("optimizer", [None, AdaGrad(0.2)], ids=["eight lanes", "one lane"])
def test_what_was_seen_often_is_more_certain_than_what_is_new(optimizer: Any) -> None:
    model = LogisticRegression(bits=8, optimizer=optimizer)
    model.learn(Batch(np.arange(501), np.full(500, 7), None, np.arange(500) % 2))
    seen, new, nothing = model.uncertainty(Batch([0, 1, 2, 2], [7, 8]))
    assert 0 < nothing < seen < new


def test_each_row_has_its_own() -> None:
    model = LogisticRegression(bits=6)
    model.learn(random_batch(3))
    batch = random_batch(4, n=9000)
    whole = model.uncertainty(batch)
    some = [0, 1, 4095, 4096, 8999]
    single = [model.uncertainty(batch.rows(r, r + 1))[0] for r in some]
    np.testing.assert_allclose(whole[some], single, rtol=1e-5)


def test_an_index_outside_the_table_is_refused() -> None:
    with pytest.raises(BatchError, match="index 8"):
        LogisticRegression(bits=3).uncertainty(Batch([0, 1], [8]))
