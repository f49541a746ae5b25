"""Files of events, impressions or clicks: whole rows, each with the hash of its id and its time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from nonzero.errors import FormatError, InputError, LineError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_roles import check_role, ids_in
from nonzero.formats.arrow_types import is_binary, is_view, plain
from nonzero.formats.delimited_text import LongRecord, split_cells
from nonzero.formats.reading import BYTE_ORDER_MARK, MAX_LINE
from nonzero.formats.registry import COLUMNAR
from nonzero.sources.columnar import ColumnarFile
from nonzero.sources.event_times import EventTime, check_column
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead
from nonzero.sources.tables import head_of

ROW: Final = "row"
"""The column that holds lines of text, as they stand there, without their ends."""

LABEL: Final = "label"
"""The member that holds the label of an example in JSON."""


class Events(NamedTuple):
    """Some events of a file, in its order."""

    table: Any
    """A ``pyarrow.Table`` of whole rows."""
    hashes: NDArray[np.uint64]
    """uint64[n]: XXH3 of their ids."""
    times: NDArray[np.int64]
    """int64[n]: in milliseconds."""
    errors: tuple[LineError, ...]
    """The lines that are none."""


class EventFile(ABC):
    """A file of events.

    Parameters
    ----------
    source
        The file.
    id
        The column that holds the id of an impression.
    time
        That of the time.
    """

    def __init__(self, source: Source, id: str, time: EventTime) -> None:
        self.source = source
        self.id = id
        self.time = time

    @abstractmethod
    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time.

        Raises
        ------
        FormatError
            Where the file is damaged.
        """


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


class ColumnarEvents(EventFile):
    """A Parquet or Arrow file.

    Parameters
    ----------
    source, id, time
        As for :class:`EventFile`.
    form
        ``"parquet"`` or ``"arrow"``.

    Attributes
    ----------
    names
        The names of the columns.
    schema
        Their names and types, a ``pyarrow.Schema``: those of dictionaries and runs as what they
        stand for.

    Raises
    ------
    FormatError
        Where it is none, or a column is missing or of a type that is no id or no time.
    """

    def __init__(self, source: Source, id: str, time: EventTime, form: str) -> None:
        super().__init__(source, id, time)
        self._file = ColumnarFile.of(source, form)
        arrow = import_arrow()
        self.names: list[str] = self._file.schema.names
        self.schema = arrow.schema([field.with_type(_kept(field.type)) for field in self._file.schema])
        for column in (id, time.column):
            check_column(column, self.names, source.name)
        check_role("id", id, self.schema.field(id).type)

    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time."""
        arrow = import_arrow()
        row = 1
        with closing(ahead(self._file.batches(self.names))) as batches:
            for batch in batches:
                table = arrow.Table.from_batches([batch]).cast(self.schema)
                ids, wrong = ids_in(batch.column(batch.schema.get_field_index(self.id)), self.id)
                times, late = self.time.of_array(table.column(self.time.column).combine_chunks())
                wrong = late | wrong
                names = ids.pieces
                for place in np.flatnonzero(~ids.known | (np.diff(ids.ends) == 0)).tolist():
                    wrong.setdefault(place, InputError(f"the id {self.id!r} is missing"))
                kept = np.ones(len(names), np.bool_)
                kept[list(wrong)] = False
                hashes = np.array([xxhash.xxh3_64_intdigest(name) for name in names], np.uint64)
                yield Events(
                    table if not wrong else table.filter(arrow.array(kept)),
                    hashes[kept],
                    times[kept],
                    tuple(LineError(row + place, str(wrong[place])) for place in sorted(wrong)),
                )
                row += len(names)


def _kept(kind: Any) -> Any:
    """Return the type that a column is kept in: one of which pyarrow can take rows."""
    arrow = import_arrow()
    kind = plain(kind)
    if is_view(kind):
        return arrow.large_binary() if is_binary(kind) else arrow.large_string()
    return kind


def event_file(
    source: Source, form: str, id: str, time: EventTime, delimiter: str | None = None
) -> DelimitedEvents | JsonEvents | ColumnarEvents:
    """Return a file of events.

    Parameters
    ----------
    source
        The file.
    form
        Its format: ``"csv"``, ``"ndjson"``, ``"parquet"`` or ``"arrow"``.
    id
        The column that holds the id of an impression.
    time
        That of the time.
    delimiter
        csv: what stands between columns; None where the header tells it.

    Raises
    ------
    FormatError
        For another format, and for a file that cannot be used.
    """
    if form == "csv":
        return DelimitedEvents(source, id, time, delimiter)
    if form == "ndjson":
        return JsonEvents(source, id, time)
    if form in COLUMNAR:
        return ColumnarEvents(source, id, time, form)
    raise FormatError(
        f"{source.name} is {form}, and its rows have no id and time to join by; give csv, ndjson, parquet or "
        "arrow"
    )
