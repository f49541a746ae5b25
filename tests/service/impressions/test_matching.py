"""Of an update's examples those with the id of an impression are learned from as that, in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions import rules
from nonzero_service.impressions.claims import Claims
from nonzero_service.impressions.matching import MatchedUpdate, merge_labels
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState
from nonzero_service.impressions.store import ImpressionStore

N = 2000


def named(n: int, slot: int, every: int = 1, label: float | None = None) -> Batch:
    """Make `n` rows of one slot each, from `slot` on, of which each `every`-th has an id."""
    ids = [f"imp-{row}" if row % every == 0 else None for row in range(n)]
    labels = None if label is None else np.full(n, label)
    return Batch(np.arange(n + 1), np.arange(n) + slot, None, labels, None, None, ids)


def met_by(store: ImpressionStore, batch: Batch) -> MatchedUpdate:
    rows = store.met(batch.ids or ())
    claim = Claims(store).claim(
        [f"imp-{row}" for row in rows.tolist()], batch.labels[rows].astype(int).tolist(), 1
    )
    assert claim is not None
    unusable = np.ones(rows.size, np.bool_)
    unusable[store.met([f"imp-{row}" for row in rows.tolist()])] = False
    return merge_labels(batch, rows, claim, unusable)


def test_thinned_negatives_are_left_out_and_the_others_weigh_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "COLD", 0)
    store = ImpressionStore(tmp_path / "impressions", Rules(negative_rate=0.1))
    store.keep(named(N, 0), np.full(N, 0.1, np.float32), 0)
    update = named(N, N, every=2, label=0)
    met = met_by(store, update)
    assert met.verdicts == {"joined": N // 2}
    own = met.batch.indices >= N
    assert met.batch.indices[own].tolist() == [N + row for row in range(1, N, 2)]
    assert met.batch.weights[own].tolist() == [1] * (N // 2)
    assert 0.05 < (~own).sum() / (N // 2) < 0.15
    assert (met.batch.weights[~own] == 10).all()
    assert (np.diff(met.batch.indices % N) > 0).all()
    assert met.references is not None
    assert met.references.numbers.tolist() == np.where(own, -1, met.batch.indices.astype(np.int64)).tolist()
    assert (met.references.states == np.where(own, ImpressionState.PENDING, ImpressionState.NEGATIVE)).all()
    assert store.pending == N // 2
    store.close()


def test_the_label_of_a_damaged_impression_is_learned_from_as_it_came(tmp_path: Path) -> None:
    """Nothing else will ever be learned of it."""
    store = ImpressionStore(tmp_path / "impressions", Rules())
    store.keep(named(4, 0), np.full(4, 0.1, np.float32), 0)
    (file,) = (tmp_path / "impressions").glob("*.rows")
    with file.open("r+b") as records:
        size = file.stat().st_size // 4
        records.seek(size + 20)
        byte = records.read(1)[0]
        records.seek(size + 20)
        records.write(bytes([byte ^ 1]))
    update = named(4, 100, label=1)
    met = met_by(store, update)
    assert met.batch.indices.tolist() == [0, 101, 2, 3]
    assert met.verdicts == {"joined": 3}
    assert store.counts["damaged"] == 1
    assert not met_by(store, named(2, 100, label=1).rows(1, 2)).verdicts
    store.close()


def test_ids_that_are_not_known_cost_no_claim(tmp_path: Path) -> None:
    store = ImpressionStore(tmp_path / "impressions", Rules())
    assert store.met(["imp-1", None]).size == 0
    store.keep(named(1, 0), np.full(1, 0.1, np.float32), 0)
    assert store.met(["x", None, "", "imp-0", "imp-0"]).tolist() == [3, 4]
    assert store.counts["unknown"] == 0
    store.close()
