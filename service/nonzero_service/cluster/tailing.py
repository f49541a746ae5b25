"""Tailing: one thread looks where the journals of all models end, and brings what has come to who follows.

A database that stands by tells nobody of what comes, so it is asked. Fifty times a second it says whether
anything has changed at all; only where it has, it says where the journals end. What is read is checked by the
chain, from the last row that was read on: a database that has lost rows, or has others in their place, shows.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from nonzero_service.incidental import incidentally
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.ends import JournalEnds
from nonzero_service.journal.errors import (
    JournalClosedError,
    JournalDamagedError,
    JournalDivergedError,
    JournalTooShortError,
    JournalUnreachableError,
    PrunedError,
    UnknownKindError,
)
from nonzero_service.logs import failure
from nonzero_service.models.replica import ReplicaState
from nonzero_service.writer.tail_applier import TailApplier

LOOK_SECONDS: Final = 0.02
"""So often is looked whether something has come."""

SHARE: Final = 0.1
"""Of the time the database spends so much on saying where journals end, at most: of a thousand models that
takes some milliseconds, where anything has changed."""

LOOKS: Final = 8
"""The quickest of so many such answers says how long one takes: the others waited for something else."""

LATER_SECONDS: Final = 0.25
"""So long after a look that failed is looked again."""

LAST_SECONDS: Final = 1.0
"""So long is waited for the thread at the end."""

SAY_SECONDS: Final = 30.0
"""So often it is said that looks fail."""

CHUNK: Final = 4 << 20
"""So many bytes of one model's rows are read before others have their turn."""


DOUBT_SECONDS: Final = 1.0
LONGEST_DOUBT: Final = 30.0
"""So long a database that stands by may show less of a model than was read of it before the primary is asked,
and then as long again at most."""

GONE: Final = (
    PrunedError,
    JournalDamagedError,
    JournalDivergedError,
    JournalTooShortError,
    UnknownKindError,
)
"""What says that a model cannot go on from where it is."""


class Ends(Protocol):
    """Says where journals end."""

    def look(self, *, anyway: bool) -> JournalEnds | None:
        """Return where all journals end; None where nothing has changed since it was asked before.

        Parameters
        ----------
        anyway
            Whether to say so in any case.

        Raises
        ------
        JournalUnreachableError
            Where nobody says.
        """


class ReadsOn(Protocol):
    """Reads the rows of one model."""

    def check_end(self) -> None:
        """Refuse to go on from rows that the primary does not have."""

    def read_on(self, position: int, digest: bytes, size: int) -> list[JournalRow]:
        """Return the rows after a position at which the chain has a digest, as many as fill so many bytes."""


class _Tailed:
    """A model that follows, and how far it was read."""

    def __init__(
        self,
        applier: TailApplier,
        journal: ReadsOn,
        replica: ReplicaState,
        lost: Callable[[Exception], object],
    ) -> None:
        self.applier = applier
        self.journal = journal
        self.replica = replica
        self.lost: Callable[[Exception], object] | None = lost
        self.digest = applier.digest
        self.ask_at = 0.0
        """When the primary is asked, where what stands by shows less than was read."""
        self.ask_after = DOUBT_SECONDS


