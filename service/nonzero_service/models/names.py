"""Names, gathered from requests: batches and journal know fields and features by their hashes only.

A bounded side table for people, no part of what is learned: the first examples of a model show its fields,
and the values of those that have slices, and then one request of many is looked at.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec

from nonzero import InputError, LogisticRegression, Schema
from nonzero.fields.counts import Fields
from nonzero.fields.hashing import index_of
from nonzero.fields.schema import untracked
from nonzero.formats.arrow_import import column_names
from nonzero.formats.delimited import Delimited
from nonzero.formats.json_bodies import NOT_JSON
from nonzero.formats.json_plain_features import named_features
from nonzero.formats.json_values import Members, decode
from nonzero.model.notes import FIELDS_NOTE, noted_booleans
from nonzero_service.incidental import incidentally
from nonzero_service.media_types import ARROW, CSV, JSON, NDJSON, TSV
from nonzero_service.models.slicing import Slices

LIMIT: Final = 4096
FIRST: Final = 64
EVERY: Final = 256
LOOK: Final = 1 << 16
"""So many bytes of a request are looked at."""
LINES: Final = 64
"""So many of its examples, where values are wanted."""

NAMESPACE: Final = re.compile(rb"\|([^\s:|]+)")
PAIR: Final = re.compile(rb"\s([^\s:|=]+)=")
GROUP: Final = re.compile(r"\|([^\s:|]+)\S*([^|]*)")


class _Features(msgspec.Struct):
    features: dict[str, msgspec.Raw] = {}
    examples: list[_Features] = []
    shared: _Features | None = None
    candidates: list[_Features] = []


class Looker(Protocol):
    """What learns names from requests."""

    def look(self, media: str, data: bytes) -> None:
        """Look at the beginning of a request's body."""


class FieldNames:
    """The names of a model's fields that requests have shown.

    Parameters
    ----------
    notes
        The model's notes, which go into its snapshots: the names are kept there.
    slices
        What wants to know the names of values.
    schema
        The model's.
    """

    def __init__(self, notes: dict[str, Any], slices: Slices, schema: Schema) -> None:
        self._schema = schema
        self._notes = notes
        self._slices = slices
        self.looks = 0
        """How many requests were looked at."""
        self._requests = 0
        self._values: dict[int, str] = {}
        self._looking = threading.Lock()  # requests are read by several threads

    def all(self) -> list[str]:
        """Return the names."""
        names: list[str] = self._notes.get(FIELDS_NOTE, [])
        return names

    def replace_model(self, model: LogisticRegression) -> None:
        """Note what comes beside another model, which has the same schema and knows what is noted already."""
        with self._looking:
            self._notes, self._schema = model.notes, model.schema

    def look(self, media: str, data: bytes) -> None:
        """Look at the beginning of a request's body, if it is its turn."""
        self._requests += 1
        if self._requests > FIRST and self._requests % EVERY:
            return
        incidentally(self._look, media, data)

    def _look(self, media: str, data: bytes) -> None:
        with (
            self._looking,
            suppress(*NOT_JSON, InputError),
        ):  # what is wrong with it, whoever reads all of it says
            known = self.all()
            new = dict.fromkeys(name for name in self._found(media, data) if name not in known)
            if new:
                # Another list, not a longer one: a snapshot may be reading it.
                self._notes[FIELDS_NOTE] = [*known, *new][:LIMIT]
            if self._slices.fields:
                shown = list(self._features(media, data))
                self._slices.name(shown)
                self._name_values(shown)
            self.looks += 1

    def value_of(self, index: int) -> str:
        """Return the name of a value by its feature's index; ``#`` and the index where it was not shown."""
        return self._values.get(index, f"#{index}")

    def _name_values(self, shown: Sequence[tuple[str, str, str]]) -> None:
        """Keep the names of values that have slices, as far as there is room: the first have them."""
        for field, value, feature in shown:
            if field in self._slices.fields and len(self._values) < LIMIT:
                self._values.setdefault(index_of(feature), value)

    @staticmethod
    def _found(media: str, data: bytes) -> list[str]:
        if media == ARROW:
            return column_names(data[:LOOK])
        if media in (CSV, TSV):
            return [name for name in _table(media, data, untracked, ())[0].columns if name]
        if media in (JSON, NDJSON):
            if media == NDJSON:
                data = data[:LOOK].partition(b"\n")[0]
            first = msgspec.json.decode(data, type=_Features) if len(data) <= LOOK else _Features()
            shown = (first, first.shared or first, *first.examples[:1], *first.candidates[:1])
            return [name for example in shown for name in example.features]
        line = data[:LOOK].partition(b"\n")[0]
        return [name.decode(errors="replace") for name in (*NAMESPACE.findall(line), *PAIR.findall(line))]

    def _features(self, media: str, data: bytes) -> Iterator[tuple[str, str, str]]:
        if media in (CSV, TSV):
            return _table_features(media, data, self._schema, noted_booleans(self._notes))
        return _features(media, data, self._schema)


def _table(
    media: str, data: bytes, schema: Schema, boolean: Sequence[str]
) -> tuple[Delimited, Sequence[bytes]]:
    """Return what has read the header of a table of text that begins so, and the lines after it."""
    form = Delimited(schema=schema, boolean=boolean, labels=False, delimiter="\t" if media == TSV else None)
    lines = data[:LOOK].split(b"\n")
    for place, line in enumerate(lines[:-1]):
        if form.read_header(line.removesuffix(b"\r")):
            return form, lines[place + 1 : -1]
    return form, ()


def _table_features(
    media: str, data: bytes, schema: Schema, boolean: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield features of the first rows of a table of text; those of rows that stand on one line."""
    form, lines = _table(media, data, schema, boolean)
    for line in lines[:LINES]:
        with suppress(InputError, ValueError):  # what is wrong with it, whoever reads all of it says
            for field, value in form.features(line).items():
                if isinstance(value, str):
                    yield field, value, f"{field}={value}"


def _features(media: str, data: bytes, schema: Schema) -> Iterator[tuple[str, str, str]]:
    """Yield features of the first examples, as (field, value, the feature's name); none of Arrow."""
    if media == ARROW:
        return
    if media == JSON:
        bodies = [data] if len(data) <= LOOK else []
    else:
        bodies = data[:LOOK].split(b"\n")[: LINES + 1][:-1] or [data[:LOOK]]
    for body in bodies:
        if media in (JSON, NDJSON):
            yield from _json_features(body, schema)
            continue
        for field, values in GROUP.findall(body.decode(errors="replace")):
            for value in values.split():
                text, colon, _ = value.partition(":")
                number = not colon and schema.kind_of(field) == "number"
                yield field, text, field if number else f"{field}{schema.namespace_separator}{text}"


def _json_features(body: bytes, schema: Schema) -> Iterator[tuple[str, str, str]]:
    """Yield the features of a body, or of a line, as the reader names them."""
    with suppress(InputError):  # what is wrong with it, whoever reads all of it says
        whole = decode(body)
        members = dict(whole) if isinstance(whole, Members) else {}
        listed = members.get("examples") or members.get("candidates") or []
        for example in (whole, members.get("shared"), *listed[:LINES]):
            if isinstance(example, Members):
                for field, name, _ in named_features(example, Fields.of_thread(schema)):
                    yield field, name.removeprefix(f"{field}="), name
