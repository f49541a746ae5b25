"""Times of impressions where the clock was set back: none is later than one after it, or than now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero_service.impressions.times import mend
from service.impressions.journalled import JournalledImpressions, numbers_of
from service.impressions.test_store import HOUR, RULES, batch, probabilities

NOON = 1_700_000_000_000
AHEAD = 400 * 24 * HOUR


@pytest.mark.parametrize(
    ("times", "latest", "by", "expected"),
    [
        ([1, 5, 9], 9, 0, [1, 5, 9]),
        ([1, 5, 109, 112], 20, 0, [1, 5, 17, 20]),
        ([1, 5, 109, 112], 20, 100, [1, 5, 9, 12]),
        ([1, 5, 109, 112, 13, 14], 20, 0, [1, 5, 10, 13, 13, 14]),
        ([1, 109, 5, 6, 120, 9, 9], 20, 0, [1, 5, 5, 6, 9, 9, 9]),
        ([70, 80, 3, 90], 99, 0, [70, 80, 80, 90]),
        ([70, 80, 3], 99, 0, [70, 80, 80]),
        ([], 5, 0, []),
    ],
    ids=["right", "ahead", "ahead by", "set back since", "twice", "damaged", "damaged, the last", "none"],
)
def test_times_are_mended(times: list[int], latest: int, by: int, expected: list[int]) -> None:
    given = np.array(times, np.int64)
    mend(given, latest, by)
    assert given.tolist() == expected


@pytest.mark.parametrize("again", [False, True], ids=["in one life", "after a start"])
def test_windows_end_when_they_are_due_after_the_clock_was_set_back(tmp_path: Path, again: bool) -> None:
    kept = JournalledImpressions(tmp_path / "model", RULES)
    for step in range(3):
        kept.keep(batch(1, step), probabilities(1), NOON + AHEAD + step)
    if again:
        kept.restart()
    kept.store.not_after(NOON + 2, AHEAD)
    assert kept.end(NOON + HOUR - 1) is None
    ended = kept.end(NOON + HOUR + 1)
    assert ended is not None
    assert numbers_of(ended) == [0, 1]
    kept.keep(batch(1, 7), probabilities(1), NOON + HOUR + 2)
    kept.label(["imp-7"], [1], NOON + HOUR + 3)
    assert list(kept.store.arrivals.delays) == [1]


def test_a_start_finds_right_what_was_kept_before_and_after(tmp_path: Path) -> None:
    kept = JournalledImpressions(tmp_path / "model", RULES)
    kept.keep(batch(1, 0), probabilities(1), NOON)
    kept.keep(batch(1, 1), probabilities(1), NOON + AHEAD)
    kept.store.not_after(NOON + 10, AHEAD)
    kept.keep(batch(1, 2), probabilities(1), NOON + 20)
    kept.restart()
    ended = kept.end(NOON + HOUR)
    assert ended is not None
    assert numbers_of(ended) == [0]
    rest = kept.end(NOON + HOUR + 20)
    assert rest is not None
    assert numbers_of(rest) == [1, 2]
