"""What work comes to, before it is journalled: labels are joined, predictions entered, windows ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.joiner import Joined, Joiner
from nonzero_service.impressions.matching import match_update
from nonzero_service.impressions.row_builder import EnteredRow
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.impressions.waiting_labels import WaitingLabel
from nonzero_service.writer.work import EndWindows, Impress, LabelImpressions, Learn, Record, Rows

AT_ONCE: Final = 1024
"""So many windows end at once."""

_NOTHING: Final = Batch.empty()


@dataclass(frozen=True, eq=False)
class Prepared:
    """What one piece of work comes to."""

    batch: Batch = _NOTHING
    """What is to be learned, but for the negatives of impressions."""
    references: References | None = None
    """Which impressions these were, the number -1 for none; None where all were none."""
    untaught: References | None = None
    """What becomes of other impressions."""
    kept: Sequence[EnteredRow] = ()
    """Predictions that were entered."""
    verdicts: Sequence[Verdict] = ()
    """What labels met."""
    waiting: Sequence[WaitingLabel] = ()
    """Labels that wait for their impressions from now on."""
    record: Record | None = None
    idle: bool = False
    """Whether no windows were due."""


class Preparer:
    """Prepares the work of one model; on the committer.

    Parameters
    ----------
    impressions
        The model's; None where there are none.
    now_ms
        The clock that windows end by.
    """

    def __init__(self, impressions: ImpressionStore | None, now_ms: Callable[[], int]) -> None:
        self._impressions = impressions
        self._joiner = None if impressions is None else Joiner(impressions)
        self._now_ms = now_ms

    def prepare(self, what: Rows) -> Prepared:
        """Say what work comes to; the impressions note it, as far as it does not fail.

        Raises
        ------
        StorageError
            Where an impression cannot be read.
        """
        store, joiner = self._impressions, self._joiner
        if store is None or joiner is None:
            assert isinstance(what, Learn)  # noqa: S101 - nothing else is put in then
            return Prepared(what.batch, record=what.record)
        mark = store.mark
        try:
            prepared = self._prepared(store, joiner, what)
            if what.origin is not None and what.origin.watermark_ms is not None:
                with store.lock:
                    store.reach(what.origin.watermark_ms)
        except BaseException:
            store.undo(mark)
            raise
        return prepared

    def _prepared(self, store: ImpressionStore, joiner: Joiner, what: Rows) -> Prepared:
        match what:
            case Learn(batch=batch, record=record):
                matched = match_update(store, joiner, batch, self._now_ms())
                return _joined(matched, record) if matched else Prepared(batch, record=record)
            case LabelImpressions(ids=ids, labels=labels, times=times):
                return _joined(joiner.label(ids, labels, self._now_ms(), times))
            case EndWindows():
                ended = joiner.end(AT_ONCE, self._now_ms())
                return Prepared(idle=True) if ended is None else _joined(ended)
            case Impress():
                return self._impressed(store, joiner, what)

    def _impressed(self, store: ImpressionStore, joiner: Joiner, what: Impress) -> Prepared:
        """Enter predictions, and join the labels that have waited for them."""
        kept = store.enter(what.predictions, what.times)
        joined = joiner.label_waiting(what.predictions.hashes, self._now_ms())
        return Prepared(kept=kept) if joined is None else replace(_joined(joined), kept=kept)


def _joined(joined: Joined, record: Record | None = None) -> Prepared:
    return Prepared(
        joined.batch,
        joined.references,
        joined.untaught,
        verdicts=joined.verdicts,
        record=record,
        waiting=joined.waiting,
    )
