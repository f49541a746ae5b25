"""Reading a journal, wherever it is kept, and checking it as it is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from nonzero_service.journal.chain import Base, JournalRow, Tip, check_kind
from nonzero_service.journal.errors import JournalDamagedError
from nonzero_service.journal.keys import KeyRecord, decode_records, keys_digest_of
from nonzero_service.journal.moment import Moment

_CHUNK: Final = 8 * 2**20
"""Bytes read in one read transaction: a longer one would keep the WAL from being reset."""

_KEYS: Final = 4096
"""Key records read in one read transaction."""


class JournalRows(ABC):
    """What a journal holds, to be asked for by any thread.

    No moment of the journal is held for longer than it takes to read 8 MB, so that the writer can reset its
    WAL.
    """

    directory: Path
    """The model's."""
    place: str
    """Where it is kept, as messages say it."""
    restore: str
    """What a person does where it has lost something: a part of a sentence."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Moment]:
        """One short moment, in which everything is of one time."""

    def _reading_on(self) -> AbstractContextManager[Moment]:
        """One short moment in which is seen what comes after the end that is known."""
        return self._reading()

    def _glancing(self) -> AbstractContextManager[Moment]:
        """The same, to ask one thing of."""
        return self._reading_on()

    def check_end(self) -> None:  # noqa: B027 - not every journal has something beside it
        """Refuse a journal that has lost its end, as far as something beside it tells.

        Raises
        ------
        JournalTooShortError, JournalDamagedError
            It names both positions.
        """

    @property
    def base(self) -> Base:
        """What stands before the first row held."""
        with self._reading() as moment:
            return moment.base

    @property
    def tip(self) -> Tip:
        """Where the journal ends."""
        with self._reading() as moment:
            return moment.tip

    def digest_at(self, position: int) -> bytes:
        """Return the chain's digest at `position`, 16 bytes; at 0 it is the journal's name.

        Raises
        ------
        PrunedError, JournalTooShortError
            Where the journal no longer, or not yet, holds it.
        """
        with self._reading() as moment:
            return moment.digest(position)

    def read(self, start: int | None = None) -> Iterator[JournalRow]:
        """Yield rows in order, each checked against the chain, in bounded memory.

        Parameters
        ----------
        start
            The first position; the first that is held where it is None. One past the end yields nothing.

        Yields
        ------
        JournalRow
            Up to the end, as it is when it is reached.

        Raises
        ------
        PrunedError
            Where `start` is no longer held, or was pruned while it was read.
        JournalTooShortError
            Where `start` is more than one past the end.
        JournalDamagedError
            At the first row that is not what was written; it names its position.
        UnknownKindError
            At the first row of a kind or version that this release does not know.
        """
        if start is None:
            with self._reading() as moment:
                position, before = moment.base.position, moment.base.digest
        else:
            position, before = start - 1, self.digest_at(start - 1)
        while True:
            with self._reading() as moment:
                rows = moment.rows(position, _CHUNK)
                if not rows or rows[0].position != position + 1:
                    moment.digest(position)  # it may have been pruned since
            if not rows:
                return
            for row in rows:
                self._check(row, position, before)
                position, before = row.position, row.digest
                yield row

    def read_on(self, position: int, digest: bytes, size: int = _CHUNK) -> list[JournalRow]:
        """Return the rows after one that was read before, as many as fill so many bytes; there may be none.

        Parameters
        ----------
        position, digest
            The place of the row that was read, and its digest: the chain is checked from there on.
        size
            So many bytes of bodies, and one row at least.

        Raises
        ------
        PrunedError, JournalTooShortError, JournalDamagedError, UnknownKindError
            As for :meth:`read`; also where that row is none of this chain.
        """
        with self._glancing() as moment:
            rows = moment.rows(position, size)
        if rows and rows[0].position != position + 1:
            with self._reading_on() as moment:
                moment.digest(position)  # it may have been pruned since
        for row in rows:
            self._check(row, position, digest)
            position, digest = row.position, row.digest
        return rows

    def read_of(
        self, kinds: Sequence[str], damaged: Callable[[JournalDamagedError], object], after: int = 0
    ) -> Iterator[JournalRow]:
        """Yield the rows of some kinds in order, each checked against the row before it.

        The bodies of other rows are not read, so nothing is said of these.

        Parameters
        ----------
        kinds
            Which.
        damaged
            Told of a row that is not what was written, which is passed over; it may raise the error.
        after
            A position up to which none is wanted.

        Raises
        ------
        UnknownKindError
            At the first row of a version that this release does not know.
        """
        position = after
        while True:
            with self._reading() as moment:
                rows = moment.rows(position, _CHUNK, kinds)
                before = moment.digests([row.position - 1 for row in rows])
                whole = [row for row in rows if self._is_whole(moment, row, before, damaged)]
            if not rows:
                return
            yield from whole
            position = rows[-1].position

    def read_part(self, position: int, offset: int, size: int) -> bytes:
        """Return a part of a row's body, unchecked: from an offset on, so many bytes at most.

        Raises
        ------
        JournalError
            Where the row is not held, or cannot be read.
        """
        with self._reading() as moment:
            part = moment.part(position, offset, size)
            if part is None:
                # It is not held: these say so. The last one pruned has a digest still.
                moment.digest(position)
                moment.digest(position - 1)
                raise JournalDamagedError(f"{self.place}: position {position} is missing; {self.restore}")
        return part

    def last_of(self, *kinds: str) -> JournalRow | None:
        """Return the last row of some kinds; None where none is held.

        Raises
        ------
        JournalDamagedError
            Where it is not what was written.
        """
        with self._reading() as moment:
            position = moment.last_of(kinds)
        return None if position is None else next(self.read(position))

    def read_keys(self) -> Iterator[tuple[int, int, list[KeyRecord]]]:
        """Yield (position, time in ms, records) of all idempotency keys held, their chain checked.

        Raises
        ------
        JournalDamagedError
            Where records are missing, or are not what was written.
        """
        return self._read_keys(-1, b"")

    def _read_keys(self, position: int, before: bytes) -> Iterator[tuple[int, int, list[KeyRecord]]]:
        """Yield the records after a position, behind which their chain has a digest."""
        while True:
            with self._reading() as moment:
                base = moment.base
                if base.keys_position > position:  # the start, or they expired while we read
                    position, before = base.keys_position, base.keys_digest
                chunk = moment.keys(position, _KEYS)
                newest = moment.tip.keys_digest
            if not chunk:
                if newest != before:
                    raise self._keys_damaged(position)
                return
            for place, time_ms, records, digest in chunk:
                if keys_digest_of(before, place, time_ms, records) != digest:
                    raise self._keys_damaged(place)
                try:
                    yield place, time_ms, decode_records(records)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise self._keys_damaged(place) from error
                position, before = place, digest

    def find_key(self, key: str, position: int) -> tuple[int, KeyRecord] | None:
        """Return (time in ms, record) of `key` among the records that came with the row at `position`."""
        with self._reading() as moment:
            found = moment.keys_at(position)
        if found is None:
            return None
        for record in reversed(decode_records(found.records)):
            if record.key == key:
                return found.time_ms, record
        return None

    def _is_whole(
        self,
        moment: Moment,
        row: JournalRow,
        digests: Mapping[int, bytes],
        damaged: Callable[[JournalDamagedError], object],
    ) -> bool:
        """Whether a row is the one that follows the one before it; `damaged` is told where not."""
        position = row.position - 1
        try:
            self._check(row, position, digests.get(position) or moment.digest(position))
        except JournalDamagedError as error:
            damaged(error)
            return False
        return True

    def _check(self, row: JournalRow, position: int, before: bytes) -> None:
        """Refuse a row that is not the one that follows `position`."""
        if row.position != position + 1:
            raise JournalDamagedError(
                f"{self.place}: position {position + 1} is missing, after {position} comes {row.position}; "
                f"{self.restore}"
            )
        digest = row.digest_after(before)
        if digest != row.digest:
            raise JournalDamagedError(
                f"{self.place}: the row at position {row.position} is not what was written: its digest is "
                f"{row.digest.hex()}, and of what is there {digest.hex()}; "
                f"{self.restore}"
            )
        check_kind(row.kind, row.version, row.position)

    def _keys_damaged(self, position: int) -> JournalDamagedError:
        return JournalDamagedError(
            f"{self.place}: the idempotency keys recorded at or after position {position} are not what was "
            f"written, so that a repeated request could be learned from twice; "
            f"{self.restore}"
        )
