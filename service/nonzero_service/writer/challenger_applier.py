"""A follower: folds the rows of its champion's journal a second time, into a challenger.

First it reads what the journal holds already, a piece at a time, while others have their turns. When it is
near the end it is told of all that its champion learns, with what that predicted; so nothing is read, parsed
or written twice. From there on both are compared.

What goes wrong here is the challenger's own: it stops, says why, and its champion goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.journal import Journal
from nonzero_service.turns import Turns
from nonzero_service.writer import fold
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.changed_policy import rejoiner_after
from nonzero_service.writer.entries import CHANGES, held_examples
from nonzero_service.writer.followers import LAG_BYTES, LAG_GROUPS, NEAR
from nonzero_service.writer.pairing import PAIRING_NOTE, ComparedSince, Pairing
from nonzero_service.writer.rejoiner import Rejoiner
from nonzero_service.writer.results import Results
from nonzero_service.writer.sequences import REACHED, sequence_of
from nonzero_service.writer.work import CommittedGroup, Copied, Outcome

PIECE: Final = 1 << 19
"""So many bytes of rows are read in one turn: some milliseconds of learning."""


class ChallengerApplier(Applier):
    """Learns what a champion learns, in order, and compares what both predict.

    Parameters
    ----------
    model
        The challenger, as the rows up to `position` have made it.
    journal
        The champion's.
    champion
        The champion's applier.
    position, held_since
        How far it has come, and since when examples are held there.
    pairing
        What was compared up to there; None where the comparison has not begun.
    begin
        Writes down where a comparison begins, and returns it; on the applier's thread.
    turns
        The threads that apply.
    results
        Takes what came of tasks, and what went wrong.
    rejoiner
        What folds, where it has a late-label policy of its own: it reads all rows, as what it learns of them
        is not what its champion does. One without begins to have it where its champion's policy changes.
    """

    def __init__(
        self,
        model: LogisticRegression,
        journal: Journal,
        champion: Applier,
        position: int,
        held_since: int | None,
        pairing: Pairing | None,
        begin: Callable[[ComparedSince], Pairing],
        turns: Turns,
        results: Results,
        rejoiner: Rejoiner | None = None,
    ) -> None:
        super().__init__(model, journal, held_since, turns, results)
        self.position = position
        self.pairing = pairing
        self.is_reading = True
        """Whether it reads the journal still."""
        self.moved: Callable[[], object] = lambda: None
        """Called when it has come further and somebody may wait for that, or has failed."""
        self.caught_up: Callable[[int], object] = _tell_nobody
        """Called with its position when it has read what the journal held already."""
        self.appended_bytes = 0
        """The bytes of what it has learned from, in this process."""
        self._champion = champion
        self._begin = begin
        self.rejoiner = rejoiner
        """What folds by a late-label policy of its own, as for the parameter."""
        self._rows: Iterator[JournalRow] | None = None
        self._row: JournalRow | None = None  # read, and after where it may read to
        self._until = position
        self._is_told = False
        self._told_bytes = self._taken_bytes = 0  # each is written by one thread
        self._holds_up = False
        self.is_awaited = False
        """Whether somebody waits until it has come as far as the journal."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that the champion is to wait; then its committer is called again."""
        self._holds_up = True  # before the look: what is taken after it calls
        self._holds_up = self._is_far
        return self._holds_up

    @property
    def _is_far(self) -> bool:
        waiting = self._told_bytes - self._taken_bytes
        return self._is_told and (waiting > LAG_BYTES or len(self._groups) > LAG_GROUPS)

    @property
    def failure(self) -> Exception | None:
        """Why it learns no more; None where it does."""
        return self._results.failure

    def put(self, group: CommittedGroup | None) -> None:
        """Take what the champion has learned, a task, or None at the end."""
        if group is not None and group.position is not None:
            self._told_bytes += group.nbytes
        super().put(group)

    def close(self) -> None:
        """Let go of who is told."""
        super().close()
        self.caught_up = _tell_nobody

    def wake(self) -> None:
        """Begin to read."""
        self._turn.call()

    @property
    def place(self) -> Copied:
        """What a copy of the model would be of now, with what was compared."""
        pairing = None if self.pairing is None else self.pairing.kept()
        notes: dict[str, Any] = {PAIRING_NOTE: pairing}
        if self.rejoiner is not None:
            notes |= self.rejoiner.notes | {REACHED: sequence_of(self._model)}
        return Copied(self.position, self.held_since, notes)

    def _apply_next(self) -> bool:
        if not self.is_reading or self._results.failure is not None:
            return super()._apply_next()
        if self._groups and (self._groups[0] is None or self._groups[0].position is None):
            more = super()._apply_next()  # a task, or the end: neither waits until all is read
            return more or not self.ended.is_set()
        try:
            self._read_on()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the champion goes on
            self._results.end(error)
            self._fail_copy(self._results.failure)
        self._copy_on()
        if self.is_awaited or self._results.failure is not None:
            self.moved()
        return True

    def _apply(self, group: CommittedGroup) -> list[Outcome]:
        if group.position is None:
            return super()._apply(group)
        if self.rejoiner is not None:
            self._apply_rows(group, self.rejoiner)
        else:
            self._apply_batches(group)
        if group.kind == "promotion" and self.pairing is not None:  # its champion is another from here on
            self.pairing = self._begin(ComparedSince(group.position, sequence_of(self._model), group.time_ms))
        if self.held_since is None and group.held_since is not None:
            self.changed(group.held_since)
        self.held_since = group.held_since
        if group.kind or group.resumed_since is not None:
            self.changed(group.position)
        return []

    def _apply_batches(self, group: CommittedGroup) -> None:
        """Learn what the champion has learned."""
        batches: Iterator[Batch] | Sequence[Batch] = group.batches or ()
        if group.held and group.resumed_since is not None:
            batches = (b for b, _ in held_examples(self._journal.read, group.resumed_since, group.position))
        if group.probabilities:
            self.learning(group.time_ms)
        for batch, ours in zip(batches, group.probabilities, strict=True):
            theirs = self._learn_with_copy(batch, group.time_ms)
            if self.pairing is not None:
                self.pairing.add(batch, ours, theirs)
            self.appended_bytes += batch.nbytes
        if group.kind == "recalibration":
            self._model.begin_recalibration()
        elif group.kind == "promotion" and group.position is not None:
            row = next(self._journal.read(group.position))
            self.rejoiner = rejoiner_after(self._model, row, self._journal)

    def _apply_rows(self, group: CommittedGroup, rejoiner: Rejoiner) -> None:
        """Learn from the rows that a group became."""
        assert group.position is not None  # noqa: S101 - it is no task
        ours, self._until = iter(group.probabilities), group.position
        while self.position < group.position:
            row = self._next_row()
            if row is None:
                continue
            self._follow_row(row, rejoiner, ours)

    def _follow_row(
        self, row: JournalRow, rejoiner: Rejoiner, ours: Iterator[NDArray[np.float32]] | None
    ) -> None:
        """Learn from a row by a late-label policy of its own: any may end windows."""
        self.learning(row.time_ms)
        self.pairing = rejoiner.follow(self._model, row, self._learn_with_copy, self.pairing, ours)
        self.position = row.position
        self.appended_bytes += len(row.body)

    def _take(self, group: CommittedGroup) -> None:
        super()._take(group)
        if group.position is not None:
            self._taken_bytes += group.nbytes
            if self.is_awaited or (self._holds_up and not self._is_far):
                self.moved()

    def _pass_on(self, group: CommittedGroup) -> None:
        self._predicted = []
        self.position = group.position or self.position

    def _learn_with_copy(self, batch: Batch, time_ms: int) -> NDArray[np.float32]:
        """Learn from a batch, of which a copy that is being made knows nothing."""
        self._learn(batch, time_ms)
        return self._predicted.pop()

    def _read_on(self) -> None:
        """Read a piece of the journal, and take note when there is no more."""
        size = 0
        while size < PIECE:
            if self.position >= self._until and self._met():
                return
            row = self._next_row()
            if row is None:
                return
            if self._copying is not None:
                self._with_copy(lambda copy: copy.finish())
            if self.rejoiner is None:
                self._fold_row(row)
            else:
                self._follow_row(row, self.rejoiner, None)
            if row.kind == "trip":
                self.held_since = row.position
            elif row.kind == "resume":
                self.held_since = None
            if row.kind in CHANGES:
                self.changed(row.position)
            size += len(row.body)

    def _fold_row(self, row: JournalRow) -> None:
        """Learn what a row taught the champion, of which is not known what that predicted."""
        unpaired = sequence_of(self._model)
        if row.count:
            self.learning(row.time_ms)
        fold.follow(self._model, row, self._journal.read)
        self.rejoiner = rejoiner_after(self._model, row, self._journal)
        if sequence_of(self._model) != unpaired:
            self.pairing = None
        self.position = row.position
        self.appended_bytes += len(row.body)

    def _next_row(self) -> JournalRow | None:
        """Return the next row that may be read; None where it is to be asked for again."""
        if self._rows is None:
            self._rows = self._journal.read(self.position + 1)
        row, self._row = self._row or next(self._rows, None), None
        if row is None:
            self._rows = None
        elif row.position > self._until:
            self._row = row
            return None
        return row

    def _met(self) -> bool:
        """Look how far the champion is; return whether all is read that it does not tell of."""
        if not self._is_told:
            with self._champion.followers.moving:
                self._until = self._champion.position
                if self._until - self.position <= NEAR:
                    self._champion.followers.add(self)
                    self._is_told = True
        if self.position < self._until:
            return False
        if not self._is_told:
            return False
        if self.pairing is None:
            since = ComparedSince(self.position, sequence_of(self._model), self._journal.time_ms)
            self.pairing = self._begin(since)
        self._rows = self._row = None
        self.is_reading = False
        self.caught_up(self.position)
        return True


def _tell_nobody(_: int) -> None:
    """Tell nobody."""
