"""Whether a journal is whole: as far as a start looks, and walked over from its first row to its last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nonzero_service.journal.chain import Tip
from nonzero_service.journal.errors import JournalTooShortError
from nonzero_service.journal.keys import KeyIndex
from nonzero_service.journal.reader import JournalRows


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk over the whole journal found, with every digest checked.

    Parameters
    ----------
    first, last
        The first and the last position held; ``first > last`` where there are no rows.
    sequence
        The examples up to and with the last row.
    keys
        The records of idempotency keys.
    digest
        The chain's last digest.
    """

    first: int
    last: int
    sequence: int
    keys: int
    digest: bytes


def check_reached(reader: JournalRows, reached: int, known_by: str) -> None:
    """Refuse a journal that ends before a position that is known to have been reached.

    Raises
    ------
    JournalTooShortError
        It names both positions, and who knows: `known_by`.
    """
    last = reader.tip.position
    if last < reached:
        raise JournalTooShortError(
            f"{reader.place} ends at position {last}, but {known_by} knows of position {reached}: the rows "
            f"from {last + 1} to {reached} are lost; {reader.restore}, or, to go on without them, delete "
            f"{known_by}"
        )


def check_held(reader: JournalRows, reached: int, index: KeyIndex) -> Tip:
    """Refuse a journal that lost its end, or keys; index its keys and return where it ends.

    Parameters
    ----------
    reader
        The journal.
    reached
        The position of the newest snapshot, 0 where there is none.
    index
        Of its keys: empty, to be filled.

    Raises
    ------
    JournalTooShortError, JournalDamagedError
        They name the positions and the way out.
    """
    tip = reader.tip
    check_reached(reader, reached, "the newest snapshot")
    if tip.position > reader.base.position:
        for _ in reader.read(tip.position):  # the row on which the next one is built
            pass
    latest = before = 0
    for position, time_ms, records in reader.read_keys():
        if time_ms < latest:
            index.set_back = (before, time_ms)
        latest, before = time_ms, position
        for record in records:
            index.add(record.key, position)
    if latest > tip.time_ms:
        index.set_back = (before, tip.time_ms)
    return tip


def verify_journal(reader: JournalRows, progress: Callable[[int, int], object] | None = None) -> Verified:
    """Walk over everything: its end, every row, every key; safe beside the writer.

    Parameters
    ----------
    reader
        The journal.
    progress
        Called with the position reached and the last one, row by row.

    Raises
    ------
    JournalError
        The first thing that is wrong.
    """
    reader.check_end()
    base, tip = reader.base, reader.tip
    last, sequence, digest = base.position, base.sequence, base.digest
    for row in reader.read(base.position + 1):
        last, sequence, digest = row.position, row.next_sequence, row.digest
        if progress is not None:
            progress(last, max(last, tip.position))
    keys = sum(len(records) for _, _, records in reader.read_keys())
    return Verified(base.position + 1, last, sequence, keys, digest)
