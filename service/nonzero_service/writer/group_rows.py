"""Which rows of the journal a group of batches becomes.

Large batches are a row each, so that nothing is copied for a group's sake; neighbours of one kind that are
small become one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.writer.entries import batch_entry, held_entry, joined_entry, trip_entry
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.work import Learn

LARGE: Final = 1 << 16
"""From so many bytes on a batch is a row of its own."""


@dataclass(eq=False)
class _Part:
    """Neighbours of one kind, or one large batch, which become one row."""

    kind: str
    batches: list[Batch] = field(default_factory=list)
    references: list[References] = field(default_factory=list)
    keys: list[KeyRecord] = field(default_factory=list)
    reason: dict[str, Any] | None = None

    @cached_property
    def batch(self) -> Batch:
        """All its examples; to be asked when it has them."""
        return Batch.concatenate([batch for batch in self.batches if len(batch)])

    @property
    def is_learned(self) -> bool:
        """Whether its examples are learned from."""
        return self.kind in ("batch", "joined")

    def takes(self, kind: str, nbytes: int) -> bool:
        """Whether another batch may be joined to it."""
        return self.kind == kind and nbytes < LARGE and self.batches[0].nbytes < LARGE

    def entry(self) -> JournalEntry:
        """Return it as an entry."""
        if self.reason is not None:
            return trip_entry(self.reason)
        if self.kind == "batch":
            return batch_entry(self.batch, self.keys)
        references = References.concatenate(self.references) if self.references else References.none()
        if self.kind == "joined":
            return joined_entry(self.batch, references, self.keys)
        return held_entry(self.batch, references, self.keys)


class GroupRows:
    """Batches that are committed at once, sorted into what is learned from and what is held.

    Parameters
    ----------
    submitted
        The batches, in order.
    pause
        Decides which examples are held.
    first
        The sequence of the first example.
    """

    def __init__(self, submitted: Sequence[Learn], pause: PauseState, first: int) -> None:
        self.learned: list[int] = []
        """How many examples of each batch are learned from: the first ones."""
        self.held = 0
        """How many examples are held, of all batches."""
        self._pause = pause
        self._parts: list[_Part] = []
        closed = False
        for one in submitted:
            batch, n = one.batch, len(one.batch)
            count, reason = (0, None) if closed else pause.admit(batch, one.references)
            references = one.references
            if count or not n:
                kind = "batch" if references is None else "joined"
                self._add(kind, batch if count == n else batch.rows(0, count), references, 0)
            if reason is not None:
                closed = True
                self._parts.append(_Part("trip", reason=reason))
            if count < n:
                self._add("held", batch.rows(count, n) if count else batch, references, count)
            if one.record is not None:
                self._keyed().keys.append(one.record(first, n - count))
            self.learned.append(count)
            self.held += n - count
            first += count

    @property
    def batches(self) -> list[Batch]:
        """What is learned from, row by row."""
        return [part.batch for part in self._parts if part.is_learned]

    def entries(self) -> list[JournalEntry]:
        """Return the rows that the group becomes."""
        return [part.entry() for part in self._parts]

    def committed(self, position: int) -> None:
        """Take note that the rows are in the journal, of which the last is at `position`."""
        first = position - len(self._parts) + 1
        for place, part in enumerate(self._parts):
            if part.reason is not None:
                self._pause.tripped(first + place, part.reason)
        self._pause.examples += self.held

    def failed(self) -> None:
        """Take note that they are not in the journal."""
        self._pause.failed([one for part in self._parts if part.is_learned for one in part.references])

    def _add(self, kind: str, batch: Batch, references: References | None, start: int) -> None:
        last = self._parts[-1] if self._parts else None
        if last is None or last.kind == "trip" or (len(batch) and not last.takes(kind, batch.nbytes)):
            self._parts.append(_Part(kind))
        part = self._parts[-1]
        part.batches.append(batch)
        if references is not None:
            part.references.append(references.rows(start, start + len(batch)))

    def _keyed(self) -> _Part:
        """Return the part that the record of a key goes with: a trip takes none."""
        return next(part for part in reversed(self._parts) if part.kind != "trip")
