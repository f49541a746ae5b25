"""Impressions of which examples are held are known as such, and never learned where these are discarded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero_service.impressions.rules import Negatives, Rules
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.preparing import Prepared
from service.impressions.journalled import JournalledImpressions
from service.impressions.test_store import HOUR, batch, probabilities

N = 12


@pytest.mark.parametrize("negatives", ["at_once", "at_end"])
def test_a_discarded_negative_is_not_taken_back(tmp_path: Path, negatives: Negatives) -> None:
    pause = PauseState()
    kept = JournalledImpressions(tmp_path / "model", Rules(HOUR, HOUR, 1.0, negatives), pause)
    kept.keep(batch(2, 100), probabilities(2), 0)
    if negatives == "at_end":
        kept.keep(batch(N), probabilities(N), 1)
        kept.end_all(HOUR)  # the first two, before the pause
    pause.since = 1
    if negatives == "at_once":
        kept.keep(batch(N), probabilities(N), 1)
    kept.end_all(2 * HOUR)
    kept.label(["imp-0"], [1], 2 * HOUR)
    kept.store.resume(discard=True)
    pause.since = None
    late = kept.label(["imp-0", "imp-1", "imp-101"], [1, 1, 1], 2 * HOUR)
    assert late.verdicts == ["duplicate", "corrected", "corrected"]
    before, p = batch(2, 100).weights[1], float(probabilities(2)[1])
    np.testing.assert_allclose(late.batch.weights, [batch(N).weights[1], before / (1 - p)], rtol=1e-6)


def test_what_is_held_is_known_after_a_crash(tmp_path: Path) -> None:
    pause = PauseState()
    kept = JournalledImpressions(tmp_path / "model", Rules(HOUR, HOUR), pause)
    pause.since = 1
    kept.keep(batch(N), probabilities(N), 1)
    for _ in range(2):
        states = kept.store.segments[0].states[:N]
        assert (states == ImpressionState.LEARNED).all()
        kept.restart()
    kept.store.resume(discard=True)
    assert (kept.store.segments[0].states[:N] == ImpressionState.UNTAUGHT).all()
    joined: Prepared = kept.label(["imp-3"], [1], 2)
    assert joined.batch.weights.tolist() == batch(N).weights[3:4].tolist()
