"""Impressions are entered in rows, of which none reaches from one segment into the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions import row_builder, segment
from service.impressions.journalled import JournalledImpressions, numbers_of
from service.impressions.test_store import RULES, batch, probabilities, same_rows


def test_full_segments_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (segment, row_builder):
        monkeypatch.setattr(module, "CAPACITY", 64)
    kept = JournalledImpressions(tmp_path / "model", RULES)
    given = batch(500)
    for start, stop in ((0, 10), (0, 300), (290, 500)):
        kept.keep(given.rows(start, stop), probabilities(500)[start:stop], 1000)
    for _ in range(2):
        assert kept.store.pending == 500
        assert len(kept.store.segments) == 8
        assert kept.keep(given, probabilities(500), 2000) == 0
        kept.restart()
    order = np.random.default_rng(1).permutation(500)
    joined = kept.label([f"imp-{j}" for j in order], [1] * 500, 3000)
    assert set(joined.verdicts) == {"joined"}
    assert numbers_of(joined) == order.tolist()
    same_rows(joined.batch, Batch.concatenate([given.rows(int(j), int(j) + 1) for j in order]))
