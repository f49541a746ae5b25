"""Impressions of a model whose rows another process writes: each row is told of as it comes.

A start learns from the rows what has become of impressions, and goes on as their writer. Who follows stays
with the rows. What the writer does by the clock alone, and no row says, is done here by the same clock: so
what waits is told alike, and what is of no more use is let go of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from nonzero_service.impressions.joined import References
from nonzero_service.impressions.joiner import forgotten
from nonzero_service.impressions.replaying import KINDS, RowReaders, replay_row
from nonzero_service.impressions.segment import CAPACITY
from nonzero_service.impressions.states import CLICKS, OPEN, WAITING, is_one_of
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import BodyError

LABELLED: Final = ("joined", "label")
"""The rows that may say that labels came."""


class TailedImpressions:
    """Tells the store of a model's impressions of what another process has written.

    Parameters
    ----------
    store
        The store, which a start has brought to where it was.
    readers
        They read rows of other kinds.
    damaged
        Told of a row that does not say what its kind says; it is passed over, as a start does.
    """

    def __init__(
        self,
        store: ImpressionStore,
        readers: RowReaders,
        damaged: Callable[[BodyError], object],
    ) -> None:
        self.store = store
        self._readers = readers
        self._damaged = damaged

    def follow(self, row: JournalRow) -> None:
        """Take over what the next row says; on the thread that applies it."""
        if row.kind not in KINDS:
            return
        store = self.store
        try:
            with store.lock:
                references = replay_row(store, row, self._readers)
                if row.kind in LABELLED and references is not None and _have_clicks(references):
                    store.label_came(row.time_ms)
                store.changes += 1
        except BodyError as error:
            self._damaged(error)

    def end(self, now_ms: int) -> None:
        """Take note of the windows that have ended, as far as no row is to say so; from any thread."""
        store = self.store
        said_by_rows = WAITING if store.rules.negatives == "at_once" else OPEN
        with store.lock:
            while (due := store.windows.due(CAPACITY, now_ms)) is not None:
                numbers, ended = due
                states = store.segments.states(numbers)
                awaited = np.flatnonzero(is_one_of(states, said_by_rows))
                if awaited.size:
                    ended = int(numbers[awaited[0]])
                    numbers, states = numbers[: awaited[0]], states[: awaited[0]]
                store.set(numbers, forgotten(states))
                store.windows.set_ended(ended)
                if awaited.size:
                    break
            store.keep()
            store.forget(now_ms)


def _have_clicks(references: References) -> bool:
    return bool(np.any(is_one_of(references.states, CLICKS)))
