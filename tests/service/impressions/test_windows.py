"""Windows end in the order of the predictions, each once, and are forgotten then."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.impressions.journalled import JournalledImpressions, numbers_of
from service.impressions.test_store import HOUR, RULES, batch, probabilities


@pytest.fixture
def kept(tmp_path: Path) -> JournalledImpressions:
    return JournalledImpressions(tmp_path / "model", RULES)


def test_windows_end_in_order_and_once(kept: JournalledImpressions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nonzero_service.writer.preparing.AT_ONCE", 5)
    for step in range(10):
        kept.keep(batch(7, 7 * step), probabilities(7), step)
    kept.label(["imp-3", "imp-40"], [1, 0], 5)
    assert kept.end(HOUR - 1) is None
    ended = kept.end_all(HOUR + 6)
    assert all((one.batch.labels == 0).all() and len(one.batch) <= 5 for one in ended)
    assert [number for one in ended for number in numbers_of(one)] == [
        j for j in range(49) if j not in (3, 40)
    ]
    assert kept.store.pending == 21


def test_what_is_of_no_more_use_is_forgotten_and_its_rows_are_not_needed(kept: JournalledImpressions) -> None:
    assert kept.store.needed_from() is None
    kept.keep(batch(5), probabilities(5), 0)
    kept.keep(batch(5, 5), probabilities(5), 2 * HOUR)
    kept.end_all(4 * HOUR)  # forgets what it can
    assert kept.store.needed_from() == 2
    assert kept.store.forget(5 * HOUR) == 0
    kept.journal.truncate(2)
    kept.restart()
    assert kept.label(["imp-0", "imp-7"], [1, 1], 4 * HOUR).verdicts == ["unknown", "corrected"]
    assert kept.store.forget(9 * HOUR) == 0, "what was not ended is not forgotten"
