"""What the rows of a journal say of impressions, told to an index of them."""

from __future__ import annotations

from collections.abc import Callable

from nonzero_service.impressions.replaying import replay_impressions
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.reader import JournalRows
from nonzero_service.writer.entries import promotion_of, resumption_of


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
    replay_impressions(
        store,
        reader,
        lambda row: resumption_of(row).discard,
        lambda row: promotion_of(row).impressions,
        damaged,
        until,
    )
