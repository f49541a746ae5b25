"""The store of a model's impressions: keep, claim, settle, expire, forget."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.ids import Ids
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.records import Records, packed
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import Segment, State
from nonzero_service.impressions.selecting import labelled, ordered
from nonzero_service.storage.files import sync_directory

__all__ = ["Claim", "Impressions", "Verdict"]

Verdict = Literal["joined", "corrected", "unknown", "duplicate", "conflicting", "gone"]
"""What a label meets; the last four change nothing."""

DELAYS: Final = 10_000
"""Of so many labels the delays are remembered."""

REMEMBERED: Final = 1 << 16
"""So many labels without an impression are remembered, to notice that their impression came after them."""

LABEL_OF: Final = {
    State.NEGATIVE: 0,
    State.EXPIRED: 0,
    State.THINNED: 0,
    State.CLICKED: 1,
    State.CORRECTED: 1,
}
"""The label that an impression has had, or stands for."""


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
        self._early: dict[int, None] = {}
        directory.mkdir(exist_ok=True)
        firsts = sorted(int(path.stem) for path in directory.glob("*.rows"))
        self._segments = [Segment(directory, first, new=False) for first in firsts]
        self._open: Segment | None = None
        self._next = self._segments[-1].next if self._segments else 0
        self._last_ms = max((int(one.times[-1]) for one in self._segments if one.used), default=0)
        self._expired = firsts[0] if firsts else 0  # every number before it has had its window
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
        hashes = _hashes(ids.pieces if rows.size == len(ids) else [name for name in ids.pieces if name])
        kept = 0
        with self._lock:
            self._last_ms = now_ms = max(self._last_ms, now_ms)
            fresh = np.ones(rows.size, np.uint8)
            for segment in self._segments:
                if segment is not self._open:
                    fresh[segment.find(hashes) >= 0] = 0
            start = 0
            while start < rows.size:
                segment = self._room(now_ms)
                stop = min(start + segment.hashes.size - segment.used, rows.size)
                part = slice(start, stop)
                if segment.enter(hashes[part], fresh[part]):
                    chosen = fresh[part].nonzero()[0] + start
                    words, sizes = packed(
                        batch,
                        rows[chosen],
                        ids,
                        hashes[chosen],
                        now_ms,
                        probabilities,
                    )
                    segment.append(words, sizes, now_ms)
                    kept += chosen.size
                    self.pending += chosen.size
                    self._next = segment.next
                    if segment is not self._open:
                        fresh[stop:][segment.find(hashes[stop:]) >= 0] = 0
                start = stop
            if self._early:
                came = [h for h in hashes.tolist() if h in self._early]
                self.counts["early"] += len(came)
                for h in came:
                    del self._early[h]
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
        ids = [name.encode() for name in names]
        hashes = _hashes(ids)
        with self._lock:
            numbers = self._find(hashes)
            if (self._states(numbers) == State.CLAIMED).any():
                return None
        # Their ids are compared before anything is decided: a hash may be of another id.
        records = self._read(np.flatnonzero(numbers >= 0), numbers)
        with self._lock:
            for row, name in records.names.items():
                if not name:
                    self._set(numbers[row : row + 1], np.array([State.DAMAGED], np.uint8))
                    self.counts["damaged"] += 1
                elif name != ids[row]:
                    numbers[row] = -1
            states, times = self._states(numbers), self._times(numbers)
            if (states == State.CLAIMED).any():
                return None
            decided = _decide(
                self.rules, numbers.tolist(), labels, states.tolist(), (now_ms - times).tolist()
            )
            taken = np.flatnonzero([verdict in ("joined", "corrected") for verdict in decided])
            given = np.array(labels, np.int64)
            thin = ~self.rules.keeps(hashes[taken]) & (given[taken] == 0)
            becomes = np.where(given[taken] == 1, State.CLICKED, State.NEGATIVE).astype(np.uint8)
            becomes[[decided[row] == "corrected" for row in taken.tolist()]] = State.CORRECTED
            self._set(numbers[taken], np.where(thin, becomes, State.CLAIMED).astype(np.uint8))
            self._persist(numbers[taken[thin]], becomes[thin])
            self.pending -= int((states[taken] == State.PENDING).sum())
            self.counts["thinned"] += int(thin.sum())
            self.delays.extend((now_ms - times[taken]).tolist())
            self.counts.update(decided)
        learned, becomes = taken[~thin], becomes[~thin]
        before = states[learned]
        batch, probabilities = records.chosen(learned)
        clicks = given[learned] == 1
        weights = np.where(clicks, batch.weights, self.rules.weight_of_negatives(batch.weights))
        late = becomes == State.CORRECTED
        weights[late] = self.rules.weight_of_corrections(
            batch.weights[late], probabilities[late], before[late] == State.EXPIRED
        )
        return Claim(
            decided,
            labelled(batch, clicks.astype(np.float32), weights.astype(np.float32)),
            References(numbers[learned], hashes[learned], becomes),
            before,
        )

    def settle(self, references: References) -> None:
        """Note that what was claimed is in the journal."""
        with self._lock:
            self._set(references.numbers, references.states)
            self._persist(references.numbers, references.states)

    def give_back(self, claim: Claim) -> None:
        """Undo a claim of which nothing came into the journal."""
        with self._lock:
            self._set(claim.references.numbers, claim.before)
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
            same = self._hashes_of(numbers) == references.hashes
            before = self._states(numbers[same])
            self._set(numbers[same], states[same])
            self._persist(numbers[same], states[same])
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
            kept = self.rules.keeps(hashes)
            segment.states[places] = np.where(kept, State.CLAIMED, State.THINNED)
            segment.settle_on_disk(places[~kept], np.full(int((~kept).sum()), State.THINNED, np.uint8))
            self.pending -= places.size
            self.counts["thinned"] += int((~kept).sum())
            self.counts["expired"] += int(kept.sum())
            self.counts["ended"] += places.size
            self._expired = segment.first + start + due
        places, hashes = places[kept], hashes[kept]
        records = segment.read(places) if places.size else None
        batch = Batch.empty() if records is None else records.batch
        weights = self.rules.weight_of_negatives(batch.weights)
        if records is not None and not records.whole.all():  # such a row is empty, and weighs nothing
            self.counts["damaged"] += int((~records.whole).sum())
        return Claim(
            [],
            labelled(batch, np.zeros(places.size, np.float32), weights),
            References(places + segment.first, hashes, np.full(places.size, State.EXPIRED, np.uint8)),
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
            self._segments = [one for one in self._segments if one not in gone]
            if self._open in gone:
                self._open = None
        for one in gone:
            one.remove()
        return len(gone)

    # -- the disk --------------------------------------------------------------------------------------

    def sync_rows(self) -> None:
        """Make durable what was kept."""
        with self._lock:
            segment, named, self._named = self._open, self._named, True
        if segment is not None:
            segment.sync_rows()
        if not named:
            sync_directory(self._directory)

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
            segments, self._segments, self._open = self._segments, [], None
        for segment in segments:
            segment.close()

    # -- finding, under the lock -----------------------------------------------------------------------

    def _find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return int64[n]: the number of each hash, -1 for an unknown one, which is remembered."""
        numbers = np.full(hashes.size, -1, np.int64)
        for segment in self._segments:
            places = segment.find(hashes)
            numbers = np.where(places >= 0, places + segment.first, numbers)
        for h in hashes[numbers < 0].tolist():
            self._early[h] = None
        while len(self._early) > REMEMBERED:
            del self._early[next(iter(self._early))]
        return numbers

    def _parts(self, numbers: NDArray[np.int64]) -> Iterator[tuple[Segment, NDArray[np.intp]]]:
        """Yield each segment that some numbers are of, and which of them."""
        for segment in self._segments:
            rows = np.flatnonzero((numbers >= segment.first) & (numbers < segment.next))
            if rows.size:
                yield segment, rows

    def _states(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        states = np.full(numbers.size, State.DAMAGED, np.uint8)
        for segment, rows in self._parts(numbers):
            states[rows] = segment.states[numbers[rows] - segment.first]
        return states

    def _times(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        times = np.zeros(numbers.size, np.int64)
        for segment, rows in self._parts(numbers):
            times[rows] = segment.times[numbers[rows] - segment.first]
        return times

    def _hashes_of(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        hashes = np.zeros(numbers.size, np.uint64)
        for segment, rows in self._parts(numbers):
            hashes[rows] = segment.hashes[numbers[rows] - segment.first]
        return hashes

    def _set(self, numbers: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        for segment, rows in self._parts(numbers):
            segment.states[numbers[rows] - segment.first] = states[rows]

    def _persist(self, numbers: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        for segment, rows in self._parts(numbers):
            segment.settle_on_disk(numbers[rows] - segment.first, states[rows])

    def _read(self, rows: NDArray[np.intp], numbers: NDArray[np.int64]) -> _Read:
        """Read the records of some rows' numbers."""
        with self._lock:
            parts = list(self._parts(numbers[rows]))
        read = [(rows[which], segment.read(numbers[rows[which]] - segment.first)) for segment, which in parts]
        return _Read(read)


class _Read:
    """Records that were read, by the row that asked for them."""

    def __init__(self, parts: list[tuple[NDArray[np.intp], Records]]) -> None:
        self._rows = np.concatenate([rows for rows, _ in parts] or [np.empty(0, np.intp)])
        self._batch = Batch.concatenate([records.batch for _, records in parts])
        self._probabilities = np.concatenate(
            [records.probabilities for _, records in parts] or [np.empty(0, np.float32)]
        )
        names = [name for _, records in parts for name in records.ids]
        self.names: dict[int, bytes] = dict(zip(self._rows.tolist(), names, strict=True))
        """The id of each; empty where the record is damaged."""

    def chosen(self, rows: NDArray[np.intp]) -> tuple[Batch, NDArray[np.float32]]:
        """Return the examples of some rows, in their order, and what was answered."""
        place = {row: j for j, row in enumerate(self._rows.tolist())}
        order = np.array([place[row] for row in rows.tolist()], np.int64)
        return ordered(self._batch, order), self._probabilities[order]


def _decide(
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


def _hashes(ids: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, ids), np.uint64, len(ids))
