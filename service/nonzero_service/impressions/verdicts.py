"""What labels meet: which are learned from, and which change nothing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import State

__all__ = ["Verdict", "decide"]

Verdict = Literal["joined", "corrected", "unknown", "duplicate", "conflicting", "gone"]
"""What a label meets; the last four change nothing."""

LABEL_OF: Final = {
    State.NEGATIVE: 0,
    State.EXPIRED: 0,
    State.THINNED: 0,
    State.CLICKED: 1,
    State.CORRECTED: 1,
}
"""The label that an impression has had, or stands for."""


def decide(
    rules: Rules, numbers: list[int], labels: Sequence[int], states: list[int], ages: list[int]
) -> list[Verdict]:
    """Decide what each label meets; one given earlier among them counts."""
    given: dict[int, int] = {}
    return [
        _verdict(rules, given, number, label, state, age)
        for number, label, state, age in zip(numbers, labels, states, ages, strict=True)
    ]


def _verdict(rules: Rules, given: dict[int, int], number: int, label: int, state: int, age: int) -> Verdict:
    if number < 0:
        return "unknown"
    known = given.get(number, LABEL_OF.get(State(state)))
    if known is not None and number not in given and label and state in (State.EXPIRED, State.THINNED):
        if age > rules.attribution_ms + rules.correction_ms:
            return "gone"
        given[number] = label
        return "corrected"
    if known is not None:
        return "duplicate" if known == label else "conflicting"
    if state != State.PENDING:
        return "gone"
    given[number] = label
    return "joined"
