"""The watch over impressions: how many of those that were predicted together are clicked.

Clicks of impressions come when they come, negatives when their windows end. So in the order in which they
come, labels that are late, windows that end at once or traffic that grows look like a jump. Here a click is
counted to the thousand impressions that its own was predicted among, whenever it comes: late, they are the
same clicks of the same impressions. Of a thousand there may yet be more clicks, and never fewer. So more than
there should be are a jump at once; fewer are one only where explicit labels 0 leave no room for them.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.joined import References
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.writer.jumps import BLOCK, CLICK_ERRORS, MEMORY, WARM, WINDOW, rate_jumped

COHORT: Final = WINDOW * BLOCK
"""So many impressions, one predicted after the other, are a cohort."""

LOOK: Final = BLOCK
"""After so many impressions there is a judgement."""

ENOUGH_CLICKS: Final = 30
"""So many clicks make a usual rate, and are expected of cohorts before they are called too few."""


class CohortWatch:
    """Watches the click rate of impressions, by cohorts. Used on the committer's thread.

    Parameters
    ----------
    impressions
        Which were predicted.
    odds
        The factor by which the odds of a click may change.
    now_ms
        The journal's clock.
    """

    def __init__(self, impressions: ImpressionStore, odds: float, now_ms: int) -> None:
        self._impressions = impressions
        self._odds = odds
        self.reset()
        clicks = impressions.clicks_of_ended(COHORT, now_ms)
        if clicks.size * COHORT >= WARM * BLOCK:
            self._take_in(float(self._usual(clicks).mean()) * clicks.size, clicks.size * COHORT)

    def reset(self) -> None:
        """Forget all that was seen: the mean begins anew."""
        self._clicks = self._many = 0.0  # what the mean is of
        self.forget()

    def forget(self) -> None:
        """Forget the labels of cohorts that have not come into the mean; it stays."""
        self._clicked: Counter[int] = Counter()
        self._denied: Counter[int] = Counter()
        # Clicks and impressions of cohorts that have ended and are not in the mean yet.
        self._waiting = 0, 0
        self._ended = self._impressions.windows.ended // COHORT
        # Of earlier ones not all labels were seen.
        self._first = self._impressions.segments.next_number // COHORT + 1

    def admit(self, references: References) -> tuple[int, dict[str, Any] | None]:
        """Look at impressions that are to be learned from.

        Returns
        -------
        tuple[int, dict | None]
            As of :meth:`~nonzero_service.writer.block_watch.BlockWatch.admit`.
        """
        for start in range(0, len(references), LOOK):
            rows = references.rows(start, min(start + LOOK, len(references)))
            for counts, cohorts in self._by_cohort(rows):
                counts.update(cohorts)
                for cohort in set(cohorts):
                    if (reason := self._judged(counts, counts[cohort])) is not None:
                        return start + len(rows), reason
        self._end()  # last: these may be what their windows' ends have made of the cohorts that ended
        return len(references), None

    def take_back(self, references: References) -> None:
        """Uncount impressions that were looked at and not learned from."""
        for counts, cohorts in self._by_cohort(references):
            counts.subtract(cohorts)

    def _by_cohort(self, references: References) -> list[tuple[Counter[int], list[int]]]:
        """Return the cohorts of the clicks and of the labels 0, and what counts them."""
        return [
            (counts, (references.numbers[references.states == state] // COHORT).tolist())
            for counts, state in (
                (self._clicked, ImpressionState.CLICKED),
                (self._denied, ImpressionState.NEGATIVE),
            )
        ]

    def _judged(self, counts: Counter[int], count: int) -> dict[str, Any] | None:
        """Return why a cohort of which so many were clicked, or denied, is a jump; None where it is none."""
        if not self._is_warm:
            return None
        usual = self._clicks / self._many
        clicks = count if counts is self._clicked else COHORT - count
        if (clicks > usual * COHORT) != (counts is self._clicked):
            return None
        if not rate_jumped(float(clicks), float(COHORT), usual, self._many, self._odds):
            return None
        return {
            "figure": "click_rate",
            "now": clicks / COHORT,
            "before": usual,
            "bound": self._odds,
            "examples": COHORT,
        }

    @property
    def _is_warm(self) -> bool:
        """Whether the mean is of enough to be compared with."""
        return self._many >= WARM * BLOCK and self._clicks >= ENOUGH_CLICKS

    def _end(self) -> None:
        """Take the cohorts whose windows have ended since into the mean."""
        ended = self._impressions.windows.ended // COHORT
        for cohort in range(self._ended, ended):
            clicks = self._clicked.pop(cohort, 0)
            self._denied.pop(cohort, None)
            if cohort < self._first:
                continue
            clicks, many = clicks + self._waiting[0], COHORT + self._waiting[1]
            if self._is_warm:
                if self._clicks / self._many * many < ENOUGH_CLICKS:
                    self._waiting = clicks, many
                    continue
                self._waiting = 0, 0
                # Far too few clicks are labels that are missing, and may come yet.
                if _odds(clicks, many) * self._odds < _odds(self._clicks, self._many):
                    continue
            self._take_in(clicks, many)
        self._ended = max(self._ended, ended)

    def _take_in(self, clicks: float, many: float) -> None:
        """Take so many clicks of so many impressions into the mean."""
        self._clicks, self._many = self._clicks + clicks, self._many + many
        share = min(MEMORY * BLOCK / self._many, 1.0)
        self._clicks, self._many = self._clicks * share, self._many * share

    def _usual(self, clicks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those counts that are near the median: a jump, and labels that are missing, are not."""
        median = float(np.median(clicks))
        chance = CLICK_ERRORS * math.sqrt(median + 1)
        return clicks[(clicks <= median * self._odds + chance) & (clicks >= median / self._odds - chance)]


def _odds(clicks: float, many: float) -> float:
    return (clicks + 0.5) / (many - clicks + 0.5)
