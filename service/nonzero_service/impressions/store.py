"""The store of a model's impressions: keep, claim, settle, expire, forget."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.impressions.early import Early
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.packing import Offered
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import Segment, State, firsts_in
from nonzero_service.impressions.segments import Found, Segments
from nonzero_service.impressions.selecting import labelled
from nonzero_service.impressions.verdicts import Verdict, decide
from nonzero_service.storage.files import make_directory, sync_directory

__all__ = ["Claim", "Impressions"]

DELAYS: Final = 10_000
"""Of so many labels the delays are remembered."""


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


class Impressions:
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
        self._lock = threading.Lock()
        self._early = Early()
        if not directory.is_dir():
            make_directory(directory)
        firsts = firsts_in(directory)
        with ExitStack() as opened:
            found = []
            for first in firsts:
                found.append(Segment(directory, first, new=False))
                opened.callback(found[-1].close)
            opened.pop_all()
        for empty in [one for one in found if not one.used]:  # begun, and nothing came of it before a crash
            empty.remove()
        self._segments = Segments(one for one in found if one.used)
        self._open: Segment | None = None
        self._next = self._segments[-1].next if self._segments else 0
        self._last_ms = max((int(one.times[-1]) for one in self._segments), default=0)
        self._expired = firsts[0] if firsts else 0  # every number before it has had its window
        self._unsynced: list[Segment] = []
        self._named = True
        self.pending = sum(int((one.states[: one.used] == State.PENDING).sum()) for one in self._segments)
        """How many wait for their label."""

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

    def claim(self, names: Sequence[str], labels: Sequence[int], now_ms: int) -> Claim | None:
        """Find the impressions of labels, and claim those from which there is something to learn.

        Returns
        -------
        Claim | None
            None where one of them is claimed already: ask again when it is settled.
        """
        ids = Ids.of(names)
        hashes = hashes_of(ids, np.arange(len(ids)))
        with self._lock:
            numbers = self._find(hashes)
            if (self._segments.states(numbers) == State.CLAIMED).any():
                return None
        # Their ids are compared before anything is decided: a hash may be of another id.
        records = self._read(np.flatnonzero(numbers >= 0), numbers)
        with self._lock:
            for row, name in records.names.items():
                if not name:
                    self._segments.set(numbers[row : row + 1], np.array([State.DAMAGED], np.uint8))
                    self.counts["damaged"] += 1
                elif name != ids.pieces[row]:
                    numbers[row] = -1
            states, times = self._segments.states(numbers), self._segments.times(numbers)
            if (states == State.CLAIMED).any():
                return None
            decided = decide(self.rules, numbers.tolist(), labels, states.tolist(), (now_ms - times).tolist())
            taken = np.flatnonzero([verdict in ("joined", "corrected") for verdict in decided])
            given = np.array(labels, np.int64)
            thin = ~self.rules.keeps(numbers[taken], hashes[taken]) & (given[taken] == 0)
            becomes = np.where(given[taken] == 1, State.CLICKED, State.NEGATIVE).astype(np.uint8)
            becomes[[decided[row] == "corrected" for row in taken.tolist()]] = State.CORRECTED
            self._segments.set(numbers[taken], np.where(thin, becomes, State.CLAIMED).astype(np.uint8))
            self._segments.persist(numbers[taken[thin]], becomes[thin])
            self.pending -= int((states[taken] == State.PENDING).sum())
            self.counts["thinned"] += int(thin.sum())
            self.delays.extend((now_ms - times[taken]).tolist())
            self.counts.update(decided)
        learned, becomes = taken[~thin], becomes[~thin]
        before = states[learned]
        batch, probabilities = records.chosen(learned)
        clicks = given[learned] == 1
        known = numbers[learned]
        weights = np.where(clicks, batch.weights, self.rules.weight_of_negatives(known, batch.weights))
        late = becomes == State.CORRECTED
        weights[late] = self.rules.weight_of_corrections(
            known[late], batch.weights[late], probabilities[late], before[late] == State.EXPIRED
        )
        return Claim(
            decided,
            labelled(batch, clicks.astype(np.float32), weights.astype(np.float32)),
            References(known, hashes[learned], becomes),
            before,
        )

    def settle(self, references: References) -> None:
        """Note that what was claimed is in the journal."""
        with self._lock:
            self._segments.set(references.numbers, references.states)
            self._segments.persist(references.numbers, references.states)

    def give_back(self, claim: Claim) -> None:
        """Undo a claim of which nothing came into the journal."""
        with self._lock:
            self._segments.set(claim.references.numbers, claim.before)
            self.pending += int((claim.before == State.PENDING).sum())
            self.counts.subtract(
                ["corrected" if state == State.CORRECTED else "joined" for state in claim.references.states]
                if claim.verdicts
                else ["expired", "ended"] * len(claim.references)
            )

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
            self.pending -= int((before == State.PENDING).sum())

    # -- expiry ----------------------------------------------------------------------------------------

    def expire(self, limit: int, now_ms: int) -> Claim | None:
        """Claim the next impressions whose window has ended without a label, in order, at most `limit`.

        Those that are thinned away are settled here. The claim may be of none.

        Returns
        -------
        Claim | None
            None where no more windows have ended.
        """
        with self._lock:
            segment = next((one for one in self._segments if one.next > self._expired), None)
            if segment is None:
                return None
            start = max(self._expired - segment.first, 0)
            times = segment.times[start : min(start + limit, segment.used)]
            due = int(np.searchsorted(times, now_ms - self.rules.attribution_ms, "right"))
            if not due:
                return None
            places = np.flatnonzero(segment.states[start : start + due] == State.PENDING) + start
            hashes = segment.hashes[places]
            numbers = places + segment.first
            kept = self.rules.keeps(numbers, hashes)
            segment.states[places] = np.where(kept, State.CLAIMED, State.THINNED)
            segment.settle_on_disk(places[~kept], np.full(int((~kept).sum()), State.THINNED, np.uint8))
            self.pending -= places.size
            self.counts["thinned"] += int((~kept).sum())
            self.counts["expired"] += int(kept.sum())
            self.counts["ended"] += places.size
            self._expired = segment.first + start + due
        places, numbers, hashes = places[kept], numbers[kept], hashes[kept]
        records = segment.read(places) if places.size else None
        batch = Batch.empty() if records is None else records.batch
        weights = self.rules.weight_of_negatives(numbers, batch.weights)
        if records is not None and not records.whole.all():  # such a row is empty, and weighs nothing
            self.counts["damaged"] += int((~records.whole).sum())
        return Claim(
            [],
            labelled(batch, np.zeros(places.size, np.float32), weights),
            References(numbers, hashes, np.full(places.size, State.EXPIRED, np.uint8)),
            np.full(places.size, State.PENDING, np.uint8),
        )

    def retry(self, number: int) -> None:
        """Look for ended windows from `number` on again, after an expiry that was given back."""
        with self._lock:
            self._expired = min(self._expired, number)

    def forget(self, now_ms: int) -> int:
        """Delete the segments that are of no more use; return how many."""
        last = now_ms - self.rules.attribution_ms - 2 * self.rules.correction_ms
        with self._lock:
            gone = [
                one
                for one in self._segments
                if one.next <= self._expired
                and (not one.used or int(one.times[one.used - 1]) < last)
                and not (one.states[: one.used] == State.CLAIMED).any()
            ]
            self._segments = Segments(one for one in self._segments if one not in gone)
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
        """Make durable what has become of them, before rows of the journal that say so are dropped."""
        with self._lock:
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
        return Found([(rows[which], one.read(numbers[rows[which]] - one.first)) for one, which in parts])
