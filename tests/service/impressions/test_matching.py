"""Of an update's examples those with the id of an impression are learned from as that, in their place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions import rules
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.writer.preparing import Prepared
from service.impressions.journalled import JournalledImpressions

N = 2000


def named(n: int, slot: int, every: int = 1, label: float | None = None) -> Batch:
    """Make `n` rows of one slot each, from `slot` on, of which each `every`-th has an id."""
    ids = [f"imp-{row}" if row % every == 0 else None for row in range(n)]
    labels = None if label is None else np.full(n, label)
    return Batch(np.arange(n + 1), np.arange(n) + slot, None, labels, None, None, ids)


@pytest.fixture
def kept(tmp_path: Path) -> JournalledImpressions:
    return JournalledImpressions(tmp_path / "model", Rules(negatives="at_end"))


def verdicts_of(prepared: Prepared) -> Counter[str]:
    return Counter(prepared.verdicts)


def test_thinned_negatives_are_left_out_and_the_others_weigh_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "COLD", 0)
    kept = JournalledImpressions(tmp_path / "model", Rules(negative_rate=0.1, negatives="at_end"))
    kept.keep(named(N, 0), np.full(N, 0.1, np.float32), 0)
    met = kept.update(named(N, N, every=2, label=0), 1)
    assert verdicts_of(met) == {"joined": N // 2}
    own = met.batch.indices >= N
    assert met.batch.indices[own].tolist() == [N + row for row in range(1, N, 2)]
    assert met.batch.weights[own].tolist() == [1] * (N // 2)
    assert 0.05 < (~own).sum() / (N // 2) < 0.15
    assert (met.batch.weights[~own] == 10).all()
    assert (np.diff(met.batch.indices % N) > 0).all()
    assert met.references is not None
    assert met.references.numbers.tolist() == np.where(own, -1, met.batch.indices.astype(np.int64)).tolist()
    assert (met.references.states == np.where(own, ImpressionState.PENDING, ImpressionState.NEGATIVE)).all()
    assert kept.store.pending == N // 2
    kept.restart()
    assert kept.store.pending == N // 2, "those that were thinned away are known too"


@pytest.mark.parametrize(
    ("negatives", "learned", "weights"),
    [("at_end", [0, 101, 2], [1, 1, 1]), ("at_once", [0, 101], [1 / 0.9, 1]), ("window", [101], [1])],
)
def test_a_policy_says_what_an_update_that_is_a_label_teaches(
    tmp_path: Path, negatives: rules.Negatives, learned: list[int], weights: list[float]
) -> None:
    kept = JournalledImpressions(tmp_path / "model", Rules(negatives=negatives))
    kept.keep(named(3, 0, every=2), np.full(3, 0.1, np.float32), 0)
    update = named(3, 100, label=1)
    object.__setattr__(update, "labels", np.array([1, 1, 0], np.float32))
    met = kept.update(update, 1)
    assert met.batch.indices.tolist() == learned
    np.testing.assert_allclose(met.batch.weights, weights, rtol=1e-6)
    assert verdicts_of(met) == kept.store.updates == {"joined": 2}
    assert verdicts_of(kept.update(update, 2)) == {"duplicate": 2}
    assert kept.store.pending == 0


def test_the_label_of_a_damaged_impression_is_learned_from_as_it_came(kept: JournalledImpressions) -> None:
    """Nothing else will ever be learned of it."""
    kept.keep(named(4, 0), np.full(4, 0.1, np.float32), 0)
    real = kept.store.reader.read

    def damaged(position: int, offset: int, size: int) -> bytes:
        content = bytearray(real(position, offset, size))
        content[size // 4 + 20] ^= 1
        return bytes(content)

    kept.store.reader.read = damaged
    met = kept.update(named(4, 100, label=1), 1)
    assert met.batch.indices.tolist() == [0, 101, 2, 3]
    assert verdicts_of(met) == {"joined": 3}
    assert kept.store.counts["damaged"] == 1
    assert not kept.update(named(2, 100, label=1).rows(1, 2), 2).verdicts


def test_ids_that_are_not_known_are_learned_from_as_they_came(kept: JournalledImpressions) -> None:
    assert kept.store.met(["imp-1", None]).size == 0
    kept.keep(named(1, 0), np.full(1, 0.1, np.float32), 0)
    assert kept.store.met(["x", None, "", "imp-0", "imp-0"]).tolist() == [3, 4]
    assert kept.update(named(3, 100, label=1).rows(1, 3), 1).references is None
    assert kept.store.counts["unknown"] == 0
