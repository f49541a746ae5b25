"""The applier: learns from what is durable, and gives the results back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero.model.gradual_copy import GradualCopy
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import OutcomeUnknownError
from nonzero_service.journal.journal import Journal
from nonzero_service.logs import described
from nonzero_service.turns import Turn, Turns
from nonzero_service.writer.entries import held_examples
from nonzero_service.writer.followers import Followers
from nonzero_service.writer.results import Results
from nonzero_service.writer.sequences import sequence_of
from nonzero_service.writer.source_rows import noted_after
from nonzero_service.writer.work import (
    Change,
    CommittedGroup,
    Copied,
    Copy,
    Learn,
    Outcome,
    Resume,
    ResumeResult,
    Rows,
    Work,
)

LEAD: Final = 1
"""How many groups may wait, durable, when another is committed: a single update waits behind all of them."""


class Applier:
    """Applies what is durable, in order.

    What is durable and cannot be applied is for a new start. Nothing after it is applied, and no task sees
    the model then: a snapshot of it would have a hole. A copy that fails, and what is counted beside the
    model, change nothing of that: learning goes on.

    Parameters
    ----------
    model
        The model, which from now on nothing else changes.
    journal
        Where what was held is read back from.
    held_since
        Since when examples are held; None where they are learned from.
    turns
        The threads that apply.
    results
        Takes what came of it.
    """

    def __init__(
        self,
        model: LogisticRegression,
        journal: Journal,
        held_since: int | None,
        turns: Turns,
        results: Results,
    ) -> None:
        self.held_since = held_since
        """Since when examples are held, as of what was applied."""
        self.position = journal.position
        """The last position that was applied."""
        self.digest = journal.tip.digest
        """The chain's digest there."""
        self.is_whole = True
        """Whether the model is the fold of whole rows up to there: nothing has failed in the midst of one."""
        self.learned: Callable[[Batch, NDArray[np.float32]], object] | None = None
        """Called with what was learned from, and what was predicted just before."""
        self.learning: Callable[[int], object] = _nobody_waits
        """Called with the time of a row's examples, before they are learned from."""
        self.changed: Callable[[int], object] = _nobody_waits
        """Called with the position of a row that has been applied and is no batch, or has paused learning."""
        self.applied: Callable[[CommittedGroup], object] = _nobody_waits
        """Called with each group when it has been applied, or could not be."""
        self.followers = Followers()
        """Those who learn what is learned here."""
        self._copying: _Copying | None = None
        self._model = model
        self._journal = journal
        self._predicted: list[NDArray[np.float32]] = []
        self.taken: Callable[[], object] = lambda: None
        """Called when a group has been taken up, so that there is room for another."""
        self.ended = threading.Event()
        """Set when all is applied that was put in before the end."""
        self._groups: deque[CommittedGroup | None] = deque()
        self._group: CommittedGroup | None = None
        self._turn = Turn(turns, self._apply_next, self._failed)
        self._results = results

    @property
    def sequence(self) -> int:
        """The examples of the journal up to what was applied."""
        return sequence_of(self._model)

    @property
    def is_behind(self) -> bool:
        """Whether so many groups wait that nothing more is to be committed."""
        return len(self._groups) > LEAD or self.followers.are_behind

    def put(self, group: CommittedGroup | None) -> None:
        """Take what is durable; None is the end."""
        self._groups.append(group)
        self._turn.call()

    def close(self) -> None:
        """Let go of who is told, when all has ended: the two hold each other."""
        self.applied = self.learned = self.learning = self.changed = _nobody_waits
        self._turn.close()

    def _apply_next(self) -> bool:
        """Apply the next group, and go on with a copy; return whether there is more to do."""
        if self._groups and (group := self._groups[0]) is not None:
            self._group = group
            self._groups.popleft()
            self.taken()
            self._take(group)
            self._group = None  # it may hold much: not until there is more to do
        self._copy_on()
        if self._copying is not None:
            return True
        if self._groups and self._groups[0] is None:
            self.ended.set()
            return False
        return bool(self._groups)

    def _failed(self, error: BaseException) -> None:
        """Refuse what was to be applied: whoever waits would wait for ever."""
        group, self._group = self._group, None
        self.is_whole = False
        self._results.end(error, () if group is None else group.works)
        self._fail_copy(self._results.failure)
        self.taken()

    def _take(self, group: CommittedGroup) -> None:
        """Apply a group and give its results back."""
        results = self._results
        if results.failure is not None:
            self._refuse(group)
        else:
            try:
                outcomes = self._apply(group)
                self._pass_on(group)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the model is not what it should be
                self.is_whole = False
                results.end(_unapplied(group.position, error), group.works)
                self._fail_copy(results.failure)
            else:
                results.give(outcomes)
        self.applied(group)

    def _pass_on(self, group: CommittedGroup) -> None:
        """Take note of how far all is applied, and let others follow."""
        predicted, self._predicted = self._predicted, []
        if group.position is None:
            return
        with self.followers.moving:
            self.position = group.position
            self.digest = group.digest
            self.followers.put(
                group._replace(works=(), came=(), probabilities=predicted, held_since=self.held_since)
            )

    def _refuse(self, group: CommittedGroup) -> None:
        """Tell those who wait, and who waits for a copy, that nothing more is applied."""
        failure = self._results.failure
        if group.position is not None and not isinstance(failure, OutcomeUnknownError):
            failure = _unapplied(group.position, cast(Exception, failure))  # of these rows it says nothing
        self._results.give([Outcome(work, None, failure) for work in group.works])
        self._fail_copy(failure)

    def _apply(self, group: CommittedGroup) -> list[Outcome]:
        if group.resumed_since is not None:
            return [self._resume(group, group.resumed_since)]
        if group.batches is not None:
            return self._learn_group(group, group.batches)
        [work] = group.works
        if isinstance(work.what, Change):
            outcome = self._change(work, work.what)
            self._tell_of(group)
            return [outcome]
        if isinstance(work.what, Copy):
            return self._begin_copy(work, work.what)
        return [self._run(work)]

    def _learn_group(self, group: CommittedGroup, batches: Sequence[Batch]) -> list[Outcome]:
        """Learn from a group; each batch's sequence is that after its own examples."""
        sequence = sequence_of(self._model)
        if batches:
            self.learning(group.time_ms)
        for batch in batches:
            self._learn(batch, group.time_ms)
        if group.source is not None:
            notes = self._model.notes
            notes[SOURCES_NOTE] = noted_after(notes.get(SOURCES_NOTE), group.source)
        if self.held_since is None and group.held_since is not None:
            self.changed(group.held_since)
        self.held_since = group.held_since
        outcomes = []
        for work, came in zip(group.works, group.came, strict=True):
            if came is not None:
                sequence += came.examples
                loss = self._model.log_loss if isinstance(work.what, Learn) and work.what.log_loss else None
                came = came._replace(sequence=sequence, log_loss=loss)
            outcomes.append(Outcome(work, came, None))
        return outcomes

    def _resume(self, group: CommittedGroup, since: int) -> Outcome:
        """Learn from what was held, or take note that it is discarded."""
        before = self._model.examples
        if group.held:
            self.learning(group.time_ms)
            for batch, _ in held_examples(self._journal.read, since, group.position):
                self._learn(batch, group.time_ms)
        self.held_since = None
        self._tell_of(group)
        applied = self._model.examples - before
        return Outcome(group.works[0], ResumeResult(applied, group.discarded, sequence_of(self._model)), None)

    def _learn(self, batch: Batch, time_ms: int) -> None:
        if self._copying is not None:
            self._with_copy(lambda copy: copy.before(batch))
        probabilities = self._model.learn_checked(batch, time_ms)
        self._predicted.append(probabilities)
        if self.learned is not None:
            incidentally(self.learned, batch, probabilities)

    def _tell_of(self, group: CommittedGroup) -> None:
        """Tell of a row that is no batch."""
        if group.position is not None:
            self.changed(group.position)

    def _change(self, work: Work, change: Change) -> Outcome:
        """Apply a row that is no batch; an error of it is for a new start, as that of a batch."""
        if self._copying is not None:  # it may change any row
            self._with_copy(GradualCopy.finish)
        return Outcome(work, change.apply(), None)

    # -- a copy while learning -------------------------------------------------------------------------

    def _begin_copy(self, work: Work, what: Copy) -> list[Outcome]:
        """Begin a copy; who waits for it is answered when it is whole, or has failed."""
        while self._copying is not None:
            self._copy_on()
        try:
            self._copying = _Copying(work, GradualCopy(self._model, what.into), self.place)
        except Exception as error:  # noqa: BLE001 - whoever waits for the copy gets it
            return [Outcome(work, None, error)]
        return []

    def _copy_on(self) -> None:
        """Go on with a copy, if there is one."""
        if self._copying is not None:
            self._with_copy(self._step)
        copying = self._copying
        if copying is not None and copying.copy.is_whole:
            self._copying = None
            self._results.give([Outcome(copying.work, copying.of, None)])

    def _step(self, copy: GradualCopy) -> None:
        if copy.is_lost:
            copy.begin()
            self._copying = cast(_Copying, self._copying)._replace(of=self.place)
        copy.step()

    def _with_copy(self, do: Callable[[GradualCopy], None]) -> None:
        """Do something for the copy that is being made; it reads the model only, so no more than it fails."""
        try:
            do(cast(_Copying, self._copying).copy)
        except Exception as error:  # noqa: BLE001 - whoever waits for the copy gets it
            self._fail_copy(error)

    def _fail_copy(self, error: Exception | None) -> None:
        """Give an error to who waits for a copy, if there is one."""
        copying, self._copying = self._copying, None
        if copying is not None:
            self._results.give([Outcome(copying.work, None, error)])

    @property
    def place(self) -> Copied:
        """What a copy of the model would be of now."""
        return Copied(self.position, self.held_since)

    def replace_model(self, model: LogisticRegression) -> None:
        """Learn by another model from now on; within a change."""
        self._model = model

    @staticmethod
    def _run(work: Work) -> Outcome:
        assert not isinstance(work.what, Rows | Change | Resume | Copy)  # noqa: S101 - the committer made the group so
        try:
            return Outcome(work, work.what(), None)
        except Exception as error:  # noqa: BLE001 - whoever waits for the work gets it
            return Outcome(work, None, error)


class _Copying(NamedTuple):
    """A copy that is being made."""

    work: Work
    """Who waits for it."""
    copy: GradualCopy
    of: Copied


def _nobody_waits(*_: object) -> None:
    """Tell nobody."""


def _unapplied(position: int | None, error: BaseException) -> OutcomeUnknownError:
    failure = OutcomeUnknownError(
        f"position {position} is in the journal and could not be applied ({described(error)}); "
        "start the process anew"
    )
    failure.__cause__ = error
    return failure
