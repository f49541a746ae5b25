"""The journal in PostgreSQL: one node of a cluster writes it, under a term, and the others follow it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg

from nonzero_service.journal.chain import MAX_BODY, JournalEntry, JournalRow, Tip, chain_entries
from nonzero_service.journal.clock import Clock
from nonzero_service.journal.errors import (
    NOTHING_WRITTEN,
    JournalClosedError,
    JournalDivergedError,
    JournalError,
    JournalFailedError,
    JournalReadOnlyError,
    StorageError,
)
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.keys import KeyIndex
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.moment import RESTORE, WHOLE, PostgresMoment, one_moment, one_question
from nonzero_service.journal.postgres.writing import JournalWriter
from nonzero_service.journal.verification import check_held

_T = TypeVar("_T")

MOST_BYTES: Final = MAX_BODY + 2**26
"""The bodies of one append take no more: the server holds them in memory several times."""

_BREATH: Final = 0.001
"""Seconds between two steps of pruning, in which an append that waits gets its turn."""


class PostgresJournal(Journal):
    """The journal of one model of a cluster.

    With a `term` it is written to, for as long as that is the database's. What :meth:`append` returned from
    is as durable as the database makes it (``synchronous_commit``, and its standbys). It never cancels what
    it asked for. Where it does not hear what became of it, it says so, and takes no more rows: whoever goes
    on opens it anew, under another term.

    Without a term it is followed: read on a standby, where there is one, and it ends where :meth:`advance`
    has brought it. What it says is of one piece with the model that follows it, whatever has been written
    since; that is had by :meth:`read_on`.

    Parameters
    ----------
    database
        The cluster's.
    model
        The model's number.
    directory
        The model's, on this node; nothing is written there.
    term
        Under which it is written to; None to follow.
    reached
        A position that the journal must hold: that of the newest snapshot there, or of the model in hand.
        Where it is followed, it ends there at least, also where a standby is not so far yet.

    Raises
    ------
    JournalUnreachableError
        Where the database cannot be reached.
    JournalTooShortError
        Where the journal ends before `reached`; it names both positions and the way out.
    JournalDamagedError
        Where its last row, or its keys, are not what was written.
    """

    is_shared = True

    def __init__(
        self, database: Database, model: int, directory: Path, *, term: int | None, reached: int = 0
    ) -> None:
        self.directory = directory
        self.model = model
        """The model's number."""
        self.term = term
        """Under which it is written to; None where it is followed."""
        self.place = f"the journal of {directory.name} (model {model}) in {database.place}"
        self.restore = RESTORE
        self._database = database
        self._writer = None if term is None else JournalWriter(database, model, term, self.place)
        self._writing = threading.Lock()
        self._failure: StorageError | None = None
        self._closed = False
        self._is_known = False  # where it ends
        self._index = KeyIndex()
        self._at_primary = term is not None or self._is_behind(reached)
        self._tip = self._indexed = self.tip
        self._is_known = True
        check_held(self, reached, self._index)
        self._at_primary = term is not None
        self.clock = Clock(self._tip.time_ms)
        with self._reading() as moment:
            self._nbytes = moment.nbytes()

    # -- writing ---------------------------------------------------------------------------------------

    def append(self, entries: Sequence[JournalEntry]) -> int:
        """Write rows, and what is known of their keys, in one transaction; return the last row's position."""
        nbytes = sum(len(entry.body) for entry in entries)
        if nbytes > MOST_BYTES:
            raise ValueError(f"{nbytes} bytes are too many for one append, which takes {MOST_BYTES}")
        with self._writing:
            writer, before = self._check_writable(), self._tip
            tip, rows, keys = chain_entries(entries, before, self.clock.now_ms())
            self._write(lambda: writer.append(before, rows, keys))
            self._tip = self._indexed = tip
            self._nbytes += nbytes
            self._note(entries, before, tip)
            return tip.position

    def confirm(self) -> None:
        """Return where the term is still the database's: see :meth:`Journal.confirm`."""
        with self._writing:
            self._write(self._check_writable().confirm)

    def truncate(self, before: int) -> int:
        """Drop the rows before a position, in small steps between which appends go on; return how many."""
        total = 0
        while True:
            with self._writing:
                writer, last = self._check_writable(), self._tip.position
                dropped, nbytes = self._write(lambda: writer.truncate(min(before, last)))  # noqa: B023 - now
                self._nbytes = max(self._nbytes - nbytes, 0)
            if not dropped:
                return total
            total += dropped
            time.sleep(_BREATH)

    def expire_keys(self) -> int:
        """Drop the records of expired keys, in small steps; return how many rows' records were dropped."""
        total = 0
        while True:
            with self._writing:
                writer = self._check_writable()
                if not len(self._index):
                    return total
                expired = self._expired()
                dropped, last = self._write(lambda: writer.expire(*expired))  # noqa: B023 - now
                self._index.forget(last)
            if not dropped:
                return total
            total += dropped
            time.sleep(_BREATH)

    # -- following -------------------------------------------------------------------------------------

    def advance(self, row: JournalRow) -> None:
        """Go on behind a row that another node has written and that was read here: it is the last one now.

        Raises
        ------
        JournalError
            Where rows are written here, or the row does not follow the last one.
        """
        if self.term is not None:
            super().advance(row)
        with self._writing:
            before = self._tip
            if row.position != before.position + 1:
                raise JournalError(
                    f"{self.place} ends at position {before.position}: position {row.position} does not "
                    "follow"
                )
            self._tip = Tip(row.position, row.next_sequence, row.time_ms, row.digest, row.keys_digest)
            self._nbytes += len(row.body)
            if row.kind == "clock":
                self._set_clock(before, self._tip)

    def check_end(self) -> None:
        """Refuse to go on from rows that the primary does not have: a failover of the database has lost them.

        Raises
        ------
        JournalDivergedError
            Where it has others, or ends before.
        JournalUnreachableError
            Where it cannot be asked.
        """
        with self._moment(self._database.primary()) as moment:
            if not self._is_held(moment):
                raise self._diverged(moment)

    # -- asking ----------------------------------------------------------------------------------------

    @property
    def tip(self) -> Tip:
        """Where the journal ends: behind what was written here, or brought here."""
        return self._tip if self._is_known else super().tip

    @property
    def nbytes(self) -> int:
        """The bytes of the bodies of the rows: of many, nearly.

        What others have pruned since it was opened is among them.
        """
        return self._nbytes

    def digest_at(self, position: int) -> bytes:
        """Return the chain's digest at `position`, 16 bytes; that of the end without a question.

        Raises
        ------
        PrunedError, JournalTooShortError
            Where the journal no longer, or not yet, holds it.
        """
        if self._is_known and self._tip.position == position:
            return self._tip.digest
        return super().digest_at(position)

    def close(self) -> None:
        """Close the journal; a second call does nothing. The database's connections stay."""
        self._closed = True

    # -- within ----------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[PostgresMoment]:
        self._check_open()
        until = self._tip.position if self._is_known and self.term is None else WHOLE
        with ExitStack() as stack:
            moment = stack.enter_context(self._moment(self._source(), until))
            if until != WHOLE and not self._is_held(moment):  # a standby that is behind
                stack.pop_all().close()
                moment = stack.enter_context(self._moment(self._database.primary(), until))
                if not self._is_held(moment):
                    raise self._diverged(moment)
            yield moment

    def _reading_on(self) -> AbstractContextManager[PostgresMoment]:
        self._check_open()
        return self._moment(self._source())

    @contextmanager
    def _glancing(self) -> Iterator[PostgresMoment]:
        self._check_open()
        with self._source() as connection, one_question(connection, self.model, self.place) as moment:
            yield moment

    def _source(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return self._database.primary() if self._at_primary else self._database.reading()

    @contextmanager
    def _moment(
        self, connecting: AbstractContextManager[psycopg.Connection[Any]], until: int = WHOLE
    ) -> Iterator[PostgresMoment]:
        with connecting as connection, one_moment(connection, self.model, self.place, until) as moment:
            yield moment

    def _is_held(self, moment: PostgresMoment) -> bool:
        """Whether a moment has the last row that is known here.

        Raises
        ------
        JournalDivergedError
            Where it has another one in its place.
        """
        tip = self._tip
        digest = moment.held_digest(tip.position)
        if digest is None:
            base = moment.base
            if base.position > tip.position:  # it was pruned: whoever reads from there on is told
                return True
            digest = base.digest if base.position == tip.position else None
        if digest is not None and digest != tip.digest:
            raise self._diverged(moment)
        return digest is not None

    def _diverged(self, moment: PostgresMoment) -> JournalDivergedError:
        tip, ends = self._tip, moment.tip.position
        found = f"ends at position {ends}" if ends < tip.position else "has another row there"
        return JournalDivergedError(
            f"{self.place} {found}, and position {tip.position} was read here with the digest "
            f"{tip.digest.hex()}: the database has lost rows; read the model anew"
        )

    def _is_behind(self, reached: int) -> bool:
        """Whether what is to be read from does not have a position yet that was reached."""
        if not reached:
            return False
        with self._moment(self._database.reading()) as moment:
            return moment.tip.position < reached

    def _index_on(self) -> None:
        self._check_open()
        if self.term is not None:
            return
        with self._writing:
            begun, ends = self._indexed, self._tip
            if begun.keys_digest == ends.keys_digest:
                return
            for position, _, records in self._read_keys(begun.position, begun.keys_digest):
                for record in records:
                    self._index.add(record.key, position)
            self._indexed = ends

    def _check_open(self) -> None:
        if self._closed:
            raise JournalClosedError(f"{self.place} has been closed")

    def _check_writable(self) -> JournalWriter:
        """Return what writes."""
        self._check_open()
        if self._writer is None:
            raise JournalReadOnlyError(f"{self.place} is followed by this node, and not written to")
        if self._failure is not None:
            raise JournalFailedError(
                f"{self.place} takes no more rows, because an earlier write failed ({self._failure}); open "
                "it anew"
            ) from self._failure
        return self._writer

    def _write(self, asks: Callable[[], _T]) -> _T:
        """Write. Where that fails, and not so that all goes on, nothing more is written."""
        try:
            return asks()
        except NOTHING_WRITTEN:
            raise
        except BaseException as error:
            self._failure = error if isinstance(error, StorageError) else JournalError(repr(error))
            raise
