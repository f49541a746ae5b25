"""Events in text: records of delimited text, or lines of JSON, which are kept as they were written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import msgspec
import numpy as np
import xxhash

from nonzero.errors import FormatError, InputError, LineError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.delimited_text import LongRecord, split_cells
from nonzero.formats.reading import BYTE_ORDER_MARK, MAX_LINE
from nonzero.sources.event_times import EventTime, check_column
from nonzero.sources.events import EventFile, Events
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead
from nonzero.sources.tables import head_of

ROW: Final = "row"
"""The column that holds lines of text, as they stand there, without their ends."""

LABEL: Final = "label"
"""The member that holds the label of an example in JSON."""


class TextEvents(EventFile):
    """A file of records of text."""

    @abstractmethod
    def _records(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield records with the numbers of their lines, a block at a time."""

    @abstractmethod
    def _parse(self, record: bytes) -> tuple[bytes, str]:
        """Return the id and the time of a record.

        Raises
        ------
        InputError
            Where it is none.
        """

    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time."""
        arrow = import_arrow()
        with closing(ahead(self._records())) as blocks:
            for records in blocks:
                rows, hashes, times, errors = [], [], [], []
                for line, record in records:
                    try:
                        name, moment = self._parse(record)
                        if not name:
                            raise InputError(f"the id {self.id!r} is missing")
                        times.append(self.time.milliseconds(moment))
                    except InputError as error:
                        errors.append(LineError(line, str(error)))
                        continue
                    rows.append(record)
                    hashes.append(xxhash.xxh3_64_intdigest(name))
                yield Events(
                    arrow.table({ROW: arrow.array(rows, arrow.large_binary())}),
                    np.array(hashes, np.uint64),
                    np.array(times, np.int64),
                    tuple(errors),
                )


class DelimitedEvents(TextEvents):
    """A file of delimited text with a header.

    Parameters
    ----------
    source, id, time
        As for :class:`EventFile`.
    delimiter
        What stands between columns; None where the header tells it.

    Attributes
    ----------
    names
        The names of the columns.
    header
        The line that says them.
    delimiter
        What stands between them.

    Raises
    ------
    FormatError
        For a header that cannot be used, or lacks a column.
    """

    def __init__(self, source: Source, id: str, time: EventTime, delimiter: str | None = None) -> None:
        super().__init__(source, id, time)
        form, self._skipped = head_of(source, labels=False, delimiter=delimiter)
        self.names, self.delimiter = form.columns, form.delimiter
        for column in (id, time.column):
            check_column(column, self.names, source.name)
        head = source.peek(self._skipped)[: self._skipped]
        self._lines = head.count(b"\n")
        self.header = head.rstrip(b"\r\n").rpartition(b"\n")[2].removeprefix(BYTE_ORDER_MARK)
        self._id, self._time = self.names.index(id), self.names.index(time.column)

    def cells(self, record: bytes) -> list[bytes]:
        """Return the cells of a record.

        Parameters
        ----------
        record
            Without its line end.

        Raises
        ------
        InputError
            Where a quote is wrong, or there are more or fewer than columns.
        """
        cells = split_cells(record, self.delimiter)
        if len(cells) != len(self.names):
            raise InputError(f"the line has {len(cells)} cells, the header {len(self.names)}")
        return cells

    def _parse(self, record: bytes) -> tuple[bytes, str]:
        cells = self.cells(record)
        return cells[self._id], cells[self._time].decode(errors="replace")

    def _records(self) -> Iterator[list[tuple[int, bytes]]]:
        rest, line, skip = b"", self._lines + 1, self._skipped
        for block in self.source:
            behind = block[skip:]
            skip -= len(block) - len(behind)
            lines = (rest + behind).split(b"\n")
            rest = lines.pop()
            found, used = self._joined(lines, line)
            if used < len(lines):  # the last record goes on
                rest = b"\n".join([*lines[used:], rest])
            if len(rest) > MAX_LINE:
                raise FormatError(
                    f"{self.source.name}, line {line + used}: a record is longer than {MAX_LINE:,} bytes; "
                    "close the quote in it"
                )
            line += used
            yield found
        if rest:
            yield [(line, rest.removesuffix(b"\r"))]

    def _joined(self, lines: Sequence[bytes], line: int) -> tuple[list[tuple[int, bytes]], int]:
        """Return records, those with line ends in quotes joined, and how many lines they are made of."""
        found: list[tuple[int, bytes]] = []
        k = 0
        while k < len(lines):
            first = k
            if b'"' in lines[k]:
                record = LongRecord(self.delimiter)
                while not record.end_in(lines[k] + b"\n"):
                    k += 1
                    if k == len(lines):
                        return found, first
            k += 1
            found.append((line + first, b"\n".join(lines[first:k]).removesuffix(b"\r")))
        return found, len(lines)


class JsonEvents(TextEvents):
    """A file of objects in JSON, one a line: id and time are members, or features."""

    def _parse(self, record: bytes) -> tuple[bytes, str]:
        try:
            found = msgspec.json.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"this is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise InputError("this is no JSON object")
        if LABEL in found:
            raise InputError(f"it has a {LABEL!r}, which is what is to be found; leave it out")
        return self._text(found, self.id).encode(), self._text(found, self.time.column)

    def _text(self, found: dict[str, Any], name: str) -> str:
        """Return a member as text."""
        features = found.get("features")
        value = found.get(name, features.get(name) if isinstance(features, dict) else None)
        if value is None or isinstance(value, bool | list | dict):
            raise InputError(f"{name!r} is {'missing' if value is None else 'neither a text nor a number'}")
        return str(value)

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
