"""What labels meet: which are learned from, and which change nothing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState

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
    thin: NDArray[np.bool_]
    """bool[k]: which of them are negatives that are thinned away, so that nothing is learned."""

    @property
    def unlearned(self) -> list[Verdict]:
        """The verdicts of the labels that change nothing."""
        return [verdict for verdict in self.verdicts if verdict not in TAKEN]


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
    becomes = np.where(clicks, ImpressionState.CLICKED, ImpressionState.NEGATIVE).astype(np.uint8)
    becomes[[verdicts[row] == "corrected" for row in taken.tolist()]] = ImpressionState.CORRECTED
    thin = ~rules.keeps(numbers[taken], hashes[taken]) & ~clicks
    return Decision(verdicts, taken, becomes, thin)


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
    if state != ImpressionState.PENDING:
        return "gone"
    given[number] = label
    return "joined"
