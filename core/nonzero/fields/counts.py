"""Counts: what one reader or one thread asks of a schema, and what it counts of the values that came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from nonzero.errors import InputError
from nonzero.fields import lookup
from nonzero.fields.conflicts import NO_CONFLICTS
from nonzero.fields.known import REFUSE
from nonzero.fields.lookup import FieldTable
from nonzero.fields.schema import Schema


class ContradictionError(InputError):
    """A value that contradicts the schema.

    Parameters
    ----------
    message
        What is wrong.
    field
        The field's name.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class Fields:
    """What one reader, or one thread, asks of a schema, and what it has counted.

    Parameters
    ----------
    schema
        The schema.

    Attributes
    ----------
    table
        What compiled parsers are given.
    events
        What they note: at EVENTS not 0 where they did.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._known = known = schema.known
        noted = np.zeros(lookup.LOGGED + lookup.LOG + known.slots, np.int64)
        self.table = FieldTable(known.words, known.text, noted)
        self._counts = noted[lookup.LOGGED + lookup.LOG :]
        self.events = memoryview(noted.data)
        self._by_python: Counter[str] = Counter()

    @classmethod
    def of_thread(cls, schema: Schema) -> Fields:
        """Return what this thread asks of a schema, the same at each call."""
        own = schema.known.own
        found: Fields | None = getattr(own, "fields", None)
        if found is None:
            found = own.fields = cls(schema)
        return found

    def kind_of(self, name: bytes) -> int:
        """Return the kind of a name; a plain parser's way to ask, which makes the name known.

        Raises
        ------
        InputError
            For a name that the schema refuses.
        """
        kind = self._known.meet(name)
        if kind == REFUSE:
            raise InputError(self.schema.unknown_field(name.decode(errors="replace")))
        return kind

    def came(self, values: Iterable[tuple[bytes, int]]) -> None:
        """Take note of values of undeclared fields, of a row that was read: name and kind of each."""
        for name, kind in values:
            if self._known.came(name, kind):
                self._by_python[name.decode(errors="replace")] += 1

    def count(self, name: str, values: int = 1) -> None:
        """Count conflicts of a field."""
        self._by_python[name] += values

    def refused(self, error: InputError) -> None:
        """Count what a line was refused for, if it is a value that contradicts the schema."""
        if isinstance(error, ContradictionError):
            self.count(error.field)

    def take(self) -> Mapping[str, int]:
        """Return the conflicts since they were last taken, by field; they are added to the schema's."""
        if not self.events[lookup.EVENTS] & lookup.COUNTED and not self._by_python:
            return NO_CONFLICTS
        found = self._by_python
        self._by_python = Counter()
        for slot in np.flatnonzero(self._counts).tolist():
            found[self._known.name_at(slot)] += int(self._counts[slot])
        self.drop()
        self._known.conflicts.add(found)
        return dict(found)

    def left_new(self) -> bool:
        """Return whether lines were left alone for names that are new, and no conflict counted; asks once."""
        events = self.events[lookup.EVENTS]
        self.events[lookup.EVENTS] = events & ~lookup.LEFT
        return events == lookup.LEFT

    def drop(self) -> None:
        """Forget what compiled code counted: it is read again."""
        if self.events[lookup.EVENTS] & lookup.COUNTED:
            self._counts[:] = 0
        self.events[lookup.EVENTS] = 0
