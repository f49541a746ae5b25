"""Impressions as the journal's rows tell of them: at a start, and for whoever looks at a journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from nonzero_service.impressions.joined import References, decode_joined
from nonzero_service.impressions.rows import decode_row
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.taking_over import TakenOver, take_over
from nonzero_service.impressions.waiting_labels import WaitingLabel
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import BodyError, StorageError
from nonzero_service.journal.reader import JournalRows

KINDS: Final = ("impression", "joined", "label", "held", "resume", "promotion", "source")
"""The rows that tell of them."""


class ReadTopics(NamedTuple):
    """What a ``source`` row says of impressions and labels."""

    watermark_ms: int | None
    """The event time that was reached; None where it does not say so."""
    waiting: Sequence[WaitingLabel]
    """The labels that wait from there on."""


class RowReaders(NamedTuple):
    """What reads rows whose bodies are not those of impressions."""

    discards: Callable[[JournalRow], bool]
    """Tells of a ``resume`` row whether it discards what was held."""
    taken: Callable[[JournalRow], TakenOver | None]
    """Returns what a ``promotion`` row says of impressions; None where that is nothing. From there on the
    store goes by another policy."""
    read: Callable[[JournalRow], ReadTopics]
    """Returns what a ``source`` row says."""


def replay_impressions(
    store: ImpressionStore,
    reader: JournalRows,
    readers: RowReaders,
    damaged: Callable[[StorageError], object],
    until: int | None = None,
) -> None:
    """Tell an empty store of what the rows say that a journal holds.

    Parameters
    ----------
    store
        The store.
    reader
        Reads the journal.
    readers
        They read rows of other kinds.
    damaged
        Told of a row that is not what was written, which is passed over: those before the newest snapshot
        keep no model from being served.
    until
        The first position that is not read; None for the journal's end.

    Raises
    ------
    UnknownKindError
        At the first row of a version that this release does not know.
    """
    end = reader.tip.position + 1  # another process may write
    stop = end if until is None else min(until, end)
    for row in reader.read_of(KINDS, damaged):
        if row.position >= stop:
            return
        try:
            if row.kind == "promotion":
                if (found := readers.taken(row)) is not None:
                    take_over(store, found)
            else:
                replay_row(store, row, readers)
        except BodyError as error:
            damaged(error)


def replay_row(store: ImpressionStore, row: JournalRow, readers: RowReaders) -> References | None:
    """Tell a store of what the next row says, which is no promotion.

    Parameters
    ----------
    store, readers
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
            store.resume(discard=readers.discards(row))
        case "source":
            store.enter_source(*readers.read(row), row.position)
    return None
