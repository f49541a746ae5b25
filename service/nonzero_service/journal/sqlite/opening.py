"""What is checked before a journal is written to: a refusal changes nothing on disk."""

from __future__ import annotations

import logging
from pathlib import Path

from nonzero_service.journal.chain import Tip
from nonzero_service.journal.errors import JournalDamagedError, JournalTooShortError, PrunedError
from nonzero_service.journal.keys import KeyIndex
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.sqlite.database import create
from nonzero_service.journal.sqlite.mark import Mark, read_mark
from nonzero_service.journal.sqlite.moment import RESTORE
from nonzero_service.journal.verification import check_held, check_reached

_log = logging.getLogger(__name__)


def make_journal(path: Path, reached: int, sequence: int) -> None:
    """Make the journal file of a new model; refuse to replace one that was lost.

    Parameters
    ----------
    path
        The file; where it exists, nothing is done.
    reached
        The position of the newest snapshot, 0 where there is none.
    sequence
        The examples that the model has seen before its first row.

    Raises
    ------
    JournalTooShortError
        Where a mark, a snapshot or a WAL says that there was a journal.
    """
    if path.exists():
        return
    mark_path, wal = path.with_name("mark"), path.with_name(path.name + "-wal")
    mark = read_mark(mark_path)
    known = max(reached, 0 if mark is None else mark.position)
    if known or (wal.exists() and wal.stat().st_size):
        raise JournalTooShortError(
            f"{path} is gone and so ends at position 0, but its mark, a snapshot or its WAL is there and "
            f"knows of position {known}; restore the directory from a backup, or empty it to begin anew"
        )
    mark_path.unlink(missing_ok=True)  # at position 0, of a journal that never had a row
    create(path, sequence=sequence)


def check_journal(reader: JournalRows, mark_path: Path, reached: int, index: KeyIndex) -> Tip:
    """Refuse a journal that lost rows or keys; index its keys and return where it ends.

    Raises
    ------
    JournalTooShortError, JournalDamagedError
        They name the positions and the way out.
    """
    mark = read_mark(mark_path)
    tip = reader.tip
    if mark is not None and mark.may_be_ahead and tip.position < mark.position:
        _log.warning(
            "%s: positions %d to %d were lost by a restart of the machine, as durability=normal allows",
            reader.place,
            tip.position + 1,
            mark.position,
        )
    else:
        check_mark(reader, mark)
    return check_held(reader, reached, index)


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
            f"{reader.place} and the mark beside it are of different histories: at position {mark.position} "
            f"the digests are {found.hex()} and {mark.digest.hex()}; {RESTORE}"
        )
