"""What labels meet: which are learned from, and which change nothing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.rules import Rules, keeps
from nonzero_service.impressions.states import UNLABELLED, ImpressionState

Verdict = Literal["joined", "corrected", "unknown", "duplicate", "conflicting", "gone"]
"""What a label meets; the last four change nothing."""

TAKEN: Final = frozenset({"joined", "corrected"})
"""Those that change what has become of an impression."""

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
    given: dict[int, int] = {}
    pairs = zip(numbers.tolist(), labels, states.tolist(), ages.tolist(), strict=True)
    verdicts = [_verdict(rules, given, number, label, state, age) for number, label, state, age in pairs]
    taken = np.flatnonzero([verdict in TAKEN for verdict in verdicts])
    clicks = np.array(labels, np.int64)[taken] == 1
    late = np.array([verdicts[row] == "corrected" for row in taken.tolist()], np.bool_)
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


def _verdict(rules: Rules, given: dict[int, int], number: int, label: int, state: int, age: int) -> Verdict:
    if number < 0:
        return "unknown"
    known = given.get(number, LABEL_OF.get(ImpressionState(state)))
    if (
        known is not None
        and number not in given
        and label
        and state in (ImpressionState.EXPIRED, ImpressionState.THINNED)
    ):
        if age > rules.attribution_ms + rules.correction_ms:
            return "gone"
        given[number] = label
        return "corrected"
    if known is not None:
        return "duplicate" if known == label else "conflicting"
    if state not in UNLABELLED:
        return "gone"
    given[number] = label
    return "joined"