class Tail:
    """Brings what is written to those who follow. All but the looking is done on any thread.

    Parameters
    ----------
    ends
        Says where journals end.
    listed
        Called, on the thread that looks, where there are other models than before.
    """

    def __init__(self, ends: Ends, listed: Callable[[], object]) -> None:
        self._ends = ends
        self._listed = listed
        self._lock = threading.Lock()  # who is removed is told nothing more
        self._followed: dict[int, _Tailed] = {}
        self._behind: set[int] = set()
        self._doubted: set[int] = set()  # of which less is shown than was read
        self._known: frozenset[int] = frozenset()
        self._anyway = True
        self._stopped = threading.Event()
        self._resting = False
        self._thread: threading.Thread | None = None
        self._said: float | None = None
        self._took: deque[float] = deque(maxlen=LOOKS)
        self._pause = 0.0  # before the next look
        self.as_of = time.monotonic()
        """When it was asked last, with an answer, by the machine's steady clock."""
        self._log = structlog.get_logger("cluster")

    def begin(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._look_on, name="tail", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; a second call does nothing."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(LAST_SECONDS)  # it may wait for a database that does not answer

    def rest(self) -> None:
        """Look no more until it is woken; what is under way may go on a little."""
        self._resting = True

    def wake(self) -> None:
        """Look again."""
        self._resting, self._anyway = False, True

    def follow(
        self,
        model: int,
        applier: TailApplier,
        journal: ReadsOn,
        replica: ReplicaState,
        lost: Callable[[Exception], object],
    ) -> None:
        """Bring what is written of a model.

        Parameters
        ----------
        model
            Its number.
        applier
            What folds it, from where it is on.
        journal
            Reads its rows.
        replica
            Is told where the journal ends.
        lost
            Called once, where the journal is not that of what was folded: it is to be loaded again.
        """
        with self._lock:
            self._followed[model] = _Tailed(applier, journal, replica, lost)
            self._anyway = True

    def leave(self, model: int) -> None:
        """Bring nothing more of a model from now on."""
        with self._lock:
            self._followed.pop(model, None)
            self._behind.discard(model)
            self._doubted.discard(model)

    def look(self) -> None:
        """Look once, and bring what has come."""
        asked = time.monotonic()
        anyway, self._anyway = self._anyway, False
        try:
            found = self._ends.look(anyway=anyway)
        except BaseException:
            self._anyway = True
            raise
        self._pause = 0.0
        if found is not None:
            self._took.append(time.monotonic() - asked)
            self._pause = min(self._took) * (1 / SHARE - 1)
            self._take(found, asked)
        self.as_of = asked
        for model in sorted(self._behind):
            self._bring(model)
        for model in sorted(self._doubted):
            self._make_sure(model, asked)

    def _take(self, found: JournalEnds, asked: float) -> None:
        """Take note where journals end."""
        for model, end in found.ends.items():
            with self._lock:
                one = self._followed.get(model)
                if one is None:
                    continue
                one.replica.ended(end.position, end.sequence, asked)
                told = one.applier.told
                self._doubt(model, one, asked, shows_less=end.position < told)
                if end.position > told:
                    self._behind.add(model)
                elif (end.position < told and found.is_primary) or (
                    end.position == told and end.digest != one.digest
                ):
                    self._lose(
                        model,
                        JournalTooShortError(
                            f"the journal in the database ends at position {end.position} with the digest "
                            f"{end.digest.hex()}, and position {told} was read here with {one.digest.hex()}: "
                            "the database has lost rows; the model is loaded again"
                        ),
                    )
        listed = frozenset(found.ends)
        if listed != self._known:
            self._known = listed
            self._listed()

    def _doubt(self, model: int, one: _Tailed, now: float, *, shows_less: bool) -> None:
        """Take note whether less of a model is shown than was read: what stands by may be behind, for now."""
        if not shows_less:
            self._doubted.discard(model)
        elif model not in self._doubted:
            self._doubted.add(model)
            one.ask_after = DOUBT_SECONDS
            one.ask_at = now + one.ask_after

    def _make_sure(self, model: int, now: float) -> None:
        """Ask the primary whether it has what was read of a model, where what stands by does not show it."""
        one = self._followed.get(model)
        if one is None or one.lost is None:
            self._doubted.discard(model)
            return
        if now < one.ask_at:
            return
        one.ask_after = min(2 * one.ask_after, LONGEST_DOUBT)
        one.ask_at = now + one.ask_after
        try:
            one.journal.check_end()
        except GONE as error:
            with self._lock:
                if self._followed.get(model) is one:
                    self._lose(model, error)
        except (JournalClosedError, JournalUnreachableError):
            pass  # it is asked again

    def _bring(self, model: int) -> None:
        """Read what has come of a model, a chunk at a time, unless enough waits there already."""
        one = self._followed.get(model)
        if one is None or one.lost is None:
            self._behind.discard(model)
            return
        if one.applier.is_full:
            return
        rows: list[JournalRow] = []
        gone: Exception | None = None
        try:
            rows = one.journal.read_on(one.applier.told, one.digest, CHUNK)
        except GONE as error:
            gone = error
        except JournalClosedError:
            pass
        with self._lock:
            if self._followed.get(model) is not one:  # it was left meanwhile
                return
            if gone is not None:
                self._lose(model, gone)
                return
            if sum(len(row.body) for row in rows) < CHUNK:
                self._behind.discard(model)
            if rows:
                one.digest = rows[-1].digest
                one.applier.put_rows(rows)
            else:  # what said that there is more was another that stands by, and further
                self._anyway = True

    def _lose(self, model: int, error: Exception) -> None:
        one = self._followed[model]
        lost, one.lost = one.lost, None
        self._behind.discard(model)
        self._doubted.discard(model)
        if lost is not None:
            incidentally(lost, error)

    def _look_on(self) -> None:
        while not self._stopped.is_set():
            begun = time.monotonic()
            try:
                if not self._resting:
                    self.look()
                self._say_found()
                wait = max(LOOK_SECONDS, self._pause) - (time.monotonic() - begun)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look is the next try
                incidentally(self._say_failed, error)
                wait = LATER_SECONDS
            if wait > 0:
                self._stopped.wait(wait)

    def _say_failed(self, error: Exception) -> None:
        now = time.monotonic()
        if self._said is not None and now - self._said < SAY_SECONDS:
            return
        self._said = now
        self._log.error("the journal cannot be followed", **failure(error))

    def _say_found(self) -> None:
        if self._said is not None:
            self._said = None
            self._log.warning("the journal is followed again")
