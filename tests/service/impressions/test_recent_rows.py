"""What waits for clicks is learned from out of memory, for a moment and up to a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonzero_service.impressions import recent_rows
from nonzero_service.impressions.rules import Rules
from nonzero_service.journal.errors import JournalError, StorageError
from service.impressions.journalled import JournalledImpressions, numbers_of
from service.impressions.test_store import HOUR, batch, probabilities, same_rows

N = 3000


@pytest.fixture
def waiting(tmp_path: Path) -> JournalledImpressions:
    """Return impressions of which most wait for clicks: those of a bulk of 3,000."""
    kept = JournalledImpressions(tmp_path / "model", Rules(HOUR, HOUR))
    kept.keep(batch(N), probabilities(N), 1)
    assert 0 < kept.store.waiting_count < N
    return kept


def reads(kept: JournalledImpressions) -> list[int]:
    """Have the positions of the rows that are read noted."""
    real, positions = kept.store.reader.read, list[int]()

    def read(position: int, offset: int, size: int) -> bytes:
        positions.append(position)
        return real(position, offset, size)

    kept.store.reader.read = read
    return positions


def learned_behind_clicks(kept: JournalledImpressions) -> list[int]:
    """Have some clicked that were learned from; return those that waited, and have their turn then."""
    prepared = kept.label([f"imp-{j}" for j in range(50)], [1] * 50, 2)
    whole = batch(N)
    numbers = numbers_of(prepared)
    for row, number in enumerate(numbers):
        same_rows(prepared.batch.rows(row, row + 1), whole.rows(number, number + 1))
    waited = [number for number in numbers if number >= 50]
    assert len(waited) > 100
    return waited


def test_they_are_not_read_back(waiting: JournalledImpressions) -> None:
    at_once, later = (row.position for row in waiting.journal.read())
    positions = reads(waiting)
    learned_behind_clicks(waiting)
    assert set(positions) == {at_once}
    assert later not in positions


@pytest.mark.parametrize("bound", ["MOST", "SECONDS"])
def test_what_is_too_much_or_too_old_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: JournalledImpressions, bound: str
) -> None:
    remembered = learned_behind_clicks(waiting)
    monkeypatch.setattr(recent_rows, bound, -1)
    kept = JournalledImpressions(tmp_path / "other", Rules(HOUR, HOUR))
    kept.keep(batch(N), probabilities(N), 1)
    kept.store.keep()
    _, later = (row.position for row in kept.journal.read())
    positions = reads(kept)
    assert learned_behind_clicks(kept) == remembered
    assert later in positions


def test_what_has_had_its_turn_is_forgotten(waiting: JournalledImpressions) -> None:
    def unreadable(*_: int) -> bytes:
        raise JournalError("the disk does not read it")

    waiting.end_all(2 * HOUR)
    assert waiting.store.waiting_count == 0
    waiting.store.keep()
    waiting.store.reader.read = unreadable
    with pytest.raises(StorageError):
        waiting.label(["imp-5"], [1], 2 * HOUR)
