"""A moment of a journal: what it held at one time, as its reader asks for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from nonzero_service.journal.chain import Base, JournalRow, Tip
from nonzero_service.journal.errors import JournalDamagedError, JournalTooShortError, PrunedError


class HeldKeys(NamedTuple):
    """The records of idempotency keys that came with one row."""

    position: int
    """The row's."""
    time_ms: int
    """Its time."""
    records: bytes
    """As :func:`~nonzero_service.journal.keys.encode_records` made them."""
    digest: bytes
    """The keys' chain's, 16 bytes."""


class Moment(ABC):
    """One short moment, in which everything is of one time; there is a kind for each place of journals.

    Parameters
    ----------
    restore
        What a person does where it has lost something: a part of a sentence.
    """

    def __init__(self, restore: str) -> None:
        self.restore = restore

    @property
    @abstractmethod
    def base(self) -> Base:
        """What stands before the first row held.

        Raises
        ------
        JournalDamagedError
            Where it is not what was written.
        """

    @abstractmethod
    def last_row(self) -> Tip | None:
        """Return where the last row that is held ends the journal; None where none is held."""

    @abstractmethod
    def held_digest(self, position: int) -> bytes | None:
        """Return the digest of the row at a position, 16 bytes; None where it is not held."""

    def digests(self, positions: Sequence[int]) -> dict[int, bytes]:
        """Return the digests of the rows at some positions: of those that are held."""
        found = ((position, self.held_digest(position)) for position in positions)
        return {position: digest for position, digest in found if digest is not None}

    @abstractmethod
    def rows(self, after: int, size: int, kinds: Sequence[str] = ()) -> list[JournalRow]:
        """Return the rows after a position, as many as fill `size` bytes (one at least, where there is one).

        Of some kinds, where those are named. The bodies of the others are not read then.
        """

    @abstractmethod
    def last_of(self, kinds: Sequence[str]) -> int | None:
        """Return the position of the last row of some kinds; None where none is held."""

    @abstractmethod
    def part(self, position: int, offset: int, size: int) -> bytes | None:
        """Return a part of a row's body; None where the row is not held."""

    @abstractmethod
    def keys(self, after: int, most: int) -> list[HeldKeys]:
        """Return the records of keys after a position, of so many rows at most."""

    @abstractmethod
    def keys_at(self, position: int) -> HeldKeys | None:
        """Return the records of keys that came with the row at a position; None where there are none."""

    @property
    def tip(self) -> Tip:
        """Where the journal ends."""
        last = self.last_row()
        if last is not None:
            return last
        base = self.base
        return Tip(base.position, base.sequence, base.time_ms, base.digest, base.keys_digest)

    def digest(self, position: int) -> bytes:
        """Return the chain's digest at `position`, 16 bytes.

        Raises
        ------
        PrunedError, JournalTooShortError, JournalDamagedError
            Where it is no longer held, is not held yet, or should be held and is not.
        """
        base = self.base
        if position == base.position:
            return base.digest
        if position < base.position:
            raise PrunedError(
                f"position {position} is no longer held: the rows before {base.position + 1} were pruned "
                "behind a snapshot",
                base.position + 1,
            )
        found = self.held_digest(position)
        if found is not None:
            return found
        last = self.tip.position
        if position > last:
            raise JournalTooShortError(
                f"the journal ends at position {last}, before position {position}; the snapshot or program "
                f"that asks for it has seen rows that this journal does not have: {self.restore}"
            )
        raise JournalDamagedError(f"position {position} is missing; {self.restore}")
