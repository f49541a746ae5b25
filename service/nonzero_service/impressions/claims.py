"""Claims: impressions on their way to the journal, by their label or because their window has ended.

A claim is settled when its examples are in the journal, or given back when they do not come there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.impressions.examples import labelled_batch, negatives
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.segment import ImpressionState
from nonzero_service.impressions.segments import FoundRecords
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.verdicts import Verdict, decide

_NO_NUMBERS: Final = np.empty(0, np.int64)
_NO_STATES: Final = np.empty(0, np.uint8)


@dataclass(frozen=True, eq=False)
class Claim:
    """Impressions that are being resolved; nobody else gets them until they are settled or given back."""

    verdicts: list[Verdict]
    """Of each label that was given; none for an expiry."""
    batch: Batch
    """What is to be learned."""
    references: References
    """Which impressions that is."""
    before: NDArray[np.uint8]
    """uint8[n]: what they were."""
    delays: NDArray[np.int64]
    """int64[n]: milliseconds from prediction to label; none for an expiry."""
    rows: NDArray[np.intp]
    """intp[n]: which of the labels each is of; none for an expiry."""


class Claims:
    """Claims the impressions of a store; from any thread. All that it knows is in the store.

    Parameters
    ----------
    store
        The impressions.
    """

    def __init__(self, store: ImpressionStore) -> None:
        self._store = store

    def claim(self, names: Sequence[str], labels: Sequence[int], now_ms: int) -> Claim | None:
        """Find the impressions of labels, and claim those from which there is something to learn.

        Returns
        -------
        Claim | None
            None where one of them is claimed already: ask again when it is settled.

        Raises
        ------
        OSError
            Where the disk refuses: nothing is claimed then.
        """
        store = self._store
        ids = Ids.of(names)
        hashes = hashes_of(ids, np.arange(len(ids)))
        with store.lock:
            numbers = self._find(hashes)
            if (store.segments.states(numbers) == ImpressionState.CLAIMED).any():
                return None
        # Their ids are compared before anything is decided: a hash may be of another id.
        records = self._read(np.flatnonzero(numbers >= 0), numbers)
        known, before = _NO_NUMBERS, _NO_STATES
        try:
            with store.lock:
                for row, name in records.names.items():
                    if not name:
                        self._damaged(numbers[row : row + 1])
                    elif name != ids.pieces[row]:
                        numbers[row] = -1
                states, times = store.segments.states(numbers), store.segments.times(numbers)
                if (states == ImpressionState.CLAIMED).any():
                    return None
                decision = decide(store.rules, labels, numbers, hashes, states, now_ms - times)
                thinned = decision.taken[decision.thin]
                becomes = decision.becomes[decision.thin]
                store.segments.persist(numbers[thinned], becomes)  # first: the disk may refuse
                learned = decision.taken[~decision.thin]
                known, before = numbers[learned], states[learned]
                store.segments.set(numbers[thinned], becomes)
                store.segments.set(known, np.full(known.size, ImpressionState.CLAIMED, np.uint8))
                store.pending -= int((states[decision.taken] == ImpressionState.PENDING).sum())
            references = References(known, hashes[learned], decision.becomes[~decision.thin])
            batch = labelled_batch(store.rules, records, learned, references, before)
            delays = np.maximum(now_ms - times, 0)
            claim = Claim(decision.verdicts, batch, references, before, delays[learned], learned)
            with store.lock:
                store.delays.extend(delays[thinned].tolist())
                store.counts.update(decision.unlearned)
                store.counts.update(thinned=thinned.size, joined=thinned.size)
        except BaseException:
            self._put_back(known, before)
            raise
        return claim

    def settle(self, references: References) -> None:
        """Note that what was claimed is in the journal: that is true, whatever the disk says to the note."""
        store = self._store
        references = references.known
        with store.lock:
            store.segments.resolve(references)
            expired = int((references.states == ImpressionState.EXPIRED).sum())
            corrected = int((references.states == ImpressionState.CORRECTED).sum())
            store.counts["expired"] += expired
            store.counts["ended"] += expired
            store.counts["corrected"] += corrected
            store.counts["joined"] += len(references) - expired - corrected

    def learned(self, claim: Claim) -> None:
        """Note that what was claimed has been learned from: how late its labels were."""
        store = self._store
        with store.lock:
            store.delays.extend(claim.delays.tolist())

    def give_back(self, claim: Claim) -> None:
        """Undo a claim of which nothing came into the journal; one that was settled stays so."""
        self._put_back(claim.references.numbers, claim.before)

    def discarded(self, references: References) -> None:
        """Note that a row that was held is never learned from: a click has no negative of it to take back."""
        store = self._store
        with store.lock:
            numbers, hashes = references.numbers, references.hashes
            undone = (references.states == ImpressionState.EXPIRED) & (
                store.segments.hashes_of(numbers) == hashes
            )
            undone &= store.segments.states(numbers) == ImpressionState.EXPIRED
            thinned = np.full(int(undone.sum()), ImpressionState.THINNED, np.uint8)
            store.segments.resolve(References(numbers[undone], hashes[undone], thinned))

    def expire(self, limit: int, now_ms: int) -> Claim | None:
        """Claim the next impressions whose window has ended without a label, in order, at most `limit`.

        Those that are thinned away are settled here. The claim may be of none.

        Returns
        -------
        Claim | None
            None where no more windows have ended.

        Raises
        ------
        OSError
            Where the disk refuses: nothing is claimed then.
        """
        store = self._store
        known, before = _NO_NUMBERS, _NO_STATES
        try:
            with store.lock:
                segment = next((one for one in store.segments if one.next > store.ended), None)
                if segment is None:
                    return None
                start = max(store.ended - segment.first, 0)
                times = segment.times[start : min(start + limit, segment.used)]
                due = int(np.searchsorted(times, now_ms - store.rules.attribution_ms, "right"))
                if not due:
                    return None
                places = (
                    np.flatnonzero(segment.states[start : start + due] == ImpressionState.PENDING) + start
                )
                numbers, hashes = places + segment.first, segment.hashes[places]
                kept = store.rules.keeps(numbers, hashes)
                becomes = np.where(kept, ImpressionState.CLAIMED, ImpressionState.THINNED).astype(np.uint8)
                segment.settle_on_disk(places[~kept], becomes[~kept])  # first: the disk may refuse
                known, before = numbers[kept], np.full(int(kept.sum()), ImpressionState.PENDING, np.uint8)
                segment.states[places] = becomes
                store.pending -= places.size
                store.ended = segment.first + start + due
            references = References(
                known, hashes[kept], np.full(known.size, ImpressionState.EXPIRED, np.uint8)
            )
            batch, damaged = Batch.empty(), 0
            if known.size:
                records = store.segments.records(segment, places[kept])
                batch, damaged = negatives(store.rules, records, known), int((~records.whole).sum())
            claim = Claim([], batch, references, before, np.empty(0, np.int64), np.empty(0, np.intp))
            with store.lock:
                store.counts.update(thinned=int((~kept).sum()), ended=int((~kept).sum()), damaged=damaged)
        except BaseException:
            self._put_back(known, before)
            raise
        return claim

    def _find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return int64[n]: the number of each hash, -1 for an unknown one, which is remembered."""
        store = self._store
        numbers = store.segments.find(hashes)
        store.early.remember(hashes[numbers < 0])
        return numbers

    def _read(self, rows: NDArray[np.intp], numbers: NDArray[np.int64]) -> FoundRecords:
        """Read the records of some rows' numbers."""
        store = self._store
        with store.lock:
            parts = list(store.segments.parts(numbers[rows]))
        return FoundRecords(
            [
                (rows[which], store.segments.records(one, numbers[rows[which]] - one.first))
                for one, which in parts
            ]
        )

    def _damaged(self, numbers: NDArray[np.int64]) -> None:
        """Note that records are not what was written."""
        store = self._store
        states = store.segments.states(numbers)
        store.pending -= int((states == ImpressionState.PENDING).sum())
        store.segments.set(numbers, np.full(numbers.size, ImpressionState.DAMAGED, np.uint8))
        store.counts["damaged"] += int((states != ImpressionState.DAMAGED).sum())

    def _put_back(self, numbers: NDArray[np.int64], before: NDArray[np.uint8]) -> None:
        """Let impressions that are still claimed be what they were; windows of theirs are to end again."""
        store = self._store
        with store.lock:
            claimed = store.segments.states(numbers) == ImpressionState.CLAIMED
            waiting = numbers[claimed & (before == ImpressionState.PENDING)]
            store.segments.set(numbers[claimed], before[claimed])
            store.pending = store.segments.number_of(ImpressionState.PENDING)
            store.ended = min([store.ended, *waiting.tolist()])
