"""Names of fields, gathered from requests: batches and journal know fields by the hash of their names only.

A bounded side table for people, no part of what is learned: the first examples of a model show its fields,
and then one request of many is looked at.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from nonzero_service.headers import JSON, NDJSON

__all__ = ["FieldNames"]

FIELDS: Final = "fields"
LIMIT: Final = 4096
FIRST: Final = 64
EVERY: Final = 256
LOOK: Final = 1 << 16
"""So many bytes of a request are looked at."""

NAMESPACE: Final = re.compile(rb"\|([^\s:|]+)")
PAIR: Final = re.compile(rb"\s([^\s:|=]+)=")


class _Features(msgspec.Struct):
    features: dict[str, msgspec.Raw] = {}
    examples: list[_Features] = []


class FieldNames:
    """The names of a model's fields that requests have shown.

    Parameters
    ----------
    notes
        The model's notes, which go into its snapshots: the names are kept there.
    """

    def __init__(self, notes: dict[str, Any]) -> None:
        self._notes = notes
        self._requests = 0

    def all(self) -> list[str]:
        """Return the names."""
        names: list[str] = self._notes.get(FIELDS, [])
        return names

    def look(self, media: str, data: bytes) -> None:
        """Look at the beginning of a request's body, if it is its turn."""
        self._requests += 1
        if self._requests > FIRST and self._requests % EVERY:
            return
        known = self.all()
        new = dict.fromkeys(name for name in self._found(media, data) if name not in known)
        if new:
            # Another list, not a longer one: a snapshot may be reading it.
            self._notes[FIELDS] = [*known, *new][:LIMIT]

    @staticmethod
    def _found(media: str, data: bytes) -> list[str]:
        if media in (JSON, NDJSON):
            if media == NDJSON:
                data = data[:LOOK].partition(b"\n")[0]
            try:
                first = msgspec.json.decode(data, type=_Features) if len(data) <= LOOK else _Features()
            except msgspec.DecodeError:
                return []
            return [name for example in (first, *first.examples[:1]) for name in example.features]
        line = data[:LOOK].partition(b"\n")[0]
        return [name.decode(errors="replace") for name in (*NAMESPACE.findall(line), *PAIR.findall(line))]
