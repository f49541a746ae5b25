"""Impressions with a journal, as the committer changes both, without its thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.impressions.event_clock import EventClock
from nonzero_service.impressions.hashes import hashes_of, named_rows
from nonzero_service.impressions.packing import PredictedRows
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.impression_opening import open_impressions
from nonzero_service.writer.group_rows import GroupRows
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.preparing import Prepared, Preparer
from nonzero_service.writer.source_rows import source_of
from nonzero_service.writer.work import EndWindows, Impress, LabelImpressions, Learn, Rows, StreamState


def predicted(batch: Batch, probabilities: NDArray[np.float32], now_ms: int) -> PredictedRows:
    """Return the rows of a batch that have ids as a request hands them over."""
    ids = Ids.of(batch.ids or [])
    rows = named_rows(ids)
    fresh = np.ones(rows.size, np.uint8)
    return PredictedRows(batch, ids, probabilities, rows, hashes_of(ids, rows), fresh, now_ms)


class JournalledImpressions:
    """The impressions of one model, and its journal.

    Parameters
    ----------
    directory
        The model's.
    rules
        Windows, thinning, and when is learned.
    pause
        Whether examples are held.
    watermark_ms
        What topics had reached at the start; None where none are read.
    """

    def __init__(
        self, directory: Path, rules: Rules, pause: PauseState | None = None, watermark_ms: int | None = None
    ) -> None:
        self.directory = directory
        self.watermark_ms = watermark_ms
        self.rules = rules
        self.pause = pause or PauseState()
        self.now_ms = 0
        directory.mkdir(exist_ok=True)
        self.open()

    def open(self) -> None:
        """Begin, or go on after a crash."""
        self.journal = SqliteJournal(self.directory)
        self.store: ImpressionStore = open_impressions(
            "tried", self.journal, self.rules, watermark_ms=self.watermark_ms
        )
        self.store.windows.ends_from_ms = 0
        self.preparer = Preparer(self.store, EventClock(lambda: self.now_ms, self.store).now_ms)

    def restart(self) -> None:
        self.journal.close()
        self.open()

    def prepare(self, what: Rows, now_ms: int) -> Prepared:
        self.now_ms = now_ms
        return self.preparer.prepare(what)

    def do(self, *works: Rows, now_ms: int) -> list[Prepared]:
        """Journal a group of work."""
        self.now_ms = now_ms
        prepared = [self.preparer.prepare(work) for work in works]
        origins = [work.origin for work in works if work.origin is not None]
        source = source_of(origins) if origins else None
        rows = GroupRows(prepared, self.pause, self.journal.next_sequence, source)
        if entries := rows.entries():
            position = self.journal.append(entries)
            self.store.keep(rows.committed(position, 0), rows.held, position if origins else None)
        else:
            self.store.keep()
        return prepared

    def keep(self, batch: Batch, probabilities: NDArray[np.float32], now_ms: int) -> int:
        """Keep what was predicted; return how many are new."""
        before = self.store.counts["kept"]
        self.do(impress(batch, probabilities, now_ms), now_ms=now_ms)
        return self.store.counts["kept"] - before

    def label(self, names: Sequence[str], labels: Sequence[int], now_ms: int) -> Prepared:
        return self.do(LabelImpressions(names, labels, StreamState()), now_ms=now_ms)[0]

    def update(self, batch: Batch, now_ms: int) -> Prepared:
        return self.do(Learn(batch, None, False, StreamState()), now_ms=now_ms)[0]

    def end(self, now_ms: int) -> Prepared | None:
        """End the next windows; None where none are due."""
        ended = self.do(EndWindows(StreamState()), now_ms=now_ms)[0]
        return None if ended.idle else ended

    def end_all(self, now_ms: int) -> list[Prepared]:
        """End all windows that are due."""
        ended = []
        while (one := self.end(now_ms)) is not None:
            ended.append(one)
        return ended

    def kinds(self) -> list[str]:
        """Return the kinds of the journal's rows."""
        return [row.kind for row in self.journal.read()]


def impress(batch: Batch, probabilities: NDArray[np.float32], now_ms: int) -> Impress:
    return Impress(predicted(batch, probabilities, now_ms), StreamState(), True)


def numbers_of(prepared: Prepared) -> list[int]:
    """Return the impressions that were learned from."""
    assert prepared.references is not None
    found: list[int] = prepared.references.numbers.tolist()
    return found
