"""Impressions as the journal's rows tell of them: at a start, and for whoever looks at a journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import References, decode_joined
from nonzero_service.impressions.rows import ImpressionRow, Teaching, decode_row
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
            enter_row(store, decode_row(row.body), row.position)
        case "joined" | "label" | "held":
            references = decode_joined(row.body)[1]
            note_seen(store, references)
            if row.kind == "held":
                store.held.hold(references)
            return references
        case "resume":
            store.resume(discard=readers.discards(row))
        case "source":
            enter_source(store, readers.read(row), row.position)
    return None


def enter_row(store: ImpressionStore, row: ImpressionRow, position: int) -> None:
    """Enter what a row of the journal keeps.

    Parameters
    ----------
    store
        The store.
    row, position
        What the row says, and where it stands.
    """
    if not row.stops.size:
        return
    store.builder.replay(row, position)
    if store.waiting_labels.take(row.hashes):
        store.undo_log.clear()  # the journal has it
    store.waiting_impressions.replay_row(row)
    if row.teaching == Teaching.HELD:
        store.held.hold(row.negatives()[1])


def note_seen(store: ImpressionStore, references: References) -> None:
    """Take over from a row of the journal what has become of impressions."""
    known = references.known
    same = store.segments.hashes_of(known.numbers) == known.hashes
    seen = References(known.numbers[same], known.hashes[same], known.states[same])
    if store.rules.negatives == "at_once":
        store.waiting_impressions.replay(seen)
    store.segments.set(seen.numbers, seen.states)


def enter_source(store: ImpressionStore, read: ReadTopics, position: int) -> None:
    """Enter what a row of the journal tells of topics: how far they are, and which labels wait.

    Those wait no more whose impressions came in the same group.
    """
    if read.waiting:
        ids = Ids.of([one.id for one in read.waiting])
        hashes = hashes_of(ids, np.arange(len(ids)))
        waits = store.segments.find(hashes) < 0
        labels = [one for one, still in zip(read.waiting, waits.tolist(), strict=True) if still]
        store.waiting_labels.add(hashes[waits], labels, position)
    if read.watermark_ms is not None:
        store.watermark_ms = max(store.watermark_ms or 0, read.watermark_ms)
        store.waiting_labels.expire(store.watermark_ms - store.rules.wait_ms)
    store.undo_log.clear()  # the journal has it


def settle(store: ImpressionStore, now_ms: int, grace_ms: int) -> None:
    """Take note that all rows have been seen: windows end from now on, after a grace.

    Parameters
    ----------
    store
        The store.
    now_ms
        The clock that windows end by.
    grace_ms
        So long none ends.
    """
    with store.lock:
        segments = store.segments
        segments.mend_times(store.builder.last_ms)
        store.windows.ended = segments[0].first if segments else segments.next_number
        store.windows.ends_from_ms = now_ms + grace_ms
        store.waiting_impressions.begin()
        store.arrivals.begin(now_ms, segments.next_number)
