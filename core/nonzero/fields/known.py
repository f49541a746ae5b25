"""Known: a schema's names where compiled parsers find them, and the kinds in which undeclared fields came."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from nonzero.errors import InputError
from nonzero.fields import lookup
from nonzero.fields.conflicts import NO_CONFLICTS, Conflicts
from nonzero.fields.lookup import FieldTable
from nonzero.fields.schema import Schema

__all__ = [
    "CATEGORY",
    "IGNORE",
    "INFER",
    "NUMBER",
    "REFUSE",
    "ContradictionError",
    "Fields",
    "Known",
    "untracked",
]

INFER, CATEGORY, NUMBER, IGNORE, REFUSE = range(5)

_CODES: Final = {"infer": INFER, "category": CATEGORY, "number": NUMBER, "ignore": IGNORE, "refuse": REFUSE}
_NAMES: Final = {code: name for name, code in _CODES.items()}

MORE: Final = 4096
"""So many names beside the declared ones are known, those that came first."""

TEXT: Final = 64
"""They have so many bytes each, on average."""

PADDING: Final = 16


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


class Known:
    """The table of a schema's names, shared by all readers with this schema object.

    Beside the declared names it has those that were met: the first 4,096. Of others each value is judged by
    patterns and default as well, only not by what came before.

    Parameters
    ----------
    schema
        What is declared.
    more
        So many other names are taken note of.
    """

    def __init__(self, schema: Schema, more: int = MORE) -> None:
        self.conflicts = Conflicts()
        self.changes = 0
        """How often names, or the kinds that they came in, were added."""
        self._schema = schema
        self._asked = False
        self._declared = {
            name.encode(): _CODES[kind] for name, kind in schema.fields.items() if "*" not in name
        }
        self._patterns = [(name.encode(), _CODES[kind]) for name, kind in schema.patterns]
        self._default = _CODES[schema.default]
        self._lock = threading.Lock()
        self._own = threading.local()
        self._places: dict[bytes, int] = {}
        self._left = len(self._declared) + more
        slots = 1 << (2 * max(self._left, 1) - 1).bit_length()
        begin = -(-(lookup.PATTERN_WORDS + 3 * len(self._patterns)) // lookup.ENTRY) * lookup.ENTRY
        self.words = np.zeros(begin + lookup.ENTRY * slots, np.uint64)
        size = sum(map(len, (*self._declared, *(pattern for pattern, _ in self._patterns))))
        self.text = np.zeros(size + TEXT * more + PADDING, np.uint8)
        self.slots = slots
        self._end = 0
        self.words[[lookup.MASK, lookup.DEFAULT]] = slots - 1, self._default
        self.words[[lookup.PATTERNS, lookup.BEGIN]] = len(self._patterns), begin
        for i, (pattern, kind) in enumerate(self._patterns):
            start = self._written(pattern)
            at = lookup.PATTERN_WORDS + 3 * i
            self.words[at : at + 3] = start, self._end, kind
        for name, kind in self._declared.items():
            self._add(name, kind)
        self.words[lookup.FULL] = self._left == 0

    def is_new(self) -> bool:
        """Return whether nobody has asked so before."""
        asked, self._asked = self._asked, True
        return not asked

    # -- what is said of a name ------------------------------------------------------------------------

    def kind_named(self, name: bytes) -> str:
        """Return the kind of a name, as a schema spells it."""
        return _NAMES[self.kind_of(name)]

    def kind_of(self, name: bytes) -> int:
        """Return the kind of a name."""
        kind = self._declared.get(name)
        if kind is not None:
            return kind
        return next((kind for pattern, kind in self._patterns if _fits(pattern, name)), self._default)

    def meet(self, name: bytes) -> int:
        """Return the kind of a name, and make it known to compiled parsers where there is room."""
        at = self._places.get(name)
        if at is not None:
            return int(self.words[at + lookup.WHAT]) & 255
        kind = self.kind_of(name)
        with self._lock:
            if name not in self._places:
                self._add(name, kind)
        return kind

    def came(self, name: bytes, kind: int) -> bool:
        """Note the kind that an undeclared field's value came in; return whether another came first."""
        with self._lock:
            at = self._places.get(name)
            if at is None:
                return False
            what = int(self.words[at + lookup.WHAT])
            first = what >> 8 & 255
            if not first:
                self.words[at + lookup.WHAT] = what | kind << 8
                self.changes += 1
            return first not in (0, kind)

    def names(self) -> list[str]:
        """Return the declared names, and of the others those that were met."""
        with self._lock:
            return [name.decode(errors="replace") for name in self._places]

    def first_of(self, name: bytes) -> int:
        """Return the kind that a value of an undeclared field first came in; INFER where none did."""
        at = self._places.get(name)
        return INFER if at is None else int(self.words[at + lookup.WHAT]) >> 8 & 255

    def name_at(self, slot: int) -> str:
        """Return the name of a slot's entry."""
        at = int(self.words[lookup.BEGIN]) + lookup.ENTRY * slot
        length, start = (int(self.words[at]) & 0xFFFFFFFF) - 1, int(self.words[at + lookup.PLACE])
        return self.text[start : start + length].tobytes().decode(errors="replace")

    def of_thread(self) -> Fields:
        """Return this thread's own counts."""
        own: Fields | None = getattr(self._own, "fields", None)
        if own is None:
            own = self._own.fields = Fields(self._schema)
        return own

    # -- making it known -------------------------------------------------------------------------------

    def _add(self, name: bytes, kind: int) -> None:
        """Add an entry, its first word last: another thread may be looking."""
        room = self._end + len(name) + PADDING <= self.text.size
        if not self._left or not room or len(name) > lookup.TRACKED:
            if not room:
                self.words[lookup.FULL] = 1
            return
        said = kind + lookup.DECLARED * (name in self._declared)
        padded = np.frombuffer(name + bytes(8), np.uint8)
        at, key = lookup.put_entry(self.words, padded, self._written(name), said)
        if not at:
            return
        self.words[at] = key
        self._places[name] = at
        self.changes += 1
        self._left -= 1
        if not self._left:
            self.words[lookup.FULL] = 1

    def _written(self, name: bytes) -> int:
        start = self._end
        self._end += len(name)
        self.text[start : self._end] = np.frombuffer(name, np.uint8)
        return start


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

    def first_of(self, name: bytes) -> int:
        """Return the kind that a value of an undeclared field first came in; INFER where none did."""
        return self._known.first_of(name)

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


def _fits(pattern: bytes, name: bytes) -> bool:
    """Whether a name fits a pattern: its parts stand in it, in order, the first and last at its ends."""
    first, *middle = pattern.split(b"*")
    last = middle.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    j, end = len(first), len(name) - len(last)
    for part in middle:
        j = name.find(part, j, end)
        if j < 0:
            return False
        j += len(part)
    return True


class _Untracked(Schema):
    """A schema that declares nothing and takes note of nothing."""

    @property
    def known(self) -> Known:
        return _nothing_known


untracked: Final = _Untracked()
"""For who hands over no schema: values are judged one by one, and nobody asks what came."""

_nothing_known: Final = Known(untracked, more=0)
