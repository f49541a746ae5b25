"""A champion whose policy a promotion changes, and those who learned when it did: what they go on with.

They have learned what its rows taught: a negative at once, where it learned so. The rows that come teach the
same impressions at their windows' ends. So each of them joins labels itself from there on, by the new policy,
beginning from what the rows said before: what was learned at once is a negative, which a click takes back.
"""

from __future__ import annotations

from nonzero import LogisticRegression
from nonzero_service.impressions.replaying import settle
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.reader import JournalRows
from nonzero_service.writer.challenger_origin import OwnPolicy
from nonzero_service.writer.entries import promotion_of
from nonzero_service.writer.impression_rows import tell_of_impressions
from nonzero_service.writer.rejoiner import Rejoiner
from nonzero_service.writer.sequences import REACHED, sequence_of


def rejoiner_after(model: LogisticRegression, row: JournalRow, reader: JournalRows) -> Rejoiner | None:
    """Return what folds a challenger from a row on that changes its champion's policy; None of other rows.

    Parameters
    ----------
    model
        The challenger, which has learned what all rows up to there taught.
    row
        The row, which it has passed over.
    reader
        Its champion's journal.

    Raises
    ------
    BodyError
        Where the row does not say who is promoted.
    StorageError
        Where the rows cannot be read that tell of impressions.
    """
    if row.kind != "promotion":
        return None
    taken = promotion_of(row).impressions
    if taken is None:
        return None
    made = Rejoiner(OwnPolicy(taken.negatives, taken.attribution_ms, taken.correction_ms), reader)
    store = made.store
    tell_of_impressions(store, reader, _fail, row.position)
    store.waiting_labels.clear()  # they come as rows when they are joined
    settle(store, row.time_ms if store.watermark_ms is None else store.watermark_ms, 0)
    for segment in store.segments:
        states = segment.states[: segment.used]
        states[states == ImpressionState.LEARNED] = ImpressionState.EXPIRED
        states[states == ImpressionState.UNTAUGHT] = ImpressionState.THINNED
        segment.forget_rates()  # a snapshot does not hold them
    made.begin_after(row, taken.rate)
    model.notes[REACHED] = sequence_of(model)
    return made


def _fail(error: StorageError) -> None:
    raise error
