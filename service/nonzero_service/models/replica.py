"""A model that follows: how far it is behind, and what is handed over where it changes its role."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from nonzero import LogisticRegression
from nonzero_service.history.history import History
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.names import FieldNames
from nonzero_service.models.slicing import Slices
from nonzero_service.writer.applier import Applier

KNOWN: Final = 64
"""So many ends that are not reached yet are remembered."""


class _EndSeen(NamedTuple):
    """Where the journal ended when it was asked."""

    position: int
    asked: float


class _End(NamedTuple):
    """Where the journal ended when it was asked last."""

    position: int
    sequence: int


class ReplicaState:
    """How far a model that follows is behind the node that writes. Asked by any thread.

    Times are of this machine's steady clock alone: no clock of another one is compared with it.

    Parameters
    ----------
    applier
        What folds the rows.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._lock = threading.Lock()
        self._seen: deque[_EndSeen] = deque()
        self._as_of = time.monotonic()
        self._end = _End(applier.position, applier.sequence)
        self.asked: Callable[[], float] = lambda: self._as_of
        """Returns when it was asked last where journals end: since :meth:`ended` was told nothing came."""

    def ended(self, position: int, sequence: int, asked: float) -> None:
        """Take note where the journal ended when it was asked; by whoever reads it."""
        with self._lock:
            self._settle()
            self._end = _End(position, sequence)
            if len(self._seen) < KNOWN:  # where there is no room the oldest say more
                self._seen.append(_EndSeen(position, asked))

    def rest(self) -> None:
        """Take note that nothing is brought any more: from now on it is behind, for all that is known."""
        as_of = self.current_as_of
        self.asked = lambda: as_of

    @property
    def position(self) -> int:
        """The last row that it has folded."""
        return self._applier.position

    @property
    def sequence(self) -> int:
        """The examples up to there."""
        return self._applier.sequence

    @property
    def lag_examples(self) -> int:
        """How many examples more the journal had when it was asked the last time."""
        return max(self._end.sequence - self._applier.sequence, 0)

    @property
    def lag_seconds(self) -> float:
        """How long ago it was known that nothing was in the journal that it has not folded."""
        return time.monotonic() - self.current_as_of

    @property
    def current_as_of(self) -> float:
        """When that was, by the machine's steady clock, in seconds."""
        with self._lock:
            self._settle()
            return self._as_of

    def _settle(self) -> None:
        position, seen = self._applier.position, self._seen
        while seen and seen[0].position <= position:
            self._as_of = max(self._as_of, seen.popleft().asked)
        if position >= self._end.position:
            self._as_of = max(self._as_of, self.asked())


@dataclass(eq=False)
class Folded:
    """A model as it is handed over to its next role: nothing of it is loaded again."""

    model: LogisticRegression
    """The fold of whole rows up to a position."""
    position: int
    digest: bytes
    """The chain's digest there: who takes it over looks whether the journal has the same."""
    held_since: int | None
    """Since when examples are held there."""
    history: History
    slices: Slices
    names: FieldNames
    fields: FieldWatch
    tail_bytes: int
    """The bytes of the rows after its newest snapshot."""
    tail_seconds: float
    """How old that is."""
    is_whole: bool = True
    """Whether the model is still what it was there: rows may have been applied to it since."""
