"""Known: a schema's names where compiled parsers find them, and the kinds in which undeclared fields came."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from nonzero import untouched
from nonzero.fields import lookup
from nonzero.fields.conflicts import Conflicts

INFER, CATEGORY, NUMBER, IGNORE, REFUSE = range(5)

_CODES: Final = {"infer": INFER, "category": CATEGORY, "number": NUMBER, "ignore": IGNORE, "refuse": REFUSE}
_NAMES: Final = {code: name for name, code in _CODES.items()}
_CAME: Final = {CATEGORY: "category", NUMBER: "number"}

MORE: Final = 4096
"""So many names beside the declared ones are known, those that came first."""

TEXT: Final = 64
"""They have so many bytes each, on average."""

PADDING: Final = 16


class Known:
    """The table of a schema's names, shared by all readers with this schema object.

    Beside the declared names it has those that were met: the first 4,096. Of others each value is judged by
    patterns and default as well, only not by what came before.

    Parameters
    ----------
    fields
        The declared kinds by name.
    patterns
        Those of them whose names are patterns, the one that wins first.
    default
        The kind of all other fields.
    more
        So many other names are taken note of.
    """

    def __init__(
        self, fields: Mapping[str, str], patterns: Sequence[tuple[str, str]], default: str, more: int = MORE
    ) -> None:
        self.conflicts = Conflicts()
        self.own = threading.local()
        """What each thread has counted; see :meth:`nonzero.fields.counts.Fields.of_thread`."""
        self.changes = 0
        """How often names, or the kinds that they came in, were added."""
        self._asked = False
        self._declared = {name.encode(): _CODES[kind] for name, kind in fields.items() if "*" not in name}
        self._patterns = [(name.encode(), _CODES[kind]) for name, kind in patterns]
        self._default = _CODES[default]
        self._lock = threading.Lock()
        self._places: dict[bytes, int] = {}
        self._left = len(self._declared) + more
        slots = 1 << (2 * max(self._left, 1) - 1).bit_length()
        begin = -(-(lookup.PATTERN_WORDS + 3 * len(self._patterns)) // lookup.ENTRY) * lookup.ENTRY
        self.words = untouched.zeros(begin + lookup.ENTRY * slots, np.uint64)
        size = sum(map(len, (*self._declared, *(pattern for pattern, _ in self._patterns))))
        self.text = untouched.zeros(size + TEXT * more + PADDING, np.uint8)
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

    def kinds_met(self) -> dict[str, str]:
        """Return of each name that was met, and is not declared, the kind that its values first came in.

        It is ``"category"``, ``"number"``, or ``""`` where no value has come whose kind was looked at.
        """
        with self._lock:
            met = {name: at for name, at in self._places.items() if name not in self._declared}
            return {
                name.decode(errors="replace"): _CAME.get(int(self.words[at + lookup.WHAT]) >> 8 & 255, "")
                for name, at in met.items()
            }

    @property
    def is_full(self) -> bool:
        """Whether names may have come that are not known."""
        return bool(self.words[lookup.FULL])

    def name_at(self, slot: int) -> str:
        """Return the name of a slot's entry."""
        at = int(self.words[lookup.BEGIN]) + lookup.ENTRY * slot
        length, start = (int(self.words[at]) & 0xFFFFFFFF) - 1, int(self.words[at + lookup.PLACE])
        return self.text[start : start + length].tobytes().decode(errors="replace")

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
