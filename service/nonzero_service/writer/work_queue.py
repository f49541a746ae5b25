"""The work that waits for the committer, and the groups in which it is taken."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from nonzero_service.writer.micro_batch import MicroBatch
from nonzero_service.writer.work import CommittedGroup, Impress, Rows, Work

GROUP_BYTES: Final = 1 << 20
"""A group is all that is queued, up to this: whoever is in it waits for the whole of it."""

BESIDE_BYTES: Final = GROUP_BYTES // 2
"""A group of pieces of streams is so large where single examples come beside them."""

BESIDE: Final = 8
"""So many groups after one with single examples, more of them are to be expected."""

GATHERED_BYTES: Final = 2 * GROUP_BYTES
"""So much of predictions that nobody waits for is a group, where nothing else waits: each is a sync."""

PATIENCE: Final = 0.04
"""For so many seconds predictions that nobody waits for gather others, before they are committed."""

_APPLIED: Final = object()


class WorkQueue:
    """Gives work back group by group, in the order in which it was put in.

    Single examples alone may be taken before pieces of streams that were put in earlier: nobody can tell, and
    they need not wait for a bulk update. Where both wait, every second group is of single examples only: it
    is durable, and learned from, in a part of the time. While single examples keep coming, groups of pieces
    are smaller, and one is not taken before the one before is applied: a single example, which cannot be
    applied before what is durable already, then waits for one of them at most.

    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Work | object | None] = queue.SimpleQueue()
        self._waiting: deque[Work | None] = deque()
        self._had_pieces = False  # whether the last group held more than single examples
        self._since_single = BESIDE  # groups since the last one that held any
        self._unapplied = 0  # groups that held more, and are not applied yet
        self.ripe = False
        """Set when predictions that nobody waits for have gathered others for long enough."""
        self.ended = False
        """Whether all that was put in before the end has been given back."""

    def put(self, work: Work | None) -> None:
        """Queue work, from any thread; None is the end."""
        self._queue.put(work)

    @property
    def beside_singles(self) -> bool:
        """Whether single examples are to be expected beside pieces of streams; asked by any thread."""
        return self._since_single < BESIDE

    def committed(self, group: CommittedGroup) -> None:
        """Take note that a group will be applied; on the committer."""
        self._unapplied += _learns_pieces(group)

    def applied(self, group: CommittedGroup) -> None:
        """Take note that a group has been applied; on the applier."""
        if _learns_pieces(group):
            self._queue.put(_APPLIED)

    def next(self) -> list[Work]:
        """Return what is to be done next: a group of examples, or one other work.

        Nothing where nothing waits, where it is to gather more, or where what was committed is to be applied
        before; and at the end.
        """
        waiting = self._waiting
        self._receive()
        beside, gathered = self.beside_singles, self._only_predictions_wait()
        if not waiting or (gathered and not self._are_ripe()):
            return []
        if beside and self._unapplied and self._only_pieces_wait():
            return []
        if waiting[0] is None:
            self.ended = True
            return []
        self.ripe = False
        most = BESIDE_BYTES if beside else GATHERED_BYTES if gathered else GROUP_BYTES
        works: list[Work] = []
        left: list[Work | None] = []
        size = most if self._had_pieces and self._single_waits() else 0
        passable = True  # a single example may be the label of a prediction: it must not pass that
        while waiting and (work := waiting[0]) is not None and isinstance(work.what, Rows):
            waiting.popleft()
            if size < most or (passable and isinstance(work, MicroBatch)):
                works.append(work)
                size += work.nbytes
            else:
                left.append(work)
                passable &= not isinstance(work.what, Impress)
        waiting.extendleft(reversed(left))
        self._had_pieces = _has_pieces(works)
        has_singles = any(isinstance(work, MicroBatch) for work in works)
        self._since_single = 0 if has_singles else min(self._since_single + 1, BESIDE)
        if not works and waiting[0] is not None:
            works.append(waiting[0])
            waiting.popleft()
        return works

    def rest(self) -> Iterator[Work]:
        """Yield all that waits, to be refused."""
        self._receive()
        while self._waiting and (work := self._waiting[0]) is not None:
            yield work
            self._waiting.popleft()
        self.ended = bool(self._waiting)

    def _receive(self) -> None:
        """Take what has been queued."""
        while not self._queue.empty():
            item = self._queue.get()
            if item is _APPLIED:
                self._unapplied -= 1
            else:
                assert item is None or isinstance(item, Work)  # noqa: S101 - there is nothing else
                self._waiting.append(item)

    def _only_predictions_wait(self) -> bool:
        """Whether all that waits are predictions that nobody waits for."""
        return all(
            work is not None and isinstance(work.what, Impress) and not work.what.waits
            for work in self._waiting
        )

    def _are_ripe(self) -> bool:
        """Whether predictions that nobody waits for have gathered for long enough: each commit is a sync."""
        return self.ripe or sum(work.nbytes for work in self._waiting if work is not None) >= GATHERED_BYTES

    def _only_pieces_wait(self) -> bool:
        """Whether what is to be done next is a group without single examples."""
        work = self._waiting[0]
        return work is not None and isinstance(work.what, Rows) and not self._single_waits()

    def _single_waits(self) -> bool:
        """Whether single examples are among what may be in the next group."""
        for work in self._waiting:
            if work is None or not isinstance(work.what, Rows):
                return False
            if isinstance(work, MicroBatch):
                return True
        return False


def _has_pieces(works: Sequence[Work]) -> bool:
    """Whether a group holds more than single examples."""
    return any(not isinstance(work, MicroBatch) for work in works)


def _learns_pieces(group: CommittedGroup) -> bool:
    """Whether a group is one that the applier is waited for: what is counted is counted off again."""
    return group.batches is not None and _has_pieces(group.works)
