"""Events in text: records of delimited text, or lines of JSON, which are kept as they were written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, Final

import msgspec
import numpy as np
import xxhash

from nonzero.errors import FormatError, InputError, LineError
from nonzero.fields.texts import text_of_float
from nonzero.formats.reading import MAX_LINE
from nonzero.formats.times import TimeColumn
from nonzero.sources.events import EventFile, Events, check_column
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead
from nonzero.sources.table_rows import TextTable, records_as_table

LABEL: Final = "label"
"""The member that holds the label of an example in JSON."""


class TextEvents(EventFile):
    """A file of records of text."""

    @abstractmethod
    def _records(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield records with the numbers of their lines, a block at a time."""

    @abstractmethod
    def _parse(self, record: bytes) -> tuple[bytes, bytes]:
        """Return the id and the time of a record.

        Raises
        ------
        InputError
            Where it is none.
        """

    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time."""
        with closing(ahead(self._records())) as blocks:
            for records in blocks:
                rows, hashes, times, errors = [], [], [], []
                for line, record in records:
                    try:
                        name, moment = self._parse(record)
                        if not name:
                            raise InputError(f"the id {self.id!r} is missing")
                        if not moment:
                            raise InputError(f"the time {self.time.name!r} is missing")
                        times.append(self.time.format.read(moment))
                    except InputError as error:
                        errors.append(LineError(line, str(error)))
                        continue
                    rows.append(record)
                    hashes.append(xxhash.xxh3_64_intdigest(name))
                yield Events(
                    records_as_table(rows),
                    np.array(hashes, np.uint64),
                    np.array(times, np.int64),
                    tuple(errors),
                )


class DelimitedEvents(TextEvents):
    """A file of delimited text.

    Parameters
    ----------
    table
        Its rows.
    id, time
        As for :class:`EventFile`.

    Raises
    ------
    FormatError
        Where it lacks a column.
    """

    def __init__(self, table: TextTable, id: str, time: TimeColumn) -> None:
        super().__init__(table.source, id, time)
        self.table = table
        for column in (id, time.name):
            check_column(column, table.names, table.source.name)
        self._id, self._time = table.names.index(id), table.names.index(time.name)

    def _parse(self, record: bytes) -> tuple[bytes, bytes]:
        cells = self.table.cells(record)
        return cells[self._id], cells[self._time]

    def _records(self) -> Iterator[list[tuple[int, bytes]]]:
        return self.table.blocks()


class JsonEvents(TextEvents):
    """A file of objects in JSON, one a line: id and time are members, or features.

    Parameters
    ----------
    source, id, time
        As for :class:`EventFile`.
    """

    def __init__(self, source: Source, id: str, time: TimeColumn) -> None:
        super().__init__(source, id, time)

    def _parse(self, record: bytes) -> tuple[bytes, bytes]:
        try:
            found = msgspec.json.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"this is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise InputError("this is no JSON object")
        if LABEL in found:
            raise InputError(f"it has a {LABEL!r}, which is what is to be found; leave it out")
        return self._text(found, self.id), self._text(found, self.time.name)

    def _text(self, found: dict[str, Any], name: str) -> bytes:
        """Return a member as text."""
        features = found.get("features")
        value = found.get(name, features.get(name) if isinstance(features, dict) else None)
        if value is None or isinstance(value, bool | list | dict):
            raise InputError(f"{name!r} is {'missing' if value is None else 'neither a text nor a number'}")
        return (text_of_float(value) if isinstance(value, float) else str(value)).encode()

    def _records(self) -> Iterator[list[tuple[int, bytes]]]:
        rest, line = b"", 1
        for block in self.source:
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_LINE:
                raise FormatError(
                    f"{self.source.name}, line {line}: it is longer than {MAX_LINE:,} bytes; split it"
                )
            yield [(line + k, one.removesuffix(b"\r")) for k, one in enumerate(lines)]
            line += len(lines)
        if rest:
            yield [(line, rest)]
