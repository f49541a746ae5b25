"""The joiner: labels and ends of windows become examples, with the features that were predicted with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rules import keeps, rates_of, weight_of_clicks, weight_of_negatives
from nonzero_service.impressions.selecting import labelled
from nonzero_service.impressions.states import CLICKS, TAUGHT, ImpressionState, is_one_of
from nonzero_service.impressions.store import ImpressionStore, chosen
from nonzero_service.impressions.unpacking import Records
from nonzero_service.impressions.verdicts import Verdict, decide

_NO_ROWS: Final = np.empty(0, np.intp)


@dataclass(frozen=True, eq=False)
class Joined:
    """What labels, or the ends of windows, come to."""

    batch: Batch
    """What is to be learned."""
    references: References
    """Which impressions that is, and what becomes of them."""
    untaught: References
    """What becomes of other impressions, of which nothing is learned now."""
    verdicts: Sequence[Verdict] = ()
    """Of each label that was given."""
    rows: NDArray[np.intp] = field(default_factory=lambda: _NO_ROWS)
    """intp[n]: which of the labels each example is of."""


class Joiner:
    """Joins the impressions of a store; on the committer.

    What it says is noted in the store, and undone there where the journal does not take it.

    Parameters
    ----------
    store
        The impressions.
    """

    def __init__(self, store: ImpressionStore) -> None:
        self._store = store

    def label(self, names: Sequence[str | None], labels: Sequence[int], now_ms: int) -> Joined:
        """Join labels with their impressions.

        Parameters
        ----------
        names
            Of each label the id.
        labels
            0 or 1.
        now_ms
            The journal's clock.

        Raises
        ------
        StorageError
            Where an impression cannot be read; nothing is noted then.
        """
        store, segments = self._store, self._store.segments
        ids = Ids.of(names)
        hashes = hashes_of(ids, np.arange(len(ids)))
        with store.lock:
            numbers = segments.find(hashes)
            store.early.remember(hashes[numbers < 0])
            found = np.flatnonzero(numbers >= 0)
            # Their ids are compared before anything is decided: a hash may be of another id.
            records = store.records(numbers[found])
            for place, name in enumerate(records.ids):
                row = found[place]
                if not name:
                    self._damaged(numbers[row : row + 1])
                elif name != ids.pieces[row]:
                    numbers[row] = -1
            ages = now_ms - segments.times(numbers)
            decision = decide(store.rules, labels, numbers, hashes, segments.states(numbers), ages)
            taken, becomes, teaches = decision.taken, decision.becomes, decision.teaches
            thinned = ~teaches & (becomes == ImpressionState.NEGATIVE)
            if store.rules.negatives != "at_once":
                store.count({"thinned": int(thinned.sum())})
            references = _references(numbers, hashes, taken[teaches], becomes[teaches])
            rows = taken[teaches]
            batch = self._examples(chosen(records, found.searchsorted(rows)), references)
            untaught = _references(numbers, hashes, taken[~teaches], becomes[~teaches])
            store.set(numbers[taken], becomes)
            store.labelled(decision.verdicts, np.maximum(ages[taken], 0), now_ms)
            return Joined(batch, references, untaught, decision.verdicts, rows)

    def end(self, limit: int, now_ms: int) -> Joined | None:
        """End the next windows that are due, in the order of the predictions.

        Parameters
        ----------
        limit
            So many at most.
        now_ms
            The journal's clock.

        Returns
        -------
        Joined | None
            None where no more are due.

        Raises
        ------
        StorageError
            Where an impression cannot be read; nothing is noted then.
        """
        store, segments, rules = self._store, self._store.segments, self._store.rules
        with store.lock:
            due = store.due(limit, now_ms)
            if due is None:
                store.forget(now_ms)
                return None
            numbers, ended = due
            before, hashes = segments.states(numbers), segments.hashes_of(numbers)
            kept = keeps(numbers, hashes, rules.negative_rate)
            becomes = np.select(
                [
                    before == ImpressionState.LEARNED,
                    before == ImpressionState.ONE_WAITS,
                    before == ImpressionState.ZERO_WAITS,
                    kept,
                ],
                [
                    ImpressionState.EXPIRED,
                    ImpressionState.CLICKED,
                    ImpressionState.NEGATIVE,
                    ImpressionState.EXPIRED,
                ],
                ImpressionState.THINNED,
            ).astype(np.uint8)
            teaches = kept | (becomes == ImpressionState.CLICKED)
            if rules.negatives == "at_once":
                # All has been learned. What a start finds it works out again, from the clock.
                becomes[before == ImpressionState.PENDING] = ImpressionState.THINNED
                teaches = np.zeros(numbers.size, np.bool_)
            rows = np.flatnonzero(teaches)
            references = _references(numbers, hashes, rows, becomes[rows])
            batch = self._examples(store.records(numbers[rows]), references)
            rest = np.flatnonzero(~teaches) if rules.negatives != "at_once" else _NO_ROWS
            untaught = _references(numbers, hashes, rest, becomes[rest])
            store.set(numbers, becomes)
            store.set_ended(ended)
            unlabelled = is_one_of(before, (ImpressionState.PENDING, ImpressionState.LEARNED))
            expired = int((unlabelled & (becomes == ImpressionState.EXPIRED)).sum())
            store.count(
                {
                    "expired": expired,
                    "ended": int(unlabelled.sum()),
                    "thinned": int((becomes == ImpressionState.THINNED).sum()),
                }
            )
            return Joined(batch, references, untaught)

    def _examples(self, records: Records, references: References) -> Batch:
        """Return the examples of impressions by what becomes of them; a damaged one weighs nothing."""
        store, numbers = self._store, references.numbers
        before, weights = store.segments.states(numbers), records.batch.weights
        clicks = is_one_of(references.states, CLICKS)
        at_once = store.segments.rates(numbers)
        now = rates_of(numbers, store.rules.negative_rate)
        rates = np.where(np.isnan(at_once), now, rates_of(numbers, at_once))
        if not records.whole.all():
            store.count({"damaged": int((~records.whole).sum())})
        weights = np.where(
            clicks,
            weight_of_clicks(weights, records.probabilities, rates, is_one_of(before, TAUGHT)),
            weight_of_negatives(weights, rates),
        )
        return labelled(records.batch, clicks.astype(np.float32), weights.astype(np.float32))

    def _damaged(self, numbers: NDArray[np.int64]) -> None:
        """Note that a record is not what was written."""
        store = self._store
        if (store.segments.states(numbers) != ImpressionState.DAMAGED).all():
            store.count({"damaged": numbers.size})
        store.set(numbers, np.full(numbers.size, ImpressionState.DAMAGED, np.uint8))


def _references(
    numbers: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    rows: NDArray[np.intp],
    becomes: NDArray[np.uint8],
) -> References:
    """Return the impressions of some rows, and what becomes of them."""
    return References(numbers[rows], hashes[rows], becomes)
