"""A challenger's own late-label policy: its examples are made anew of what its champion's rows tell.

A row tells what was predicted, and when each label came. So labels are joined a second time, by another
policy, with the joiner and the store that a champion has. There is no clock but that of the rows: a window
ends at the first row that comes after it. What is learned is a function of the rows alone.

While learning is paused nothing moves here. The rows of the pause have their turn where it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.fields.hashing import NO_FIELD
from nonzero_service.impressions.array_text import text_of
from nonzero_service.impressions.joined import References, decode_joined
from nonzero_service.impressions.joiner import Joiner
from nonzero_service.impressions.replaying import enter_row
from nonzero_service.impressions.rows import ImpressionRow, Teaching, decode_row
from nonzero_service.impressions.rules import GRACE_MS, Rules
from nonzero_service.impressions.segment import CAPACITY, Segment
from nonzero_service.impressions.selecting import ordered
from nonzero_service.impressions.states import CLICKS, ImpressionState, is_one_of
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.unpacking import Part, unpacked
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError, JournalDamagedError
from nonzero_service.journal.reader import JournalRows
from nonzero_service.writer.challenger_origin import OwnPolicy
from nonzero_service.writer.entries import resumption_of
from nonzero_service.writer.fold import check_place
from nonzero_service.writer.kept_joining import JOINING_NOTE, KeptJoining
from nonzero_service.writer.pairing import Pairing
from nonzero_service.writer.sequences import REACHED
from nonzero_service.writer.source_rows import source_in

AT_ONCE: Final = 1024
"""So many windows end at once."""

GAP_MS: Final = 10_000
"""After so long without a row labels may wait at the clients: no window ends for a while."""

LONG_MS: Final = 7 * 24 * 60 * 60 * 1000
"""After so long without a row that tells of topics, they are not read any more: windows end by the times of
rows again."""

ZEROS: Final = (ImpressionState.NEGATIVE, ImpressionState.ZERO_WAITS)
"""Those whose label was 0."""

Teach = Callable[[Batch, int], NDArray[np.float32]]
"""Has the challenger learn from a batch of some time; returns what it predicted just before."""


class _Turn(NamedTuple):
    """Where what is learned goes."""

    teach: Teach | None
    """None where it is discarded."""
    pairing: Pairing | None
    """Of the rows that are compared; None where this one is not."""
    ours: Iterator[NDArray[np.float32]] | None
    """What the champion predicted for what each row taught it, in order; None where that is not known."""

    resumes: bool = False
    """Whether what was held is learned."""

    def of_champion(self, row: JournalRow, *, held: bool) -> NDArray[np.float32] | None:
        """Return what the champion predicted for what a row taught it; `held`: or teaches it when resumed."""
        if self.ours is None or held != self.resumes:
            return None
        found = next(self.ours, None)
        if found is None:
            raise BodyError(f"position {row.position} taught its champion what that did not predict")
        return found


class Rejoiner:
    """Folds rows into a challenger by a late-label policy of its own. Used by one thread at a time.

    Parameters
    ----------
    policy
        When it learns from impressions.
    reader
        Its champion's journal.
    held_since
        Since when examples are held there. What came in the pause is learned from when it ends.
    position
        The last position of which nothing is learned.
    """

    def __init__(
        self, policy: OwnPolicy, reader: JournalRows, held_since: int | None = None, position: int = 0
    ) -> None:
        rules = Rules(policy.attribution_ms, policy.correction_ms, negatives=policy.negatives)
        self.store = ImpressionStore(rules, reader.read_part)
        self._joiner = Joiner(self.store)
        self._reader = reader
        self._held_since = held_since
        # The last position that has had its turn.
        self._until = position if held_since is None else held_since
        self._last_ms = self._entered_ms = 0
        self._in_grace = False
        self._event_ms: int | None = None  # what topics have reached, and when a row told so last
        self._told_ms = 0
        self._foreseen: dict[int, NDArray[np.float32]] = {}  # by the first number of a segment
        self.after: tuple[int, int] | None = None
        """The row by which its champion changed its policy, and the first position needed to begin after it;
        None where it has had its own from the beginning."""

    def begin_after(self, row: JournalRow, rate: float) -> None:
        """Begin after a row by which a champion has changed its policy; the store is as of there.

        Parameters
        ----------
        row
            The row.
        rate
            The share of negatives that is learned from.
        """
        store = self.store
        store.rules = replace(store.rules, negative_rate=rate)
        self.after = row.position, store.needed_from() or row.position
        self._until, self._last_ms = row.position, row.time_ms
        self._event_ms, self._told_ms = store.watermark_ms, row.time_ms
        self._entered_ms = int(store.segments[-1].times[-1]) if store.segments else 0

    def follow(
        self,
        model: LogisticRegression,
        row: JournalRow,
        teach: Teach,
        pairing: Pairing | None = None,
        ours: Iterator[NDArray[np.float32]] | None = None,
    ) -> Pairing | None:
        """Apply one row of its champion's journal to a challenger.

        Impressions are compared when their window ends, by what was answered and by what the challenger would
        have answered when their row came. All else is compared when both have learned it.

        Parameters
        ----------
        model
            The challenger.
        row
            The row.
        teach
            Has it learn.
        pairing
            Takes what is compared; None where nothing is.
        ours
            What its champion predicted of that row, just before it learned; None where that is not known.

        Returns
        -------
        Pairing | None
            `pairing`; None where what is needed for it is not known.

        Raises
        ------
        BodyError
            Where the row does not fit the model, or does not tell enough; it names its position.
        """
        check_place(model, row)
        compared = pairing is not None and row.position > pairing.since.position
        turn = _Turn(teach, pairing if compared else None, ours)
        learned = 0
        match row.kind:
            case "recalibration":
                model.begin_recalibration()
            case "trip":
                self._held_since = row.position
            case "resume":
                learned = self._resume(model, row, turn)
            case _ if self._held_since is None:
                self._enter(model, row)
                learned = self._take(row, turn)
                self._until = row.position
        model.notes[REACHED] = row.next_sequence
        return None if compared and ours is None and learned else pairing

    def _resume(self, model: LogisticRegression, row: JournalRow, turn: _Turn) -> int:
        """Let the rows of a pause have their turn; nothing is learned where they are discarded."""
        since, self._held_since = self._held_since, None
        if since is None:
            raise BodyError(f"position {row.position} resumes what was not paused")
        discard = resumption_of(row).discard
        turn = _Turn(None, None, None) if discard else turn._replace(resumes=True)
        for one in self._between(since + 1, row.position):  # before anything is learned
            self._enter(model, one)
        learned = sum(self._take(one, turn) for one in self._between(since + 1, row.position))
        self._until = row.position
        return learned

    def _between(self, start: int, stop: int) -> Iterator[JournalRow]:
        for row in self._reader.read(start):
            if row.position >= stop:
                return
            yield row

    def _enter(self, model: LogisticRegression | None, row: JournalRow) -> None:
        """Take note of what was predicted, and foresee what the challenger would have answered."""
        store = self.store
        if row.kind == "clock":
            set_back = msgspec.json.decode(row.body)
            store.not_after(row.time_ms, max(set_back["before_ms"] - set_back["after_ms"], 0))
            self._entered_ms = min(self._entered_ms, row.time_ms)
        if row.kind != "impression":
            return
        said = decode_row(row.body)
        if not said.stops.size:
            return
        store.rules = replace(store.rules, negative_rate=said.rate)
        enter_row(store, said._replace(teaching=Teaching.LATER), row.position)
        segment = store.segments[-1]
        self._entered_ms = max(int(segment.times[-1]), self._entered_ms)
        segment.times[-1] = self._entered_ms
        if model is not None:
            batch = _records_of(said, model.bits)
            place = slice(segment.used - said.stops.size, segment.used)
            self._foreseen_in(segment)[place] = model.predict(batch)

    def _take(self, row: JournalRow, turn: _Turn) -> int:
        """End the windows that are due, and join what a row says.

        Returns how many examples were no impressions.
        """
        if row.kind == "source":
            self._reach(source_in(row).watermark_ms, row.time_ms)
        self._end(row, turn)
        match row.kind:
            case "batch":
                batch = decode_batch(row.body)
                return self._join(row, batch, References.none(), turn)
            case "joined" | "held" | "label":
                return self._join(row, *decode_joined(row.body), turn)
            case "impression":  # these are compared when their windows end
                held = decode_row(row.body).teaching == Teaching.HELD
                if held or row.count:
                    turn.of_champion(row, held=held)
        return 0

    def _reach(self, watermark_ms: int | None, told_ms: int) -> None:
        """Take note of the event time that topics have reached."""
        if watermark_ms is None:
            return
        if self._event_ms is None:
            self.store.windows.ends_from_ms = 0
        self._event_ms, self._told_ms = max(self._event_ms or 0, watermark_ms), told_ms

    def _event_time(self, row: JournalRow) -> int | None:
        """Return the event time at a row; None where windows end by the times of rows."""
        if self._event_ms is None or row.time_ms - self._told_ms > LONG_MS:
            return None
        return min(self._event_ms, row.time_ms)

    def _end(self, row: JournalRow, turn: _Turn) -> None:
        """End the windows that are due at a row, in the order of the predictions.

        After a silence none ends for a while, but for those that were due when the while after the last
        silence was over: so they end where few rows come, too. By event time nothing passes in a silence.
        """
        event_ms = self._event_time(row)
        if event_ms is not None:
            self._last_ms = row.time_ms
            self._end_due(event_ms, turn, row.time_ms)
            return
        now_ms = row.time_ms
        store, gap_ms = self.store, now_ms - self._last_ms
        silent = gap_ms > GAP_MS and self._last_ms > 0
        self._last_ms = now_ms
        if silent:
            if self._in_grace and store.windows.ends_from_ms <= now_ms:
                self._end_due(store.windows.ends_from_ms, turn)
            store.windows.ends_from_ms = now_ms + min(GRACE_MS, store.rules.attribution_ms, gap_ms)
            self._in_grace = True
        elif now_ms >= store.windows.ends_from_ms:
            self._in_grace = False
            self._end_due(now_ms, turn)

    def _end_due(self, now_ms: int, turn: _Turn, learned_ms: int | None = None) -> None:
        """End the windows that are due at a time; learned from at another, where that is given."""
        store = self.store
        while (ended := self._joiner.end(AT_ONCE, now_ms)) is not None:
            store.keep()
            batch, numbers = ended.batch, ended.references.numbers
            if not len(batch) or turn.teach is None:
                continue
            turn.teach(batch, now_ms if learned_ms is None else learned_ms)
            if turn.pairing is not None:
                rows = store.segments.positions(numbers) > turn.pairing.since.position
                answered, foreseen = store.segments.answered(numbers), self._foreseen_of(numbers)
                turn.pairing.add(batch.select(rows), answered[rows], foreseen[rows])
        for gone in self._foreseen.keys() - {one.first for one in store.segments}:
            del self._foreseen[gone]

    def _join(self, row: JournalRow, batch: Batch, references: References, turn: _Turn) -> int:
        """Join the labels that a row tells of, and learn from them and from what was no impression.

        Returns how many examples were none: these are compared now.
        """
        plain, numbers = _plain(row, batch, references), references.numbers
        states, segments = references.states, self.store.segments
        ones = is_one_of(states, CLICKS)
        labelled = (numbers >= 0) & (ones | is_one_of(states, ZEROS))
        labelled &= segments.hashes_of(numbers) == references.hashes
        rows = np.flatnonzero(labelled)
        event_ms = self._event_time(row)
        now_ms = row.time_ms if event_ms is None else event_ms
        joined = self._joiner.label_known(
            numbers[rows], references.hashes[rows], ones[rows].astype(np.int64).tolist(), now_ms
        )
        self.store.keep()
        ours = None if row.kind == "label" else turn.of_champion(row, held=row.kind == "held")
        order = np.argsort(np.concatenate([plain, rows[joined.rows]]), kind="stable")
        if turn.teach is None or not order.size:
            return 0
        chosen = np.zeros(len(batch), np.bool_)
        chosen[plain] = True
        own = batch.select(chosen)
        theirs = np.empty(order.size, np.float32)
        parts = [one for one in (own, joined.batch) if len(one)]
        theirs[order] = turn.teach(ordered(Batch.concatenate(parts), order), row.time_ms)
        if turn.pairing is not None and ours is not None:
            turn.pairing.add(own, ours[plain], theirs[: plain.size])
        return plain.size

    def _foreseen_in(self, segment: Segment) -> NDArray[np.float32]:
        """Return what was predicted for the impressions of a segment, to be written to."""
        if segment.first not in self._foreseen:
            self._foreseen[segment.first] = np.zeros(CAPACITY, np.float32)
        return self._foreseen[segment.first]

    def _foreseen_of(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.zeros(numbers.size, np.float32)
        for segment, rows in self.store.segments.parts(numbers):
            found[rows] = self._foreseen_in(segment)[numbers[rows] - segment.first]
        return found

    # -- in snapshots ----------------------------------------------------------------------------------

    @property
    def notes(self) -> dict[str, Any]:
        """What a snapshot is to hold beside the model."""
        store = self.store
        first = store.segments[0].first if store.segments else store.segments.next_number
        ended = max(store.windows.ended, first)
        numbers = np.arange(first, store.segments.next_number)
        rules = store.rules
        kept = KeptJoining(
            policy=OwnPolicy(rules.negatives, rules.attribution_ms, rules.correction_ms),
            after=self.after,
            until=self._until,
            position=store.needed_from() or self._until + 1,
            numbers=(first, ended, store.segments.next_number),
            last_ms=self._last_ms,
            floor_ms=int(store.segments[0].times[0]) if store.segments else self._entered_ms,
            ends_from_ms=store.windows.ends_from_ms,
            in_grace=self._in_grace,
            event_ms=self._event_ms,
            told_ms=self._told_ms,
            rate=rules.negative_rate,
            states=text_of(store.segments.states(numbers)),
            foreseen=text_of(self._foreseen_of(np.arange(ended, store.segments.next_number))),
        )
        return {JOINING_NOTE: msgspec.to_builtins(kept)}

    def restore(self, notes: Mapping[str, Any]) -> None:
        """Go on from a snapshot's notes: its impressions are entered again, of the rows.

        Raises
        ------
        SnapshotError
            Where they do not hold what is needed.
        StorageError
            Where the rows cannot be read.
        """
        kept = KeptJoining.of(notes.get(JOINING_NOTE))
        first, ended, stop = kept.numbers
        numbers = np.arange(first, stop)
        states, foreseen = kept.arrays()
        store = self.store
        self._entered_ms = kept.floor_ms
        for row in self._reader.read_of(("impression", "clock"), _fail):
            if row.position > kept.until:
                break
            if row.position >= kept.position:
                self._enter(None, row)
        store.rules = replace(store.rules, negative_rate=kept.rate)
        store.segments.next_number = stop
        store.windows.ended, store.windows.ends_from_ms = ended, kept.ends_from_ms
        store.segments.set(numbers, states)
        open_ = np.arange(ended, stop)
        for segment, rows in store.segments.parts(open_):
            self._foreseen_in(segment)[open_[rows] - segment.first] = foreseen[rows]
        self._until, self._last_ms, self._in_grace = kept.until, kept.last_ms, kept.in_grace
        self._event_ms, self._told_ms = kept.event_ms, kept.told_ms
        self.after = kept.after


def _plain(row: JournalRow, batch: Batch, references: References) -> NDArray[np.intp]:
    """Return intp[k]: which examples of a row were no impressions."""
    if len(references) == len(batch):
        return np.flatnonzero(references.numbers < 0)
    if not len(references) or not len(batch):
        return np.arange(len(batch))
    raise BodyError(
        f"position {row.position} was written by an earlier release, which did not say which of its "
        f"{len(batch)} examples the {len(references)} impressions among them are: for a late-label policy of "
        'its own, start a challenger from "nothing"'
    )


def _records_of(row: ImpressionRow, bits: int) -> Batch:
    """Return what was predicted; of slots that were given directly the lowest bits."""
    starts = row.starts
    batch = unpacked([Part(row.words, starts, row.stops - starts, row.usual)]).batch
    if batch.largest_slot < 2**bits:
        return batch
    direct = slice(None) if batch.fields is None else batch.fields == NO_FIELD
    indices = batch.indices.copy()
    indices[direct] &= np.uint32(2**bits - 1)
    return Batch.trusted(
        batch.indptr, indices, batch.values, batch.labels, batch.weights, batch.fields, None, batch.times
    )


def _fail(error: JournalDamagedError) -> None:
    raise error
