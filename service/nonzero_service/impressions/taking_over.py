"""A promotion to another late-label policy: what has become of each impression by that is taken over.

The new model has learned from other impressions than the old one, and each is to be learned from once at most
by it. So the ``promotion`` row says what has become of each by its joiner. From there on labels are joined,
and windows ended, by its policy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.array_text import array_of, text_of
from nonzero_service.impressions.rules import Negatives
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.errors import BodyError


class TakenOver(msgspec.Struct, frozen=True):
    """What a ``promotion`` row says of impressions."""

    negatives: Negatives
    """When is learned from them from here on."""
    attribution_ms: int
    correction_ms: int
    first: int
    """The number of the first."""
    ended: int
    """The windows of all before this number have been ended."""
    ends_from_ms: int
    """Before this time no window ends."""
    rate: float
    """The share of negatives that is learned from."""
    states: str
    """What has become of each, compressed, in base64."""


def _table(becomes: dict[ImpressionState, ImpressionState]) -> NDArray[np.uint8]:
    """Return uint8[256]: what each state becomes; the others stay."""
    table = np.arange(256, dtype=np.uint8)
    for state, other in becomes.items():
        table[state] = other
    return table


WAITING_AGAIN: Final = _table(
    {
        ImpressionState.LEARNED: ImpressionState.PENDING,
        ImpressionState.UNTAUGHT: ImpressionState.PENDING,
        ImpressionState.CLICKED: ImpressionState.ONE_WAITS,
        ImpressionState.NEGATIVE: ImpressionState.ZERO_WAITS,
    }
)
"""uint8[256]: of impressions that the new model knows nothing of, while their windows are open."""

PASSED_BY: Final = _table(
    {
        ImpressionState.PENDING: ImpressionState.PASSED,
        ImpressionState.LEARNED: ImpressionState.PASSED,
        ImpressionState.UNTAUGHT: ImpressionState.PASSED,
        ImpressionState.EXPIRED: ImpressionState.PASSED,
        ImpressionState.THINNED: ImpressionState.PASSED,
        ImpressionState.ONE_WAITS: ImpressionState.CLICKED,
        ImpressionState.ZERO_WAITS: ImpressionState.NEGATIVE,
    }
)
"""uint8[256]: of those whose windows have ended."""


def taken_over(champion: ImpressionStore, challenger: ImpressionStore, now_ms: int) -> TakenOver:
    """Return what is to become of a champion's impressions where a challenger takes its place.

    Those that the challenger has joined are what they are by it. Those from before it began wait, where their
    windows are open: it has learned from none of them. Nothing is learned of the others, whose clicks alone
    would be taken for a click rate.

    Parameters
    ----------
    champion, challenger
        Both, as all rows up to here have made them. Neither changes meanwhile: this is the committer, and the
        challenger has nothing to learn. So no lock is held, for which others would wait.
    now_ms
        The journal's clock.
    """
    segments, theirs = champion.segments, challenger.segments
    first = segments[0].first if segments else segments.next_number
    numbers = np.arange(first, segments.next_number)
    before = segments.states(numbers)
    known = theirs.hashes_of(numbers) == segments.hashes_of(numbers)
    begun = segments.next_number
    if theirs.next_number:
        begun = theirs[0].first if theirs else theirs.next_number
    ended = challenger.windows.ended if challenger.windows.ended > begun else 0
    with champion.lock:
        passed = segments.made_until(now_ms - champion.rules.attribution_ms)
    open_from = max(champion.windows.ended, passed, ended)
    others = np.where(numbers >= open_from, WAITING_AGAIN[before], PASSED_BY[before])
    states = np.where(known, theirs.states(numbers), others)
    states[before == ImpressionState.DAMAGED] = ImpressionState.DAMAGED
    rules = challenger.rules
    return TakenOver(
        negatives=rules.negatives,
        attribution_ms=rules.attribution_ms,
        correction_ms=rules.correction_ms,
        first=first,
        ended=ended or min(open_from, begun),
        ends_from_ms=challenger.windows.ends_from_ms,
        rate=rules.negative_rate,
        states=text_of(states),
    )


def take_over(store: ImpressionStore, taken: TakenOver) -> None:
    """Let a champion's impressions be what a ``promotion`` row says, and go on by its policy.

    To be called between two groups, when the row is durable; and at a start where it is met.

    Raises
    ------
    BodyError
        Where the row does not say what has become of them.
    """
    try:
        states = array_of(taken.states, np.uint8)
    except ValueError as error:
        raise BodyError(f"what has become of impressions cannot be read: {error}") from error
    with store.lock:
        store.rules = replace(store.rules, negatives=taken.negatives)
        store.segments.set(np.arange(taken.first, taken.first + states.size), states)
        for segment in store.segments:
            segment.forget_rates()  # what the rows taught, they taught the old model
        windows = store.windows
        windows.ended, windows.ends_from_ms = taken.ended, max(windows.ends_from_ms, taken.ends_from_ms)
        store.waiting_impressions.next_taught = store.segments.next_number
        store.changes += 1
