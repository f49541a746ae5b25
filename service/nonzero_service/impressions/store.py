"""The store of a model's impressions: what was predicted with an id, on disk and found again."""

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
from nonzero_service.impressions.early import EarlyLabels
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.packing import PredictedRows
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState, Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.journal.files import make_directory, sync_directory

DELAYS: Final = 10_000
"""Of so many labels the delays are remembered."""

PASSING: Final = 1000
"""By so many milliseconds one thread's reading of the clock may be later than another's."""


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
        self.lock = threading.RLock()
        self.early = EarlyLabels()
        if not directory.is_dir():
            make_directory(directory)
        self.segments = Segments.stored(directory)
        self._open: Segment | None = None
        self.next_number = self.segments[-1].next if self.segments else 0
        """The number of the next impression that is kept."""
        self._last_ms = int(self.segments[-1].times[-1]) if self.segments else 0
        self.segments.mend_times(self._last_ms)
        self.ended = self.segments[0].first if self.segments else 0
        """The windows of all impressions before this number have been ended, in this process or before."""
        self._unsynced: list[Segment] = []
        self._named = True
        self.pending = self.segments.number_of(ImpressionState.PENDING)
        """How many wait for their label."""

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
        with self.lock:
            return self.segments.clicks(size, now_ms - self.rules.attribution_ms)

    def not_after(self, now_ms: int, by_ms: int = 0) -> None:
        """Take back the times of impressions that are after the journal's clock: it has been set back.

        Parameters
        ----------
        now_ms
            The journal's clock.
        by_ms
            By how much it was set back, where that is known.
        """
        with self.lock:
            if self._last_ms > now_ms + PASSING:
                self.segments.mend_times(now_ms, by_ms)
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
        with self.lock:
            self._last_ms = now_ms = max(self._last_ms, now_ms)
            fresh = np.ones(rows.size, np.uint8)
            predictions = PredictedRows(batch, ids, probabilities, rows, hashes, fresh, now_ms)
            for segment in self.segments:
                if segment is not self._open:
                    fresh[segment.find(hashes) >= 0] = 0
            while start < rows.size:
                segment = self._room(now_ms)
                stop = min(start + segment.hashes.size - segment.used, rows.size)
                count = segment.keep(predictions.part(start, stop))
                if segment not in self._unsynced:
                    self._unsynced.append(segment)
                if stop < rows.size:  # it is full, and knows what the next one must not take
                    fresh[stop:][segment.find(hashes[stop:]) >= 0] = 0
                self.pending += count
                self.next_number = segment.next
                kept, start = kept + count, stop
            self.counts["early"] += self.early.take(hashes)
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
        segment = self._open = Segment(self._directory, self.next_number, new=True)
        self.segments.append(segment)
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
        if not self.segments:
            return np.empty(0, np.intp)
        ids = Ids.of(names)
        rows = (ids.ends[1:] > ids.ends[:-1]).nonzero()[0]
        hashes = hashes_of(ids, rows)
        with self.lock:
            numbers = self.segments.find(hashes)
            found = np.flatnonzero(numbers >= 0)
            usable = self.segments.states(numbers[found]) != ImpressionState.DAMAGED
        those: NDArray[np.intp] = rows[found[usable]]
        return those

    def seen(self, references: References) -> None:
        """Take over from a row of the journal what has become of impressions: a crash may have lost it."""
        with self.lock:
            numbers, states = references.numbers, references.states
            if numbers.size:
                self.next_number = max(self.next_number, int(numbers.max()) + 1)
            same = self.segments.hashes_of(numbers) == references.hashes
            before = self.segments.states(numbers[same])
            self.segments.set(numbers[same], states[same])
            self.segments.persist(numbers[same], states[same])
            self.pending -= int((before == ImpressionState.PENDING).sum())

    def forget(self, now_ms: int) -> int:
        """Delete the segments that are of no more use; return how many."""
        last = now_ms - self.rules.attribution_ms - 2 * self.rules.correction_ms
        with self.lock:
            gone = [
                one
                for one in self.segments
                if one.next <= self.ended
                and (not one.used or int(one.times[one.used - 1]) < last)
                and not (one.states[: one.used] == ImpressionState.CLAIMED).any()
            ]
            for one in gone:
                self.segments.remove(one)
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
        with self.lock:
            segments, self._unsynced = self._unsynced, []
            named, self._named = self._named, True
        try:
            for segment in segments:
                segment.sync_rows()
            if not named:
                sync_directory(self._directory)
        except OSError:
            with self.lock:
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
        with self.lock:
            self.segments.write_rest()
            segments = list(self.segments)
        for segment in segments:
            segment.sync_states()
        sync_directory(self._directory)

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        with self.lock:
            segments, self.segments, self._open = self.segments, Segments(), None
        with ExitStack() as closing:
            for segment in segments:
                closing.callback(segment.close)
