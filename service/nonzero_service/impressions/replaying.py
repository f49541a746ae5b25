"""Impressions as the journal's rows tell of them: at a start, and for whoever looks at a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nonzero_service.impressions.joined import References, decode_joined
from nonzero_service.impressions.rows import decode_row
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import BodyError, StorageError
from nonzero_service.journal.reader import JournalRows

KINDS: Final = ("impression", "joined", "label", "held", "resume")
"""The rows that tell of them."""


def replay_impressions(
    store: ImpressionStore,
    reader: JournalRows,
    discards: Callable[[JournalRow], bool],
    damaged: Callable[[StorageError], object],
) -> None:
    """Tell an empty store of what the rows say that a journal holds.

    Parameters
    ----------
    store
        The store.
    reader
        Reads the journal.
    discards
        Tells of a ``resume`` row whether it discards what was held.
    damaged
        Told of a row that is not what was written, which is passed over: those before the newest snapshot
        keep no model from being served.

    Raises
    ------
    UnknownKindError
        At the first row of a version that this release does not know.
    """
    end = reader.tip.position
    for row in reader.read_of(KINDS, damaged):
        if row.position > end:  # another process writes
            break
        try:
            replay_row(store, row, discards)
        except BodyError as error:
            damaged(error)


def replay_row(
    store: ImpressionStore, row: JournalRow, discards: Callable[[JournalRow], bool]
) -> References | None:
    """Tell a store of what the next row says.

    Parameters
    ----------
    store, discards
        As for :func:`replay_impressions`.
    row
        The row; of a kind that is none of :data:`KINDS` it says nothing.

    Returns
    -------
    References or None
        Which impressions the row tells of, where it tells what becomes of them.

    Raises
    ------
    BodyError
        Where it does not say what its kind says.
    """
    match row.kind:
        case "impression":
            store.enter_row(decode_row(row.body), row.position)
        case "joined" | "label" | "held":
            references = decode_joined(row.body)[1]
            store.seen(references)
            if row.kind == "held":
                store.hold(references)
            return references
        case "resume":
            store.resume(discard=discards(row))
    return None
