"""What the rows of a journal say of impressions, told to an index of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nonzero_service.impressions.replaying import ReadTopics, RowReaders, replay_impressions
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.reader import JournalRows
from nonzero_service.writer.entries import promotion_of, resumption_of
from nonzero_service.writer.source_rows import source_in


def tell_of_impressions(
    store: ImpressionStore,
    reader: JournalRows,
    damaged: Callable[[StorageError], object],
    until: int | None = None,
) -> None:
    """Tell an empty store of what the rows say; which policy it goes by from some row on is told too.

    Parameters
    ----------
    store, reader, damaged, until
        As for :func:`~nonzero_service.impressions.replaying.replay_impressions`.
    """
    replay_impressions(store, reader, READERS, damaged, until)


def _read_topics(row: JournalRow) -> ReadTopics:
    source = source_in(row)
    return ReadTopics(source.watermark_ms, source.waiting)


READERS: Final = RowReaders(
    discards=lambda row: resumption_of(row).discard,
    taken=lambda row: promotion_of(row).impressions,
    read=_read_topics,
)
"""What reads rows for an index of impressions."""
