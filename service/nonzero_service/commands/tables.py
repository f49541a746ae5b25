"""What a model remembers of the table that it was trained on, so that others are read alike."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

from nonzero import LogisticRegression, formats
from nonzero.formats import Reader

__all__ = ["read_alike", "remember"]

_NOTE: Final = "csv"
_FIELDS: Final = "fields"  # as the service notes them: for who is told of fields


def remember(model: LogisticRegression, reader: Reader) -> None:
    """Note in a model its columns, and what part each had, where the reader read a table."""
    parts = getattr(reader.format, "parts", None)
    if parts is not None:
        model.notes[_NOTE] = parts
        model.notes[_FIELDS] = list(getattr(reader.format, "columns", []))


def read_alike(
    model: LogisticRegression, reader: Reader, blocks: Iterable[bytes]
) -> tuple[Reader, Iterable[bytes]]:
    """Return a reader that gives a table's columns the parts that the model remembers, and what to read.

    A label, and what was left out, may be missing from this table; numbers that were learned from may not.
    """
    noted = model.notes.get(_NOTE)
    if reader.format.name != "csv" or noted is None:
        return reader, blocks
    rest = iter(blocks)
    first = next(rest, b"")
    columns = _columns(first)
    options: dict[str, Any] = {
        "label": noted["label"] if noted["label"] in columns else None,
        "numeric": noted["numeric"],
        "ignore": [column for column in noted["ignore"] if column in columns],
    }
    return formats.reader("csv", schema=model.schema, **options), chain([first], rest)


def _columns(text: bytes) -> list[str]:
    """Return the names in a table's header."""
    reader = formats.reader("csv")
    reader.feed(text[: text.find(b"\n") + 1] or text)
    reader.finish()
    return list(getattr(reader.format, "columns", []))
