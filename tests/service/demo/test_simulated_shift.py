"""The simulated log has one sudden change for the worse, where its taste changes, and none without that."""

from __future__ import annotations

import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.demo.simulation import SimulatedLog
from nonzero_service.history.watching import ShiftWatch


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("seed", "changes"), [(0, True), (1, True), (0, False), (1, False)])
def test_the_taste_is_the_only_change(seed: int, changes: bool) -> None:
    log, model = SimulatedLog(60_000, seed=seed), LogisticRegression(16)
    if not changes:
        log.change = log.examples
    watch, found = ShiftWatch(model), []
    for block in log.blocks():
        features = [log.features(values) for values in block.values]
        batch = Batch.from_dicts(features, labels=block.clicks.astype(int))
        for start in range(0, len(batch), 250):
            model.learn(batch.rows(start, start + 250))
            found.append(watch.look(model))
    shifts = [shift for shift in found if shift is not None and not shift.recovered]
    assert [abs(shift.examples - 30_000) <= 1000 for shift in shifts] == [True] * changes
