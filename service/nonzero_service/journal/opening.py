"""What is checked before a journal is written to: a refusal changes nothing on disk."""

from __future__ import annotations

import logging
from pathlib import Path

from nonzero_service.journal.chain import Tip
from nonzero_service.journal.database import create
from nonzero_service.journal.errors import JournalTooShortError
from nonzero_service.journal.keys import KeyIndex
from nonzero_service.journal.mark import read_mark
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.verification import check_mark, check_reached

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
            reader.path,
            tip.position + 1,
            mark.position,
        )
    else:
        check_mark(reader, mark)
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
