"""Two models that learn side by side: one is called better where it is, and hardly ever where it is not.

`python -m bench.challenger` is the long form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from nonzero import Batch, LogisticRegression
from nonzero.fields.hashing import field_of
from nonzero.statistics.comparison import Comparison

SIZES = {"site": 30, "ad": 30, "hour": 24, "shade": 10, "font": 10}
"""Fields and how many values they have; the last two do nothing."""
RUNS, EXAMPLES, A_LOOK = 8, 20_000, 1000


def log(seed: int, strength: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Draw values and clicks, of which some come from products of site and ad."""
    rng = np.random.default_rng(seed)
    values = np.stack([rng.zipf(1.5, EXAMPLES) % size for size in SIZES.values()], 1)
    log_odds = rng.normal(0, strength, (30, 30))[values[:, 0], values[:, 1]] - 3
    for j in range(3):
        log_odds += rng.normal(0, 0.4, max(SIZES.values()))[values[:, j]]
    return values, (rng.random(EXAMPLES) < expit(log_odds)).astype(np.float32)


def verdicts(seed: int, strength: float = 0.0, salt: int = 0, bits: int = 12, **settings: Any) -> list[str]:
    """Return what a challenger of these settings is called after every thousand examples."""
    values, labels = log(seed, strength)
    fields = np.tile([field_of(name) for name in SIZES], EXAMPLES)
    batches = []
    for salted in (0, salt):
        hashes = np.random.default_rng(salted).integers(0, 2**31, (len(SIZES), max(SIZES.values())))
        indices = hashes[np.arange(len(SIZES)), values]
        starts = np.arange(0, fields.size + 1, len(SIZES))
        batches.append(Batch(starts, indices.ravel(), None, labels, None, fields))
    champion, challenger = LogisticRegression(bits), LogisticRegression(bits, **settings)
    comparison = Comparison()
    found: list[str] = []
    for start in range(0, EXAMPLES, A_LOOK):
        ours, theirs = (
            model.learn(batch.rows(start, start + A_LOOK))
            for model, batch in zip((champion, challenger), batches, strict=True)
        )
        comparison.add(labels[start : start + A_LOOK], np.ones(A_LOOK, np.float32), ours, theirs)
        found.append(comparison.verdict())
    return found


def test_a_challenger_with_the_true_products_wins() -> None:
    found = verdicts(1, strength=0.8, interactions=["site*ad"])
    assert found[-1] == "better"
    assert "worse" not in found


@pytest.mark.parametrize(
    "settings", [{"interactions": ["shade*font"]}, {"salt": 1, "bits": 6}], ids=["useless products", "A/A"]
)
def test_a_challenger_with_nothing_to_win_is_not_called_better(settings: dict[str, Any]) -> None:
    called = [verdicts(seed, **settings) for seed in range(RUNS)]
    assert sum("better" in found for found in called) <= 1
