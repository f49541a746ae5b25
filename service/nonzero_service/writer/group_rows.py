"""Which rows of the journal a group of work becomes.

Large batches are a row each, so that nothing is copied for a group's sake; neighbours of one kind that are
small become one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from msgspec import structs

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.row_builder import EnteredRow
from nonzero_service.impressions.rows import ImpressionRow, Teaching, encode_rows
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.writer.entries import (
    batch_entry,
    held_entry,
    impression_entry,
    joined_entry,
    label_entry,
    trip_entry,
)
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.preparing import Prepared
from nonzero_service.writer.source_rows import SourceBody, source_entry
from nonzero_service.writer.work import Applied

LARGE: Final = 1 << 16
"""From so many bytes on a batch is a row of its own."""

KEYED: Final = ("batch", "joined", "held")
"""The kinds of rows that hold examples of requests, and so the records of their keys."""

LARGE_ROW: Final = 1 << 20
"""From so many bytes on an ``impression`` row takes no more. Its records are read one at a time."""


@dataclass(eq=False)
class _Part:
    """Neighbours of one kind, or one large batch, which become one row."""

    kind: str
    batches: list[Batch] = field(default_factory=list)
    references: list[References] = field(default_factory=list)
    keys: list[KeyRecord] = field(default_factory=list)
    reason: dict[str, Any] | None = None
    rows: list[ImpressionRow] = field(default_factory=list)
    source: SourceBody | None = None

    @cached_property
    def batch(self) -> Batch:
        """All its examples; to be asked when it has them."""
        return Batch.concatenate([batch for batch in self.batches if len(batch)])

    @cached_property
    def impressions(self) -> tuple[bytes, ImpressionRow]:
        """All its impressions, as a body too; to be asked when it has them."""
        return encode_rows(self.rows)

    @property
    def is_learned(self) -> bool:
        """Whether its examples are learned from."""
        if self.kind == "impression":
            return any(map(len, self.batches))
        return self.kind in ("batch", "joined")

    def takes(self, kind: str, nbytes: int) -> bool:
        """Whether another batch may be joined to it."""
        return self.kind == kind and nbytes < LARGE and self.batches[0].nbytes < LARGE

    def takes_row(self, row: ImpressionRow) -> bool:
        """Whether other impressions may be joined to it."""
        return (
            self.kind == "impression"
            and self.rows[0].teaching == row.teaching
            and np.array_equal(self.rows[0].usual, row.usual)
            and sum(one.words.nbytes for one in self.rows) < LARGE_ROW
        )

    def entry(self) -> JournalEntry:
        """Return it as an entry."""
        if self.reason is not None:
            return trip_entry(self.reason)
        if self.source is not None:
            return source_entry(self.source)
        if self.kind == "batch":
            return batch_entry(self.batch, self.keys)
        if self.kind == "impression":
            return impression_entry(*self.impressions)
        references = References.concatenate(self.references) if self.references else References.none()
        if self.kind == "label":
            return label_entry(references)
        if self.kind == "joined":
            return joined_entry(self.batch, references, self.keys)
        return held_entry(self.batch, references, self.keys)


class GroupRows:
    """Work that is committed at once, sorted into what is learned from and what is held.

    Parameters
    ----------
    prepared
        What it comes to, in order.
    pause
        Decides which examples are held.
    first
        The sequence of the first example.
    source
        Where it came from, which is said behind all else; None where no topic was read.
    """

    def __init__(
        self, prepared: Sequence[Prepared], pause: PauseState, first: int, source: SourceBody | None = None
    ) -> None:
        self.came: list[Applied | None] = []
        """What has come of each piece of work, but for the sequence: of its examples the first are learned
        from, and the others held."""
        self.held: list[References] = []
        """Which impressions the examples are that are held."""
        self._pause = pause
        self._parts: list[_Part] = []
        self._closed = False
        for one in prepared:
            learned, held = self._add_impressions(one.kept)
            if one.untaught is not None and len(one.untaught):
                self._part("label").references.append(one.untaught)
            if len(one.batch) or one.record is not None:
                learned, held = self._add_batch(one, first)
            if one.idle:
                self.came.append(None)
            else:
                self.came.append(Applied(learned, 0, None, held, one.verdicts))
            first += learned
        if source is not None:
            waiting = tuple(label for one in prepared for label in one.waiting)
            self._parts.append(_Part("source", source=structs.replace(source, waiting=waiting)))

    @property
    def batches(self) -> list[Batch]:
        """What is learned from, row by row."""
        return [part.batch for part in self._parts if part.is_learned]

    @property
    def misses(self) -> bool:
        """Whether there are labels of which the prediction is not there."""
        return any("unknown" in one.verdicts for one in self.came if one is not None)

    def entries(self) -> list[JournalEntry]:
        """Return the rows that the group becomes; there may be none."""
        return [part.entry() for part in self._parts]

    def committed(self, position: int, time_ms: int) -> list[tuple[ImpressionRow, int]]:
        """Take note that the rows are in the journal, of which the last is at `position`, since that time.

        Returns
        -------
        list[tuple[ImpressionRow, int]]
            Those of impressions, and where each is.
        """
        first, placed = position - len(self._parts) + 1, []
        for place, part in enumerate(self._parts):
            if part.reason is not None:
                self._pause.tripped(first + place, part.reason, time_ms)
            if part.kind == "impression":
                placed.append((part.impressions[1], first + place))
        self._pause.examples += sum(one.held for one in self.came if one is not None)
        return placed

    def failed(self) -> None:
        """Take note that they are not in the journal."""
        self._pause.failed([one for part in self._parts if part.is_learned for one in part.references])

    def _add_batch(self, one: Prepared, first: int) -> tuple[int, int]:
        """Add a batch; return how many of its examples are learned from, and how many are held."""
        batch, references, n = one.batch, one.references, len(one.batch)
        count, reason = self._admitted(batch, references)
        if count or not n:
            kind = "batch" if references is None else "joined"
            self._add(kind, batch if count == n else batch.rows(0, count), references, 0)
        self._trip(reason)
        if count < n:
            self._add("held", batch.rows(count, n) if count else batch, references, count)
            if references is not None:
                self.held.append(references.rows(count, n).known)
        if one.record is not None:
            came = Applied(count, first + count, None, n - count, one.verdicts)
            self._keyed().keys.append(one.record(first, came))
        return count, n - count

    def _add_impressions(self, kept: Sequence[EnteredRow]) -> tuple[int, int]:
        """Add predictions; return how many negatives are learned from, and how many are held."""
        learned = held = 0
        for row, begins in kept:
            if row.teaching == Teaching.LATER:
                self._add_row(row, begins, None)
                continue
            batch, references = row.negatives()
            n, size = len(batch), row.stops.size
            count, reason = self._admitted(batch, references)
            if count == n:
                self._add_row(row, begins, batch)
                self._trip(reason)
            else:
                until = int(row.taught[count])
                if until:
                    self._add_row(row.part(0, until, Teaching.NOW), begins, batch.rows(0, count))
                self._trip(reason)
                self._add_row(row.part(until, size, Teaching.HELD), begins and not until, None)
                self.held.append(references.rows(count, n))
            learned, held = learned + count, held + n - count
        return learned, held

    def _admitted(self, batch: Batch, references: References | None) -> tuple[int, dict[str, Any] | None]:
        """Return how many examples are learned from; and why no more are, where that is new."""
        return (0, None) if self._closed else self._pause.admit(batch, references)

    def _trip(self, reason: dict[str, Any] | None) -> None:
        """Add why no more examples are learned from, where that is new."""
        if reason is not None:
            self._closed = True
            self._parts.append(_Part("trip", reason=reason))

    def _add(self, kind: str, batch: Batch, references: References | None, start: int) -> None:
        last = self._parts[-1] if self._parts else None
        if last is None or last.kind not in KEYED or (len(batch) and not last.takes(kind, batch.nbytes)):
            self._parts.append(_Part(kind))
        part = self._parts[-1]
        part.batches.append(batch)
        if references is not None:
            part.references.append(references.rows(start, start + len(batch)))
        elif kind == "held":  # there may be others beside it that were impressions
            part.references.append(References.unknown(len(batch)))

    def _add_row(self, row: ImpressionRow, begins: bool, batch: Batch | None) -> None:
        last = self._parts[-1] if self._parts else None
        if last is None or begins or not last.takes_row(row):
            self._parts.append(last := _Part("impression"))
        last.rows.append(row)
        if batch is not None:
            last.batches.append(batch)

    def _part(self, kind: str) -> _Part:
        """Return a part of a kind: the last one, where it is of that, or a new one."""
        if not self._parts or self._parts[-1].kind != kind:
            self._parts.append(_Part(kind))
        return self._parts[-1]

    def _keyed(self) -> _Part:
        """Return the part that the record of a key goes with."""
        return next(part for part in reversed(self._parts) if part.kind in KEYED)
