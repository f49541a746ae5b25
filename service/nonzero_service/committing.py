"""Committing: which rows of the journal a group of batches becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from nonzero import Batch
from nonzero_service import fold
from nonzero_service.holding import Gate, held_entry, trip_entry
from nonzero_service.impressions.joined import References
from nonzero_service.storage.keys import KeyRecord
from nonzero_service.storage.rows import Entry

__all__ = ["Group", "Submitted"]


class Submitted(Protocol):
    """What a learner is given."""

    @property
    def batch(self) -> Batch:
        """The examples."""

    @property
    def record(self) -> Callable[[int, int], KeyRecord] | None:
        """Makes the key's record of the sequence of the first example and the number that are held."""

    @property
    def references(self) -> References | None:
        """Which impressions they were; None where they were none."""


@dataclass(eq=False)
class _Part:
    """Neighbours of one kind, which become one row."""

    kind: str
    batches: list[Batch] = field(default_factory=list)
    references: list[References] = field(default_factory=list)
    keys: list[KeyRecord] = field(default_factory=list)
    reason: dict[str, Any] | None = None

    def entry(self) -> Entry:
        """Return it as an entry."""
        if self.reason is not None:
            return trip_entry(self.reason)
        batch = Batch.concatenate(self.batches)
        if self.kind == "batch":
            return fold.batch_entry(batch, self.keys)
        references = References.concatenate(self.references) if self.references else References.none()
        if self.kind == "joined":
            return fold.joined_entry(batch, references, self.keys)
        return held_entry(batch, references, self.keys)


class Group:
    """Batches that are committed at once, sorted into what is learned from and what is held.

    Parameters
    ----------
    submitted
        The batches, in order.
    gate
        Which decides.
    first
        The sequence of the first example.
    """

    def __init__(self, submitted: list[Submitted], gate: Gate, first: int) -> None:
        self.learned: list[int] = []
        """How many examples of each batch are learned from: the first ones."""
        self.held = 0
        """How many examples are held, of all batches."""
        self._gate = gate
        self._parts: list[_Part] = []
        self._batches: list[Batch] = []
        closed = False
        for one in submitted:
            batch, n = one.batch, len(one.batch)
            count, reason = (0, None) if closed else gate.admit(batch)
            references = one.references
            if count or not n:
                self._add("batch" if references is None else "joined", batch.rows(0, count), references, 0)
            if reason is not None:
                closed = True
                self._parts.append(_Part("trip", reason=reason))
            if count < n:
                self._add("held", batch.rows(count, n), references, count)
            if one.record is not None:
                self._keyed().keys.append(one.record(first, n - count))
            self.learned.append(count)
            self.held += n - count
            self._batches.append(batch.rows(0, count) if count < n else batch)
            first += count

    @property
    def batch(self) -> Batch:
        """What is learned from."""
        return Batch.concatenate(self._batches)

    def entries(self) -> list[Entry]:
        """Return the rows that the group becomes."""
        return [part.entry() for part in self._parts]

    def committed(self, position: int) -> None:
        """Tell the gate that the rows are in the journal, of which the last is at `position`."""
        first = position - len(self._parts) + 1
        for place, part in enumerate(self._parts):
            if part.reason is not None:
                self._gate.tripped(first + place, part.reason)
        self._gate.examples += self.held

    def failed(self) -> None:
        """Tell the gate that they are not."""
        if any(part.reason is not None for part in self._parts):
            self._gate.restart()

    def _add(self, kind: str, batch: Batch, references: References | None, start: int) -> None:
        last = self._parts[-1].kind if self._parts else "trip"
        if last == "trip" or (last != kind and len(batch)):
            self._parts.append(_Part(kind))
        part = self._parts[-1]
        part.batches.append(batch)
        if references is not None:
            part.references.append(references.rows(start, start + len(batch)))

    def _keyed(self) -> _Part:
        """Return the part that the record of a key goes with: a trip takes none."""
        return next(part for part in reversed(self._parts) if part.kind != "trip")
