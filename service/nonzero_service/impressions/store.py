"""The store of a model's impressions: keep, claim, settle, expire, forget."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.impressions.claims import Claim, labelled_batch, negatives
from nonzero_service.impressions.early import Early
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.packing import Offered
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState, Segment
from nonzero_service.impressions.segments import Found, Segments
from nonzero_service.impressions.verdicts import Labels, decide
from nonzero_service.journal.files import make_directory, sync_directory

__all__ = ["Claim", "ImpressionStore"]

DELAYS: Final = 10_000
"""Of so many labels the delays are remembered."""

PASSING: Final = 1000
"""By so many milliseconds one thread's reading of the clock may be later than another's."""

_NO_NUMBERS: Final = np.empty(0, np.int64)
_NO_STATES: Final = np.empty(0, np.uint8)


class ImpressionStore:
    """The impressions of one model.

    Methods may be called from any thread. Times are the journal's clock, in milliseconds since 1970.

    Parameters
    ----------
    directory
        Where they are kept; made where it does not exist.
    rules
        Windows and thinning.

    Raises
    ------
    OSError
        Where the disk refuses.
    """

    def __init__(self, directory: Path, rules: Rules) -> None:
        self.rules = rules
        self.counts: Counter[str] = Counter()
        """How often each thing happened, in this process."""
        self.delays: deque[int] = deque(maxlen=DELAYS)
        """Milliseconds from prediction to label, of the last labels that were learned from."""
        self._directory = directory
        self._lock = threading.RLock()
        self._early = Early()
        if not directory.is_dir():
            make_directory(directory)
        self._segments = Segments.stored(directory)
        self._open: Segment | None = None
        self._next = self._segments[-1].next if self._segments else 0
        self._last_ms = int(self._segments[-1].times[-1]) if self._segments else 0
        self._segments.mend_times(self._last_ms)
        # Every number before it has had its window.
        self._expired = self._segments[0].first if self._segments else 0
        self._unsynced: list[Segment] = []
        self._named = True
        self.pending = self._segments.number_of(ImpressionState.PENDING)
        """How many wait for their label."""

    @property
    def next_number(self) -> int:
        """The number of the next impression that is kept."""
        return self._next

    @property
    def ended(self) -> int:
        """The windows of all impressions before this number have been ended, in this process or before."""
        return self._expired

    def clicks_of_ended(self, size: int, now_ms: int) -> NDArray[np.int64]:
        """Count the clicks, in their windows, of each `size` impressions in a row whose windows have ended.

        Parameters
        ----------
        size
            How many are counted together: those whose numbers, divided by it, are alike.
        now_ms
            The journal's clock.

        Returns
        -------
        int64[n]
            Of each group that is whole, in the order in which they were predicted.
        """
        with self._lock:
            return self._segments.clicks(size, now_ms - self.rules.attribution_ms)

    def not_after(self, now_ms: int, by_ms: int = 0) -> None:
        """Take back the times of impressions that are after the journal's clock: it has been set back.

        Parameters
        ----------
        now_ms
            The journal's clock.
        by_ms
            By how much it was set back, where that is known.
        """
        with self._lock:
            if self._last_ms > now_ms + PASSING:
                self._segments.mend_times(now_ms, by_ms)
                self._last_ms = now_ms

    # -- keeping ---------------------------------------------------------------------------------------

    def keep(self, batch: Batch, probabilities: NDArray[np.float32], now_ms: int) -> int:
        """Keep the rows of a batch that have an id, unless it is known already; return how many.

        Parameters
        ----------
        batch
            What was predicted.
        probabilities
            float32[n]: what was answered.
        now_ms
            The journal's clock.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        ids = Ids.of(batch.ids or ())
        rows = (ids.ends[1:] > ids.ends[:-1]).nonzero()[0]
        if not rows.size:
            return 0
        hashes, kept, start = hashes_of(ids, rows), 0, 0
        with self._lock:
            self._last_ms = now_ms = max(self._last_ms, now_ms)
            fresh = np.ones(rows.size, np.uint8)
            offered = Offered(batch, ids, probabilities, rows, hashes, fresh, now_ms)
            for segment in self._segments:
                if segment is not self._open:
                    fresh[segment.find(hashes) >= 0] = 0
            while start < rows.size:
                segment = self._room(now_ms)
                stop = min(start + segment.hashes.size - segment.used, rows.size)
                count = segment.keep(offered.part(start, stop))
                if segment not in self._unsynced:
                    self._unsynced.append(segment)
                if stop < rows.size:  # it is full, and knows what the next one must not take
                    fresh[stop:][segment.find(hashes[stop:]) >= 0] = 0
                self.pending += count
                self._next = segment.next
                kept, start = kept + count, stop
            self.counts["early"] += self._early.take(hashes)
            self.counts["kept"] += kept
            self.counts["repeated"] += rows.size - kept
        return kept

    def _room(self, now_ms: int) -> Segment:
        """Return the segment that takes the next impression."""
        segment = self._open
        if segment is not None and not segment.full:
            quarter = (self.rules.attribution_ms + self.rules.correction_ms) // 4
            if not segment.used or now_ms - int(segment.times[0]) <= quarter:
                return segment
        segment = self._open = Segment(self._directory, self._next, new=True)
        self._segments.append(segment)
        self._named = False
        return segment

    # -- labels ----------------------------------------------------------------------------------------

    def met(self, names: Sequence[str | None]) -> NDArray[np.intp]:
        """Return the rows, in order, whose id is that of an impression which can be used, as hashes tell.

        That is quick, and reads nothing: for updates, of which most are no labels.

        Parameters
        ----------
        names
            Of each row its id; None or empty for none.
        """
        if not self._segments:
            return np.empty(0, np.intp)
        ids = Ids.of(names)
        rows = (ids.ends[1:] > ids.ends[:-1]).nonzero()[0]
        hashes = hashes_of(ids, rows)
        with self._lock:
            numbers = self._segments.find(hashes)
            found = np.flatnonzero(numbers >= 0)
            usable = self._segments.states(numbers[found]) != ImpressionState.DAMAGED
        those: NDArray[np.intp] = rows[found[usable]]
        return those

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
        ids = Ids.of(names)
        hashes = hashes_of(ids, np.arange(len(ids)))
        with self._lock:
            numbers = self._find(hashes)
            if (self._segments.states(numbers) == ImpressionState.CLAIMED).any():
                return None
        # Their ids are compared before anything is decided: a hash may be of another id.
        records = self._read(np.flatnonzero(numbers >= 0), numbers)
        known, before = _NO_NUMBERS, _NO_STATES
        try:
            with self._lock:
                for row, name in records.names.items():
                    if not name:
                        self._damaged(numbers[row : row + 1])
                    elif name != ids.pieces[row]:
                        numbers[row] = -1
                states, times = self._segments.states(numbers), self._segments.times(numbers)
                if (states == ImpressionState.CLAIMED).any():
                    return None
                decision = decide(self.rules, Labels(numbers, hashes, labels, states, now_ms - times))
                thinned = decision.taken[decision.thin]
                becomes = decision.becomes[decision.thin]
                self._segments.persist(numbers[thinned], becomes)  # first: the disk may refuse
                learned = decision.taken[~decision.thin]
                known, before = numbers[learned], states[learned]
                self._segments.set(numbers[thinned], becomes)
                self._segments.set(known, np.full(known.size, ImpressionState.CLAIMED, np.uint8))
                self.pending -= int((states[decision.taken] == ImpressionState.PENDING).sum())
            references = References(known, hashes[learned], decision.becomes[~decision.thin])
            batch = labelled_batch(self.rules, records, learned, references, before)
            delays = np.maximum(now_ms - times, 0)
            claim = Claim(decision.verdicts, batch, references, before, delays[learned], learned)
            with self._lock:
                self.delays.extend(delays[thinned].tolist())
                self.counts.update(decision.unlearned)
                self.counts.update(thinned=thinned.size, joined=thinned.size)
        except BaseException:
            self._put_back(known, before)
            raise
        return claim

    def settle(self, references: References) -> None:
        """Note that what was claimed is in the journal: that is true, whatever the disk says to the note."""
        references = references.known
        with self._lock:
            self._segments.resolve(references)
            expired = int((references.states == ImpressionState.EXPIRED).sum())
            corrected = int((references.states == ImpressionState.CORRECTED).sum())
            self.counts["expired"] += expired
            self.counts["ended"] += expired
            self.counts["corrected"] += corrected
            self.counts["joined"] += len(references) - expired - corrected

    def learned(self, claim: Claim) -> None:
        """Note that what was claimed has been learned from: how late its labels were."""
        with self._lock:
            self.delays.extend(claim.delays.tolist())

    def give_back(self, claim: Claim) -> None:
        """Undo a claim of which nothing came into the journal; one that was settled stays so."""
        self._put_back(claim.references.numbers, claim.before)

    def discarded(self, references: References) -> None:
        """Note that a row that was held is never learned from: a click has no negative of it to take back."""
        with self._lock:
            numbers, hashes = references.numbers, references.hashes
            undone = (references.states == ImpressionState.EXPIRED) & (
                self._segments.hashes_of(numbers) == hashes
            )
            undone &= self._segments.states(numbers) == ImpressionState.EXPIRED
            thinned = np.full(int(undone.sum()), ImpressionState.THINNED, np.uint8)
            self._segments.resolve(References(numbers[undone], hashes[undone], thinned))

    def seen(self, references: References) -> None:
        """Take over from a row of the journal what has become of impressions: a crash may have lost it."""
        with self._lock:
            numbers, states = references.numbers, references.states
            if numbers.size:
                self._next = max(self._next, int(numbers.max()) + 1)
            same = self._segments.hashes_of(numbers) == references.hashes
            before = self._segments.states(numbers[same])
            self._segments.set(numbers[same], states[same])
            self._segments.persist(numbers[same], states[same])
            self.pending -= int((before == ImpressionState.PENDING).sum())

    # -- expiry ----------------------------------------------------------------------------------------

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
        known, before = _NO_NUMBERS, _NO_STATES
        try:
            with self._lock:
                segment = next((one for one in self._segments if one.next > self._expired), None)
                if segment is None:
                    return None
                start = max(self._expired - segment.first, 0)
                times = segment.times[start : min(start + limit, segment.used)]
                due = int(np.searchsorted(times, now_ms - self.rules.attribution_ms, "right"))
                if not due:
                    return None
                places = (
                    np.flatnonzero(segment.states[start : start + due] == ImpressionState.PENDING) + start
                )
                numbers, hashes = places + segment.first, segment.hashes[places]
                kept = self.rules.keeps(numbers, hashes)
                becomes = np.where(kept, ImpressionState.CLAIMED, ImpressionState.THINNED).astype(np.uint8)
                segment.settle_on_disk(places[~kept], becomes[~kept])  # first: the disk may refuse
                known, before = numbers[kept], np.full(int(kept.sum()), ImpressionState.PENDING, np.uint8)
                segment.states[places] = becomes
                self.pending -= places.size
                self._expired = segment.first + start + due
            references = References(
                known, hashes[kept], np.full(known.size, ImpressionState.EXPIRED, np.uint8)
            )
            batch, damaged = Batch.empty(), 0
            if known.size:
                records = self._segments.records(segment, places[kept])
                batch, damaged = negatives(self.rules, records, known), int((~records.whole).sum())
            claim = Claim([], batch, references, before, np.empty(0, np.int64), np.empty(0, np.intp))
            with self._lock:
                self.counts.update(thinned=int((~kept).sum()), ended=int((~kept).sum()), damaged=damaged)
        except BaseException:
            self._put_back(known, before)
            raise
        return claim

    def forget(self, now_ms: int) -> int:
        """Delete the segments that are of no more use; return how many."""
        last = now_ms - self.rules.attribution_ms - 2 * self.rules.correction_ms
        with self._lock:
            gone = [
                one
                for one in self._segments
                if one.next <= self._expired
                and (not one.used or int(one.times[one.used - 1]) < last)
                and not (one.states[: one.used] == ImpressionState.CLAIMED).any()
            ]
            for one in gone:
                self._segments.remove(one)
            self._unsynced = [one for one in self._unsynced if one not in gone]
            if self._open in gone:
                self._open = None
        for one in gone:
            one.remove()
        return len(gone)

    # -- the disk --------------------------------------------------------------------------------------

    def sync_rows(self) -> None:
        """Make durable what was kept.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        with self._lock:
            segments, self._unsynced = self._unsynced, []
            named, self._named = self._named, True
        try:
            for segment in segments:
                segment.sync_rows()
            if not named:
                sync_directory(self._directory)
        except OSError:
            with self._lock:
                self._unsynced += segments
                self._named = False
            raise

    def sync_states(self) -> None:
        """Make durable what has become of them, before rows of the journal that say so are dropped.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        with self._lock:
            self._segments.write_rest()
            segments = list(self._segments)
        for segment in segments:
            segment.sync_states()
        sync_directory(self._directory)

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        with self._lock:
            segments, self._segments, self._open = self._segments, Segments(), None
        with ExitStack() as closing:
            for segment in segments:
                closing.callback(segment.close)

    # -- finding, under the lock -----------------------------------------------------------------------

    def _find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return int64[n]: the number of each hash, -1 for an unknown one, which is remembered."""
        numbers = self._segments.find(hashes)
        self._early.remember(hashes[numbers < 0])
        return numbers

    def _read(self, rows: NDArray[np.intp], numbers: NDArray[np.int64]) -> Found:
        """Read the records of some rows' numbers."""
        with self._lock:
            parts = list(self._segments.parts(numbers[rows]))
        return Found(
            [
                (rows[which], self._segments.records(one, numbers[rows[which]] - one.first))
                for one, which in parts
            ]
        )

    # -- changing --------------------------------------------------------------------------------------

    def _damaged(self, numbers: NDArray[np.int64]) -> None:
        """Note that records are not what was written."""
        states = self._segments.states(numbers)
        self.pending -= int((states == ImpressionState.PENDING).sum())
        self._segments.set(numbers, np.full(numbers.size, ImpressionState.DAMAGED, np.uint8))
        self.counts["damaged"] += int((states != ImpressionState.DAMAGED).sum())

    def _put_back(self, numbers: NDArray[np.int64], before: NDArray[np.uint8]) -> None:
        """Let impressions that are still claimed be what they were; windows of theirs are to end again."""
        with self._lock:
            claimed = self._segments.states(numbers) == ImpressionState.CLAIMED
            waiting = numbers[claimed & (before == ImpressionState.PENDING)]
            self._segments.set(numbers[claimed], before[claimed])
            self.pending = self._segments.number_of(ImpressionState.PENDING)
            self._expired = min([self._expired, *waiting.tolist()])
