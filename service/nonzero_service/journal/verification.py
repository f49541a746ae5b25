"""Whether a journal is whole: held against its mark, and walked over from its first row to its last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nonzero_service.journal.errors import JournalDamagedError, JournalTooShortError, PrunedError
from nonzero_service.journal.mark import Mark, read_mark
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
            f"{reader.path} ends at position {last}, but {known_by} knows of position {reached}: the rows "
            f"from {last + 1} to {reached} are lost; restore the directory from a backup "
            f"(journal.sqlite-wal belongs to it), or, to go on without them, delete {known_by}"
        )


def check_mark(reader: JournalRows, mark: Mark | None) -> None:
    """Refuse a journal that is not the one of its mark, or has lost its end.

    Parameters
    ----------
    reader
        The journal.
    mark
        Read before this, so that a writer beside us is not taken for a loss.

    Raises
    ------
    JournalTooShortError, JournalDamagedError
        It names both positions.
    """
    if mark is None:
        return
    check_reached(reader, mark.position, f"the mark {reader.directory / 'mark'}")
    try:
        found = reader.digest_at(mark.position)
    except PrunedError:  # the rows around a mark that lags are gone: nothing is left to compare it with
        return
    if found != mark.digest:
        raise JournalDamagedError(
            f"{reader.path} and the mark beside it are of different histories: at position {mark.position} "
            f"the digests are {found.hex()} and {mark.digest.hex()}; restore the directory from a backup"
        )


def verify_journal(reader: JournalRows, progress: Callable[[int, int], object] | None = None) -> Verified:
    """Walk over everything: the mark, every row, every key; safe beside the writer.

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
    check_mark(reader, read_mark(reader.directory / "mark"))
    base, tip = reader.base, reader.tip
    last, sequence, digest = base.position, base.sequence, base.digest
    for row in reader.read(base.position + 1):
        last, sequence, digest = row.position, row.next_sequence, row.digest
        if progress is not None:
            progress(last, max(last, tip.position))
    keys = sum(len(records) for _, _, records in reader.read_keys())
    return Verified(base.position + 1, last, sequence, keys, digest)
