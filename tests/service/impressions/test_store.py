"""Impressions are found, learned from once, end in order, and are what they were after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.replaying import note_seen
from nonzero_service.impressions.rules import COLD, Rules
from nonzero_service.writer.breaker import Breaker
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.work import LabelImpressions, StreamState
from service.impressions.journalled import JournalledImpressions, impress, numbers_of

HOUR = 3_600_000
RULES = Rules(attribution_ms=HOUR, correction_ms=HOUR, negatives="at_end")


def batch(n: int, first: int = 0, values: bool = True, fields: bool = True) -> Batch:
    """Make `n` rows of differing length, with ids."""
    rng = np.random.default_rng([n, first])
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 9, n))])
    nnz = int(indptr[-1])
    return Batch(
        indptr,
        rng.integers(0, 2**31, nnz),
        rng.normal(size=nnz) if values else None,
        None,
        rng.uniform(0.5, 2, n),
        rng.integers(1, 2**16, nnz) if fields else None,
        [f"imp-{first + j}" for j in range(n)],
    )


def probabilities(n: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.linspace(0.1, 0.8, n, dtype=np.float32)


@pytest.fixture
def kept(tmp_path: Path) -> JournalledImpressions:
    return JournalledImpressions(tmp_path / "model", RULES)


def same_rows(found: Batch, expected: Batch) -> None:
    assert found.indptr.tolist() == expected.indptr.tolist()
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.explicit_values().tolist() == expected.explicit_values().tolist()
    if expected.fields is None:
        assert found.fields is None or not found.fields.any()
    else:
        assert found.fields is not None
        assert found.fields.tolist() == expected.fields.tolist()


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("fields", [True, False])
def test_a_label_finds_the_features_of_its_prediction(
    kept: JournalledImpressions, values: bool, fields: bool
) -> None:
    given = batch(50, 0, values, fields)
    assert kept.keep(given, probabilities(50), 1000) == 50
    order = np.random.default_rng(1).permutation(50)
    joined = kept.label([f"imp-{j}" for j in order], [int(j % 2) for j in order], 2000)
    assert set(joined.verdicts) == {"joined"}
    same_rows(joined.batch, Batch.concatenate([given.rows(int(j), int(j) + 1) for j in order]))
    assert joined.batch.labels.tolist() == [j % 2 for j in order]
    assert joined.batch.weights.tolist() == given.weights[order].tolist()
    assert joined.batch.times is not None
    assert set(joined.batch.times.tolist()) == {1000}


def test_a_label_in_the_group_of_its_prediction_finds_it(kept: JournalledImpressions) -> None:
    given = batch(5)
    label = LabelImpressions(["imp-3"], [1], StreamState())
    _, joined = kept.do(impress(given, probabilities(5), 7), label, now_ms=8)
    assert joined.verdicts == ["joined"]
    same_rows(joined.batch, given.rows(3, 4))
    assert kept.kinds() == ["impression", "joined"]
    kept.restart()
    assert kept.label(["imp-3", "imp-4"], [1, 1], 9).verdicts == ["duplicate", "joined"]


class LastRowBreaker(Breaker):
    """Trips behind the last example of whatever comes."""

    def __init__(self) -> None:
        """Know of nothing that is usual."""

    def admit(
        self,
        batch: Batch,
        references: References | None = None,  # noqa: ARG002
    ) -> tuple[int, dict[str, Any] | None]:
        return len(batch), {"figure": "log_loss"}


def test_a_jump_that_shows_with_the_last_impression_pauses_learning(tmp_path: Path) -> None:
    kept = JournalledImpressions(tmp_path / "model", Rules(HOUR, HOUR), PauseState(LastRowBreaker()))
    given = batch(6)
    kept.do(
        impress(given.rows(0, 3), probabilities(3), 7),
        impress(given.rows(3, 6), probabilities(3), 7),
        now_ms=8,
    )
    assert kept.kinds() == ["impression", "trip", "impression"]
    assert kept.pause.since == 2


def test_only_what_has_an_id_is_kept_and_an_id_once(kept: JournalledImpressions) -> None:
    given = batch(3)
    object.__setattr__(given, "ids", ["a", None, "a"])
    assert kept.keep(given, probabilities(3), 0) == 1
    assert kept.keep(given, probabilities(3), 0) == 0
    assert kept.store.pending == 1
    same_rows(kept.label(["a"], [1], 0).batch, given.rows(0, 1))
    assert kept.kinds() == ["impression", "joined"]


def test_a_label_that_came_before_its_impression_is_counted_once(kept: JournalledImpressions) -> None:
    assert set(kept.label(["imp-0", "imp-0", "other"], [1, 1, 1], 0).verdicts) == {"unknown"}
    given = batch(3)
    object.__setattr__(given, "ids", ["imp-0", "imp-0", "imp-1"])
    assert kept.keep(given, probabilities(3), 1) == 2
    kept.keep(batch(3), probabilities(3), 1)
    assert kept.store.counts["early"] == 1


def test_what_a_label_meets(kept: JournalledImpressions) -> None:
    kept.keep(batch(4), probabilities(4), 0)
    names = ["imp-0", "imp-0", "imp-1", "imp-1", "other"]
    assert kept.label(names, [1, 1, 0, 1, 1], 1).verdicts == [
        "joined", "duplicate", "joined", "conflicting", "unknown",
    ]  # fmt: skip
    again = kept.label(names, [1, 0, 0, 1, 1], 1)
    assert again.verdicts == ["duplicate", "conflicting", "duplicate", "conflicting", "unknown"]
    assert len(again.batch) == 0
    assert kept.kinds() == ["impression", "joined"]


def test_what_was_undone_can_be_done_again(kept: JournalledImpressions) -> None:
    """As where the disk is full: nothing of a group is there, and nothing of it is counted."""
    kept.keep(batch(2), probabilities(2), 0)
    before = +kept.store.counts
    kept.prepare(impress(batch(30, 50), probabilities(30), 1), 1)
    kept.prepare(LabelImpressions(["imp-0", "imp-51"], [1, 1], StreamState()), 1)
    assert kept.store.pending == 30
    kept.store.undo()
    assert kept.store.pending == 2
    assert +kept.store.counts == before
    assert not kept.store.arrivals.delays
    assert kept.label(["imp-0", "imp-51"], [0, 1], 1).verdicts == ["joined", "unknown"]
    assert kept.keep(batch(30, 50), probabilities(30), 2) == 30
    assert numbers_of(kept.label(["imp-51"], [1], 3)) == [3]


def test_a_late_click_takes_the_negative_back(kept: JournalledImpressions) -> None:
    kept.keep(batch(3), probabilities(3), 0)
    kept.end_all(HOUR)
    late = kept.label(["imp-1", "imp-2", "imp-2"], [1, 0, 1], 2 * HOUR)
    assert late.verdicts == ["corrected", "duplicate", "corrected"]
    weights, p = batch(3).weights[1:], probabilities(3)[1:].astype(np.float64)
    np.testing.assert_allclose(late.batch.weights, weights / (1 - p), rtol=1e-6)
    assert kept.label(["imp-0", "imp-1"], [1, 1], 2 * HOUR + 1).verdicts == ["gone", "duplicate"]


def test_a_start_finds_what_there_was(kept: JournalledImpressions) -> None:
    kept.keep(batch(30), probabilities(30), 5)
    kept.label(["imp-4", "imp-5"], [1, 0], 6)
    kept.restart()
    assert kept.store.pending == 28
    found = kept.label(["imp-4", "imp-5", "imp-7"], [1, 1, 1], 7)
    assert found.verdicts == ["duplicate", "conflicting", "joined"]
    same_rows(found.batch, batch(30).rows(7, 8))
    kept.keep(batch(2, 100), probabilities(2), 8)
    assert kept.store.pending == 29


def test_a_journal_without_its_newest_row_gives_its_numbers_anew(kept: JournalledImpressions) -> None:
    """As after a power cut: what referred to them is gone too, or refers to another hash."""
    kept.keep(batch(3), probabilities(3), 5)
    joined = kept.label(["imp-2"], [1], 6)
    assert joined.references is not None
    other = JournalledImpressions(kept.directory.with_name("other"), RULES)
    other.keep(batch(3, 50), probabilities(3), 5)
    note_seen(other.store, joined.references)
    assert other.store.pending == 3
    assert other.label(["imp-52"], [1], 6).verdicts == ["joined"]


def test_thinning_is_by_id_and_keeps_the_sum_of_weights(tmp_path: Path) -> None:
    given = batch(COLD + 20_000)
    other = batch(COLD, 10**6)
    found: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for place, parts in (("a", [given]), ("b", [other, given.rows(COLD, len(given))])):
        kept = JournalledImpressions(tmp_path / place, Rules(HOUR, HOUR, 0.1, "at_end"))
        for part in parts:
            kept.keep(part, probabilities(len(part)), 0)
        ended = kept.end_all(HOUR)
        assert kept.store.pending == 0
        number = np.concatenate([numbers_of(one) for one in ended])
        weight = np.concatenate([one.batch.weights for one in ended])
        cold = number < COLD
        assert number[cold].tolist() == list(range(COLD)), "who knows nothing learns from all"
        assert weight[cold].tolist() == parts[0].weights[:COLD].tolist()
        assert weight[~cold].sum() == pytest.approx(given.weights[COLD:].sum(), rel=0.08)
        found.append(number[~cold])
        kept.restart()
        assert kept.store.pending == 0
    assert found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("negatives", ["at_end", "at_once"])
def test_a_late_click_takes_back_the_weight_that_its_negative_had(tmp_path: Path, negatives: str) -> None:
    kept = JournalledImpressions(tmp_path / "model", Rules(HOUR, HOUR, 0.1, negatives))  # type: ignore[arg-type]
    learned: set[int] = set()
    given, p = batch(400, COLD), np.full(400, 0.2, np.float32)
    for one, answered in ((batch(COLD), probabilities(COLD)), (given, p)):
        prepared = kept.do(impress(one, answered, 0), now_ms=0)[0]
        learned.update(int(n) for row, _ in prepared.kept for n in row.numbers[row.taught])
    for ended in kept.end_all(HOUR):
        learned.update(numbers_of(ended))
    late = kept.label(["imp-0", *(f"imp-{COLD + j}" for j in range(400))], [1] * 401, HOUR)
    assert set(late.verdicts) == {"corrected"}
    was = np.array([number in learned for number in range(COLD, COLD + 400)])
    assert 10 < was.sum() < 90
    factors = late.batch.weights / np.concatenate([batch(COLD).weights[:1], given.weights])
    assert factors[0] == pytest.approx(1 / (1 - 0.1), rel=1e-5)
    np.testing.assert_allclose(factors[1:], np.where(was, 1 + 10 * 0.2 / 0.8, 1), rtol=1e-5)
