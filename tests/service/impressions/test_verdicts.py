"""What labels meet, all at once, is what they would meet one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.states import UNLABELLED, ImpressionState
from nonzero_service.impressions.verdicts import LABEL_OF, Verdict, decide

RULES = Rules(attribution_ms=100, correction_ms=100)
LATE = (ImpressionState.EXPIRED, ImpressionState.THINNED)


def one_by_one(
    numbers: Sequence[int], labels: Sequence[int], states: Sequence[ImpressionState], ages: Sequence[int]
) -> list[Verdict]:
    """Decide label by label; one that came to something is what its impression is from then on."""
    given: dict[int, int] = {}
    found: list[Verdict] = []
    for number, label, state, age in zip(numbers, labels, states, ages, strict=True):
        verdict: Verdict = "gone"
        if number < 0:
            verdict = "unknown"
        elif number in given:
            verdict = "duplicate" if given[number] == label else "conflicting"
        elif label and state in LATE:
            verdict = "gone" if age > RULES.attribution_ms + RULES.correction_ms else "corrected"
        elif state in LABEL_OF:
            verdict = "duplicate" if LABEL_OF[state] == label else "conflicting"
        elif state in UNLABELLED:
            verdict = "joined"
        if verdict in ("joined", "corrected"):
            given[number] = label
        found.append(verdict)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_labels_of_one_request_meet_what_they_would_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 60))
    most = int(rng.integers(1, 80))
    of = rng.choice(list(ImpressionState), most)
    old = rng.choice([50, 150, 250], most)
    numbers = rng.integers(-1, most, n)
    labels = rng.integers(0, 2, n).tolist()
    states, ages = of[numbers].astype(np.uint8), old[numbers].astype(np.int64)
    decision = decide(RULES, labels, numbers, numbers.astype(np.uint64), states, ages)
    expected = one_by_one(
        numbers.tolist(), labels, [ImpressionState(s) for s in states.tolist()], ages.tolist()
    )
    assert decision.verdicts == expected
    assert decision.taken.tolist() == [k for k, v in enumerate(expected) if v in ("joined", "corrected")]
