"""The joiner: labels and ends of windows become examples, with the features that were predicted with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rules import keeps, rates_of, weight_of_clicks, weight_of_negatives
from nonzero_service.impressions.selecting import labelled
from nonzero_service.impressions.states import CLICKS, TAUGHT, UNLABELLED, ImpressionState, is_one_of
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.unpacking import Records
from nonzero_service.impressions.verdicts import Verdict, decide
from nonzero_service.impressions.waiting_labels import WaitingLabel

MOST: Final = 1 << 16
"""So many impressions that waited have their turn at once."""

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
    waiting: Sequence[WaitingLabel] = ()
    """The labels that wait for their impressions."""


class _Lesson(NamedTuple):
    """Impressions that are learned from, in order."""

    numbers: NDArray[np.int64]
    becomes: NDArray[np.uint8]
    before: NDArray[np.uint8]
    """uint8[n]: what they were."""
    rows: NDArray[np.intp]
    """intp[n]: which of the labels each is learned from by; for one that waited, the last before it."""


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

    def label(
        self,
        names: Sequence[str | None],
        labels: Sequence[int],
        now_ms: int,
        times: NDArray[np.int64] | None = None,
    ) -> Joined:
        """Join labels with their impressions.

        Parameters
        ----------
        names
            Of each label the id.
        labels
            0 or 1.
        now_ms
            The clock that windows end by.
        times
            int64[n]: when each label was given, of those that come from a topic: they wait where their
            impression has not come. None: now, and they do not.

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
            if times is None:
                store.early.remember(hashes[numbers < 0])
            found = np.flatnonzero(numbers >= 0)
            # Their ids are compared before anything is decided: a hash may be of another id.
            records = store.reader.records(numbers[found], ids=True)
            self._damaged(numbers[found[~records.whole]])
            numbers[found[records.whole & ~records.are_of(ids, found)]] = -1
            joined = self._labelled(
                numbers, hashes, labels, now_ms, lambda rows: records.chosen(found.searchsorted(rows)), times
            )
            return joined if times is None else self._waits(joined, names, hashes, labels, times)

    def _waits(
        self,
        joined: Joined,
        names: Sequence[str | None],
        hashes: NDArray[np.uint64],
        labels: Sequence[int],
        times: NDArray[np.int64],
    ) -> Joined:
        """Let those labels wait whose impressions have not come."""
        rows = [row for row, verdict in enumerate(joined.verdicts) if verdict == "unknown"]
        if not rows:
            return joined
        waiting = [WaitingLabel(names[row] or "", labels[row], int(times[row])) for row in rows]
        return replace(joined, waiting=self._store.let_wait(hashes[rows], waiting))

    def label_waiting(self, hashes: NDArray[np.uint64], now_ms: int) -> Joined | None:
        """Join the labels that have waited for impressions which have just come.

        Parameters
        ----------
        hashes
            uint64[n]: of the impressions' ids.
        now_ms
            The clock that windows end by.

        Returns
        -------
        Joined | None
            None where none has waited.

        Raises
        ------
        StorageError
            As for :meth:`label`.
        """
        store = self._store
        with store.lock:
            came = store.waiting_labels.take(hashes)
            if not came:
                return None
            store.count({"joined_after_waiting": len(came)})
            ids, labels, times = zip(*came, strict=True)
            known = np.flatnonzero(store.segments.find(hashes_of(Ids.of(ids), np.arange(len(ids)))) >= 0)
            return self.label(
                [ids[k] for k in known], [labels[k] for k in known], now_ms, np.array(times, np.int64)[known]
            )

    def label_known(
        self, numbers: NDArray[np.int64], hashes: NDArray[np.uint64], labels: Sequence[int], now_ms: int
    ) -> Joined:
        """Join labels with impressions whose numbers, and the hashes of whose ids, are known already.

        Parameters
        ----------
        numbers, hashes
            int64[n], uint64[n]: of the impressions.
        labels, now_ms
            As for :meth:`label`.

        Raises
        ------
        StorageError
            As for :meth:`label`.
        """
        with self._store.lock:
            return self._labelled(
                numbers, hashes, labels, now_ms, lambda rows: self._store.reader.records(numbers[rows])
            )

    def _labelled(
        self,
        numbers: NDArray[np.int64],
        hashes: NDArray[np.uint64],
        labels: Sequence[int],
        now_ms: int,
        records: Callable[[NDArray[np.intp]], Records],
        times: NDArray[np.int64] | None = None,
    ) -> Joined:
        """Join labels with impressions that were found; `records` returns those of some of them."""
        store, segments = self._store, self._store.segments
        ages = (now_ms if times is None else times) - segments.times(numbers)
        before = segments.states(numbers)
        decision = decide(store.rules, labels, numbers, hashes, before, ages)
        taken, becomes, teaches = decision.taken, decision.becomes, decision.teaches
        store.set(numbers[taken], becomes)
        told = decision.verdicts
        if times is not None:  # of those that wait it is told when they have waited
            told = [verdict for verdict in told if verdict != "unknown"]
        store.labelled(told, np.maximum(ages[taken], 0), now_ms)
        rows = taken[teaches]
        own = _Lesson(numbers[rows], becomes[teaches], before[rows], rows)
        lesson, untaught = own, [_references(numbers, hashes, taken[~teaches], becomes[~teaches])]
        if store.rules.negatives == "at_once":
            newly = numbers[taken[is_one_of(becomes, CLICKS)]]
            lesson, thinned = self._in_turn(own, newly, store.waiting_impressions.first(MOST), now_ms, MOST)
            untaught.append(thinned)
        else:
            store.count({"thinned": int((untaught[0].states == ImpressionState.NEGATIVE).sum())})
        known = records(rows) if lesson is own else store.reader.records(lesson.numbers)
        return Joined(
            self._examples(known, lesson),
            self._references(lesson),
            References.concatenate(untaught),
            decision.verdicts,
            lesson.rows,
        )

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
        store = self._store
        with store.lock:
            at_once = store.rules.negatives == "at_once"
            if at_once and (waited := self._waited(limit, now_ms)) is not None:
                return waited
            due = store.windows.due(limit, now_ms)
            if due is None:
                store.forget(now_ms)
                return None
            numbers, ended = due
            before = store.segments.states(numbers)
            becomes, joined = (_forgotten if at_once else self._expired)(numbers, before)
            store.set(numbers, becomes)
            self._count_ended(before, becomes)
            store.windows.set_ended(ended)
            return joined

    def _expired(
        self, numbers: NDArray[np.int64], before: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], Joined]:
        """Return what becomes of impressions whose windows end, and what is learned of them."""
        hashes = self._store.segments.hashes_of(numbers)
        becomes, teaches = self._after(
            numbers, before, hashes, ImpressionState.EXPIRED, ImpressionState.THINNED
        )
        rows = np.flatnonzero(teaches)
        lesson = _Lesson(numbers[rows], becomes[rows], before[rows], rows)
        batch = self._examples(self._store.reader.records(lesson.numbers), lesson)
        rest = _references(numbers, hashes, np.flatnonzero(~teaches), becomes[~teaches])
        return becomes, Joined(batch, self._references(lesson), rest)

    def _waited(self, limit: int, now_ms: int) -> Joined | None:
        """Learn from impressions that waited for their turn: they have it now, or their window has ended."""
        store = self._store
        waiting = store.waiting_impressions.first(limit)
        if not waiting.size:
            return None
        nothing = np.empty(0, np.uint8)
        lesson, thinned = self._in_turn(
            _Lesson(waiting[:0], nothing, nothing, _NO_ROWS), waiting[:0], waiting, now_ms, limit
        )
        if not len(lesson.numbers) and not len(thinned):
            return None
        store.count({"waited_out": int((lesson.numbers < store.windows.ended_at(now_ms)).sum())})
        batch = self._examples(store.reader.records(lesson.numbers), lesson)
        return Joined(batch, self._references(lesson), thinned)

    def _in_turn(
        self,
        lesson: _Lesson,
        newly: NDArray[np.int64],
        waiting: NDArray[np.int64],
        now_ms: int,
        limit: int,
    ) -> tuple[_Lesson, References]:
        """Put impressions that wait between clicks that take back a negative, as the gate says.

        `newly` are the impressions whose clicks have just come, `waiting` the first that wait, so many as the
        limit says at most.

        Returns
        -------
        _Lesson, References
            What is learned from; and what becomes of those that had their turn and are thinned away.
        """
        store, segments = self._store, self._store.segments
        states = segments.states(waiting)
        clicked = (states == ImpressionState.ONE_WAITS).astype(np.uint8)
        gate = store.waiting_impressions.note_gate()
        gate.note_clicked(newly)
        forced = int(waiting.searchsorted(store.waiting_impressions.had_their_chance(now_ms)))
        order = gate.drain(waiting, clicked, forced, len(lesson.numbers))
        taken = int((~order).sum())
        if not taken:
            return lesson, References.none()
        numbers, before = waiting[:taken], states[:taken]
        hashes = segments.hashes_of(numbers)
        becomes, teaches = self._after(
            numbers, before, hashes, ImpressionState.LEARNED, ImpressionState.UNTAUGHT
        )
        learned = np.ones(order.size, np.bool_)
        learned[~order] = teaches

        def in_order(of_corrections: NDArray[Any], of_waiting: NDArray[Any]) -> NDArray[Any]:
            column = np.empty(order.size, of_waiting.dtype)
            column[order], column[~order] = of_corrections, of_waiting
            return column[learned]

        # One that waited stands behind the label of the last correction before it.
        rows, last = lesson.rows, np.maximum(np.cumsum(order)[~order] - 1, 0)
        behind = rows[last] if rows.size else np.zeros(taken, np.intp)
        lesson = _Lesson(
            in_order(lesson.numbers, numbers),
            in_order(lesson.becomes, becomes),
            in_order(lesson.before, before),
            in_order(rows, behind),
        )
        thinned = _references(numbers, hashes, np.flatnonzero(~teaches), becomes[~teaches])
        store.set(numbers, becomes)
        left = waiting[taken:]
        behind_all = int(left[0]) if left.size else self._after_all(waiting, limit)
        store.waiting_impressions.set_next_taught(behind_all)
        return lesson, thinned

    def _after_all(self, waiting: NDArray[np.int64], limit: int) -> int:
        """Return the number of the first that may wait when these have had their turn."""
        return int(waiting[-1]) + 1 if waiting.size == limit else self._store.segments.next_number

    def _after(
        self,
        numbers: NDArray[np.int64],
        before: NDArray[np.uint8],
        hashes: NDArray[np.uint64],
        negative: ImpressionState,
        thinned: ImpressionState,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return what becomes of impressions that have their turn, and which of them are learned from."""
        kept = keeps(numbers, hashes, self._store.rules.negative_rate)
        becomes = np.select(
            [before == ImpressionState.ONE_WAITS, before == ImpressionState.ZERO_WAITS, kept],
            [ImpressionState.CLICKED, ImpressionState.NEGATIVE, negative],
            thinned,
        ).astype(np.uint8)
        return becomes, kept | (becomes == ImpressionState.CLICKED)

    def _count_ended(self, before: NDArray[np.uint8], becomes: NDArray[np.uint8]) -> None:
        """Count windows that have ended."""
        unlabelled = is_one_of(before, UNLABELLED)
        self._store.count(
            {
                "expired": int((unlabelled & (becomes == ImpressionState.EXPIRED)).sum()),
                "ended": int(unlabelled.sum()),
                "thinned": int((becomes == ImpressionState.THINNED).sum()),
            }
        )

    def _references(self, lesson: _Lesson) -> References:
        return References(lesson.numbers, self._store.segments.hashes_of(lesson.numbers), lesson.becomes)

    def _examples(self, records: Records, lesson: _Lesson) -> Batch:
        """Return the examples of impressions by what becomes of them; a damaged one weighs nothing."""
        store, numbers, weights = self._store, lesson.numbers, records.batch.weights
        clicks = is_one_of(lesson.becomes, CLICKS)
        at_once = store.segments.rates(numbers)
        rates = rates_of(numbers, np.where(np.isnan(at_once), store.rules.negative_rate, at_once))
        if not records.whole.all():
            store.count({"damaged": int((~records.whole).sum())})
        weights = np.where(
            clicks,
            weight_of_clicks(weights, records.probabilities, rates, is_one_of(lesson.before, TAUGHT)),
            weight_of_negatives(weights, rates),
        )
        return labelled(records.batch, clicks.astype(np.float32), weights.astype(np.float32))

    def _damaged(self, numbers: NDArray[np.int64]) -> None:
        """Note that records are not what was written."""
        store = self._store
        newly = np.unique(numbers[store.segments.states(numbers) != ImpressionState.DAMAGED])
        if newly.size:
            store.count({"damaged": newly.size})
        store.set(numbers, np.full(numbers.size, ImpressionState.DAMAGED, np.uint8))


def _forgotten(
    numbers: NDArray[np.int64],  # noqa: ARG001 - those that are learned from then need them
    before: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], Joined]:
    """Return what becomes of impressions that were learned from: no row says so, a clock tells it as well."""
    none = References.none()
    return forgotten(before), Joined(Batch.empty(), none, none)


def forgotten(before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8[n]: what becomes of impressions that have had their turn, when their windows end."""
    taught = before == ImpressionState.LEARNED
    return np.where(taught, ImpressionState.EXPIRED, ImpressionState.THINNED).astype(np.uint8)


def _references(
    numbers: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    rows: NDArray[np.intp],
    becomes: NDArray[np.uint8],
) -> References:
    """Return the impressions of some rows, and what becomes of them."""
    return References(numbers[rows], hashes[rows], becomes)
