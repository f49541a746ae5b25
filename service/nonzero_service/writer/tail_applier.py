"""A follower of another process: folds the rows that the process which writes has made durable.

Nothing is journalled here. Whoever reads the rows brings them (:mod:`nonzero_service.cluster.tailing`). They
are folded by the function that a start folds them with, so the same rows give the same bits. Tasks and copies
have their turn between two pieces, as they have between two groups where rows are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.model.gradual_copy import GradualCopy
from nonzero_service.incidental import incidentally
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import JournalError
from nonzero_service.journal.journal import Journal
from nonzero_service.turns import Turns
from nonzero_service.writer import fold
from nonzero_service.writer.applier import Applier
from nonzero_service.writer.results import Results

PIECE: Final = 1 << 19
"""So many bytes of rows are folded in one turn: some milliseconds of learning."""

AHEAD: Final = 16 << 20
"""So many bytes of rows wait here before no more are read."""

LEARNING_CHANGES: Final = frozenset({"remedy", "recalibration"})
"""The rows that may change any part of a model."""


Retold = Callable[[LogisticRegression, JournalRow, Callable[[], LogisticRegression]], object]
"""Applies a row to a model, and tells somebody of it."""


class TailApplier(Applier):
    """Folds rows that another process has written, in order.

    Parameters
    ----------
    model
        The model, as the rows up to the journal's position have made it.
    journal
        The journal, which is only read; it is told of each row that has been folded.
    held_since
        Since when examples are held there.
    turns
        The threads that apply.
    results
        Takes what came of tasks, and what went wrong.
    """

    def __init__(
        self,
        model: LogisticRegression,
        journal: Journal,
        held_since: int | None,
        turns: Turns,
        results: Results,
    ) -> None:
        super().__init__(model, journal, held_since, turns, results)
        self.retold: Retold = _applied
        """Applies each row by what it is given, and tells of it."""
        self.followed: Callable[[JournalRow], object] = _nobody_waits
        """Called with each row that has been folded, before its position is told."""
        self.moved: Callable[[], object] = _nobody_waits
        """Called when rows have been folded."""
        self.appended_bytes = 0
        """The bytes of the rows that were folded, in this process."""
        self.told = self.position
        """The last position that was brought."""
        self._rows: deque[JournalRow] = deque()
        self._told_bytes = self._taken_bytes = 0  # each is written by one thread

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing more is to be brought."""
        return self._told_bytes - self._taken_bytes > AHEAD

    def put_rows(self, rows: Sequence[JournalRow]) -> None:
        """Take rows that follow those that were brought before; from one thread."""
        self._rows.extend(rows)
        self._told_bytes += sum(len(row.body) for row in rows)
        self.told = rows[-1].position
        self._turn.call()

    def close(self) -> None:
        """Let go of who is told."""
        super().close()
        self.followed = self.moved = _nobody_waits

    def _apply_next(self) -> bool:
        if self.ended.is_set():
            return False  # what is left in hand is read again by whoever goes on
        if self._groups:  # a task, or the end: neither waits until all is folded
            more = super()._apply_next()
            return more or (bool(self._rows) and not self.ended.is_set())
        if self._rows and self._results.failure is None:
            try:
                self._fold_piece()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the model is not what it should be
                self.is_whole = False
                self._results.end(error)
                self._fail_copy(self._results.failure)
            self.moved()
        self._copy_on()
        return self._copying is not None or bool(self._rows and self._results.failure is None)

    def _fold_piece(self) -> None:
        """Fold as many rows as a turn has room for."""
        size = 0
        while self._rows and size < PIECE:
            row = self._rows.popleft()
            self._fold(row)
            size += len(row.body)
            self._taken_bytes += len(row.body)

    def _fold(self, row: JournalRow) -> None:
        """Fold one row, and tell of it."""
        if row.kind == "promotion":
            raise JournalError(
                f"position {row.position} promotes a challenger, whose files are elsewhere: the model is to "
                "be loaded again"
            )
        if self._copying is not None and row.kind in LEARNING_CHANGES:
            self._with_copy(GradualCopy.finish)
        apply = partial(
            fold.apply,
            self._model,
            row,
            self._journal.read,
            self._have_learned,
            learning=self._about_to_learn,
        )
        self.retold(self._model, row, apply)
        if row.kind == "trip":
            self.held_since = row.position
        elif row.kind == "resume":
            self.held_since = None
        incidentally(self.followed, row)
        self._journal.advance(row)
        self.digest = row.digest
        self.appended_bytes += len(row.body)
        self.position = row.position

    def _about_to_learn(self, batch: Batch) -> None:
        if self._copying is not None:
            self._with_copy(lambda copy: copy.before(batch))

    def _have_learned(self, batch: Batch, probabilities: NDArray[np.float32]) -> None:
        if self.learned is not None:
            incidentally(self.learned, batch, probabilities)


def _applied(_: LogisticRegression, __: JournalRow, apply: Callable[[], LogisticRegression]) -> object:
    """Apply a row, and tell nobody."""
    return apply()


def _nobody_waits(*_: object) -> None:
    """Tell nobody."""
