"""The committer: takes what is queued for a model, group by group, and makes it durable."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from nonzero import Schema
from nonzero_service.errors import GivenUpError, NotHeldError
from nonzero_service.impressions.joined import References
from nonzero_service.incidental import incidentally
from nonzero_service.journal.chain import Entry
from nonzero_service.journal.errors import DiskFullError, JournalBusyError
from nonzero_service.journal.journal import Journal
from nonzero_service.learning.committing import Group
from nonzero_service.learning.gathering import Gathered, Meets
from nonzero_service.learning.holding import Gate, resume_entry
from nonzero_service.learning.results import Results
from nonzero_service.learning.work import Applied, Change, Durable, Learn, Outcome, Resume, Work

__all__ = ["GROUP_BYTES", "Committer"]

GROUP_BYTES: Final = 1 << 20
"""A group is all that is queued, up to this: whoever is in it waits for the whole of it."""

BESIDE_BYTES: Final = GROUP_BYTES // 2
"""A group of pieces of streams is so large where single examples come beside them."""

BESIDE: Final = 8
"""So many groups after one with single examples, more of them are to be expected."""

_APPLIED: Final = object()


class Committer:
    """Makes work durable and hands it on, in the order in which it was put in.

    Single examples alone may be committed before pieces of streams that were put in earlier: nobody can tell,
    and they need not wait for a bulk update. Where both wait, every second group is of single examples only:
    it is durable, and learned from, in a part of the time. While single examples keep coming, groups of
    pieces are smaller, and one is not committed before the one before is applied: a single example, which
    cannot be applied before what is durable already, then waits for one of them at most.

    What fails before the journal is given a group fails that group. What fails after, whatever it is, ends
    the process: the rows may be there, and nobody must be told otherwise, nor learn past them.

    Parameters
    ----------
    bits
        log2 of the number of slots of the model's table.
    schema
        What the model's fields are.
    journal
        Where the rows go.
    gate
        Whether examples are learned from or held.
    durable
        Takes what is durable, and None at the end.
    results
        Takes what could not be made durable, and why.
    """

    def __init__(
        self,
        bits: int,
        schema: Schema,
        journal: Journal,
        gate: Gate,
        durable: queue.Queue[Durable | None],
        results: Results,
    ) -> None:
        self.appended_bytes = 0
        """The bytes of all bodies that were appended, in this process."""
        self.settled: Callable[[References], object] = lambda _: None
        """Called with the impressions that the journal has taken."""
        self.met: Meets = lambda _: np.empty(0, np.intp)
        """Tells which ids of single examples are those of impressions."""
        self._bits = bits
        self._schema = schema
        self._journal = journal
        self._gate = gate
        self._durable = durable
        self._results = results
        self._queue: queue.SimpleQueue[Work | object | None] = queue.SimpleQueue()
        self._waiting: deque[Work | None] = deque()
        self._had_pieces = False  # whether the last group held more than single examples
        self._since_single = BESIDE  # groups since the last one that held any
        self._unapplied = 0  # groups that held more, and are not applied yet

    def put(self, work: Work | None) -> None:
        """Queue work, from any thread; None is the end."""
        self._queue.put(work)

    @property
    def beside_singles(self) -> bool:
        """Whether single examples are to be expected beside pieces of streams; asked by any thread."""
        return self._since_single < BESIDE

    def applied(self, group: Durable) -> None:
        """Take note that a group has been applied; on the applier."""
        if _learns_pieces(group):
            self._queue.put(_APPLIED)

    def run(self) -> None:
        """Commit group after group, until the end."""
        works: list[Work] = []
        try:
            while works := self._next():
                self._do(works)
                works = []  # it may hold much: not until there is more to do
        except BaseException as error:  # noqa: BLE001 - a thread that ended so would leave everybody waiting
            self._results.end(error, works)
            self._refuse_rest()
        self._durable.put(None)

    def _do(self, works: list[Work]) -> None:
        what = works[0].what
        if isinstance(what, Change):
            self._change(works, what.entry)
        elif isinstance(what, Resume):
            self._resume(works, what.discard)
        elif isinstance(what, Learn):
            self._commit(works)
        else:
            self._durable.put(Durable(works))

    def _refuse_rest(self) -> None:
        """Refuse what waits, and what still comes, until the end."""
        while (item := self._waiting.popleft() if self._waiting else self._queue.get()) is not None:
            if isinstance(item, Work):
                self._refuse([item], self._results.failure)

    def _next(self) -> list[Work]:
        """Take what is to be done next: a group of examples, or one other piece of work; nothing at last."""
        waiting = self._waiting
        self._receive()
        beside = self.beside_singles
        while beside and self._unapplied and self._only_pieces_wait() and self._results.failure is None:
            self._receive(wait=True)
        most = BESIDE_BYTES if beside else GROUP_BYTES
        works: list[Work] = []
        left: list[Work | None] = []
        size = most if self._had_pieces and self._single_waits() else 0
        while waiting and (work := waiting[0]) is not None and isinstance(work.what, Learn):
            waiting.popleft()
            if size < most or isinstance(work, Gathered):
                works.append(work)
                size += work.nbytes
            else:
                left.append(work)
        waiting.extendleft(reversed(left))
        self._had_pieces = _has_pieces(works)
        has_singles = any(isinstance(work, Gathered) for work in works)
        self._since_single = 0 if has_singles else min(self._since_single + 1, BESIDE)
        if not works and waiting[0] is not None:
            works.append(waiting[0])
            waiting.popleft()
        return works

    def _receive(self, *, wait: bool = False) -> None:
        """Take what has been queued; wait for it where nothing else is to be done, or where told to."""
        while wait or not self._waiting or not self._queue.empty():
            item = self._queue.get()
            wait = False
            if item is _APPLIED:
                self._unapplied -= 1
            else:
                assert item is None or isinstance(item, Work)  # noqa: S101 - there is nothing else
                self._waiting.append(item)

    def _only_pieces_wait(self) -> bool:
        """Whether what is to be done next is a group without single examples."""
        work = self._waiting[0]
        return work is not None and isinstance(work.what, Learn) and not self._single_waits()

    def _single_waits(self) -> bool:
        """Whether single examples are among what may be in the next group."""
        for work in self._waiting:
            if work is None or not isinstance(work.what, Learn):
                return False
            if isinstance(work, Gathered):
                return True
        return False

    def _commit(self, works: list[Work]) -> None:
        """Append a group of examples to the journal: a few rows, of one kind or several."""
        works = self._unbroken(self._read(works))
        learns = [work.what for work in works if isinstance(work.what, Learn)]
        if not learns:
            return
        try:
            group = Group(list(learns), self._gate, self._journal.next_sequence)
            entries, batches = group.entries(), group.batches
        except Exception as raised:  # noqa: BLE001 - whoever waits for the work gets it
            error: Exception | None = raised
            self._refuse(works, raised)
        else:

            def book(position: int) -> Durable:
                group.committed(position)
                for learn in learns:
                    if learn.references is not None:
                        self.settled(learn.references)
                place = (position, self._journal.time_ms)
                return Durable(works, batches, *place, group.learned, self._gate.since)

            error = self._write(works, entries, book)
            if error is not None:
                group.failed()
        for learn in learns if error is not None else ():
            learn.pieces.failure = error

    def _change(self, works: list[Work], entry: Entry) -> None:
        """Append a row that is no batch."""
        self._write(works, [entry], lambda position: Durable(works, None, position, self._journal.time_ms))

    def _resume(self, works: list[Work], discard: bool) -> None:
        """Append the end of a pause to the journal."""
        since, held = self._gate.since, self._gate.examples
        if since is None:
            self._refuse(works, NotHeldError("learning is not paused: there is nothing to resume"))
            return
        entry = resume_entry(since, discard=discard, examples=held)
        counts = (0, held) if discard else (held, 0)

        def book(position: int) -> Durable:
            self._gate.resumed(position, discard=discard)
            return Durable(works, None, position, self._journal.time_ms, (), None, since, *counts)

        self._write(works, [entry], book)

    def _write(
        self, works: list[Work], entries: list[Entry], book: Callable[[int], Durable]
    ) -> Exception | None:
        """Write a group's rows and hand it on; or return the error, which is given to those who wait.

        Parameters
        ----------
        works
            Whose rows they are.
        entries
            The rows: all that could go wrong in making them has not.
        book
            Takes the position of the last: notes that they are durable, and makes of them what is handed on.
        """
        results = self._results
        if results.failure is not None:
            self._refuse(works, results.failure)
            return results.failure
        nbytes = sum(len(entry.body) for entry in entries)
        try:
            try:
                position = self._journal.append(entries)
            except (DiskFullError, JournalBusyError) as error:  # nothing was written
                self._refuse(works, error)
                return error
            # From here on they are durable: the process knows of them, or ends.
            group = book(position)
            self.appended_bytes += nbytes
            self._unapplied += _learns_pieces(group)
            self._durable.put(group)
        except BaseException as error:  # noqa: BLE001 - whatever it is
            results.end(error, works)
            return results.failure
        if self._gate.unsaid:
            incidentally(self._gate.say)
        return None

    def _refuse(self, works: Sequence[Work], error: Exception | None) -> None:
        """Give an error to those who wait for what has not been written."""
        self._results.give([Outcome(work, None, error) for work in works])

    def _read(self, works: list[Work]) -> list[Work]:
        """Read what has gathered; give back what holds nothing to learn from."""
        kept, outcomes = [], []
        for work in works:
            if isinstance(work, Gathered):
                try:
                    work.close(self._bits, self._schema, self.met)
                except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
                    outcomes.append(Outcome(work, None, error))
                    continue
                if not len(work.what.batch):
                    outcomes.append(Outcome(work, Applied(0, 0, None), None))
                    continue
            kept.append(work)
        if outcomes:
            self._results.give(outcomes)
        return kept

    def _unbroken(self, works: list[Work]) -> list[Work]:
        """Refuse the pieces that come after one that was not journalled; return the others."""
        kept, outcomes = [], []
        for work in works:
            failure = _failure_of(work)
            if failure is None:
                kept.append(work)
            else:
                outcomes.append(Outcome(work, None, failure))
        if outcomes:
            self._results.give(outcomes)
        return kept


def _has_pieces(works: Sequence[Work]) -> bool:
    """Whether a group holds more than single examples."""
    return any(not isinstance(work, Gathered) for work in works)


def _learns_pieces(group: Durable) -> bool:
    """Whether a group is one that the applier is waited for: what is counted is counted off again."""
    return group.batches is not None and _has_pieces(group.works)


def _failure_of(work: Work) -> Exception | None:
    """Return why a batch cannot be journalled, or need not be: then nothing after it of its stream is."""
    if not isinstance(work.what, Learn):
        return None
    pieces = work.what.pieces
    if pieces.failure is None and (pieces.given_up or work.future.cancelled()):
        pieces.failure = GivenUpError("whoever asked for it has gone")
    return pieces.failure
