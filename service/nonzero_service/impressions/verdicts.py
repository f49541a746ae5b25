"""What labels meet: which are learned from, and which change nothing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.rules import Rules, keeps
from nonzero_service.impressions.states import UNLABELLED, ImpressionState, is_one_of

Verdict = Literal["joined", "corrected", "unknown", "duplicate", "conflicting", "gone"]
"""What a label meets; the last four change nothing."""

LABEL_OF: Final = {
    ImpressionState.NEGATIVE: 0,
    ImpressionState.EXPIRED: 0,
    ImpressionState.THINNED: 0,
    ImpressionState.CLICKED: 1,
    ImpressionState.CORRECTED: 1,
    ImpressionState.ONE_WAITS: 1,
    ImpressionState.ZERO_WAITS: 0,
}
"""The label that an impression has had, or stands for."""


NAMES: Final = np.array(["joined", "corrected", "unknown", "duplicate", "conflicting", "gone"], object)
JOINED, CORRECTED, UNKNOWN, DUPLICATE, CONFLICTING, GONE = range(6)
"""The verdicts as numbers; the first two are those that change something."""

NO_LABEL: Final = -1
KNOWN: Final = np.full(256, NO_LABEL)
"""int64[256]: the label that an impression of each state has had, or stands for."""
for _state, _label in LABEL_OF.items():
    KNOWN[_state] = _label


class Decision(NamedTuple):
    """What becomes of labels, and of the impressions that they are of."""

    verdicts: list[Verdict]
    """Of each label."""
    taken: NDArray[np.intp]
    """intp[k]: which of the labels change what has become of their impression."""
    becomes: NDArray[np.uint8]
    """uint8[k]: what that is."""
    teaches: NDArray[np.bool_]
    """bool[k]: which of them are learned from now: not those that wait for their turn, nor the negatives that
    were learned from before, or are thinned away."""


def decide(
    rules: Rules,
    labels: Sequence[int],
    numbers: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    states: NDArray[np.uint8],
    ages: NDArray[np.int64],
) -> Decision:
    """Decide what each label meets; one given earlier among them counts.

    Parameters
    ----------
    rules
        Windows and thinning.
    labels
        0 or 1.
    numbers, hashes, states
        int64[n], uint64[n], uint8[n]: of the impressions; the number is -1 where there is none.
    ages
        int64[n]: milliseconds since the predictions.
    """
    wanted = np.array(labels, np.int64)
    codes = _by_state(rules, numbers, wanted, states, ages)
    _after_the_first(codes, numbers, wanted)
    verdicts: list[Verdict] = NAMES[codes].tolist()
    taken = np.flatnonzero(codes <= CORRECTED)
    clicks = wanted[taken] == 1
    late = codes[taken] == CORRECTED
    waits = ~late & (rules.negatives != "at_end") & (states[taken] == ImpressionState.PENDING)
    becomes = np.select(
        [late, waits & clicks, waits, clicks],
        [
            ImpressionState.CORRECTED,
            ImpressionState.ONE_WAITS,
            ImpressionState.ZERO_WAITS,
            ImpressionState.CLICKED,
        ],
        ImpressionState.NEGATIVE,
    ).astype(np.uint8)
    teaches = ~waits
    if rules.negatives == "at_once":
        teaches &= clicks
    else:
        teaches &= clicks | keeps(numbers[taken], hashes[taken], rules.negative_rate)
    return Decision(verdicts, taken, becomes, teaches)


def _by_state(
    rules: Rules,
    numbers: NDArray[np.int64],
    labels: NDArray[np.int64],
    states: NDArray[np.uint8],
    ages: NDArray[np.int64],
) -> NDArray[np.intp]:
    """Return intp[n]: what each label meets, as if it came alone; places among :data:`NAMES`."""
    known = KNOWN[states]
    late = is_one_of(states, (ImpressionState.EXPIRED, ImpressionState.THINNED)) & (labels != 0)
    too_late = ages > rules.attribution_ms + rules.correction_ms
    return np.select(
        [
            numbers < 0,
            late & too_late,
            late,
            known == labels,
            known != NO_LABEL,
            is_one_of(states, UNLABELLED),
        ],
        [UNKNOWN, GONE, CORRECTED, DUPLICATE, CONFLICTING, JOINED],
        GONE,
    )


def _after_the_first(codes: NDArray[np.intp], numbers: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    """Hold labels against an earlier one, of the same impression, that came to something; in place."""
    rows = np.flatnonzero(codes <= CORRECTED)
    given, firsts = np.unique(numbers[rows], return_index=True)
    if not given.size or given.size == np.count_nonzero(numbers >= 0):  # there is none, or all differ
        return
    place = np.minimum(given.searchsorted(numbers), given.size - 1)
    first = rows[firsts][place]
    later = np.flatnonzero((given[place] == numbers) & (np.arange(numbers.size) > first))
    codes[later] = np.where(labels[later] == labels[first[later]], DUPLICATE, CONFLICTING)
