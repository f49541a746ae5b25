"""Delimited text, a record a row: comma-, semicolon-, tab- or pipe-separated values, mostly with a header.

- A column is categorical unless it is named by `numeric`, or the schema says what it is: the value ``v`` of
  the column ``c`` is the feature
  ``c=v`` with value 1. In a column of numbers it is the feature ``c`` with that value. An empty cell, and the
  number 0, are no nonzero. A feature's field is its column. A column without a name is left out.
- In a categorical column that holds nothing but True, False, true and false, True is ``true`` and False is
  ``false``, as in JSON.
- The label is 0 or 1 (-1 is read as 0), true or false, or empty for none; with `positive` that value is a
  click and every other is none. It stands in the column named by `label`, else in the one that is called
  label, click, clicked, target or y (in any case). Two of them are refused: one would give the other away.
  Without any of them rows have no labels.
- Weights, ids and times stand in the columns that are named for them, which are no features.
- Without a header the columns are named by whoever reads it. The first record tells whether the label's is
  there, as it is not in a test set.
- A column that numbers the rows is left out, and `notes` says so: nothing can be learned from it. It has
  another value in each of the first 1,000 rows (or as many of them as the first MiB holds; 100 must have a
  value), or counts up from row to row. Who has seen more of the table than that says what the columns are.
- Quotes as RFC 4180 has them: a line end inside them is a part of the cell. A quote inside a cell that does
  not start with one is an ordinary character.
- Blank lines before the header, a line ``sep=;`` and a byte order mark are passed over.

Names are bytes, hashed as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError, InputError, SettingsError
from nonzero.fields import known
from nonzero.fields.hashing import NAME_WORDS, field_of
from nonzero.fields.known import INFER
from nonzero.fields.schema import Schema
from nonzero.formats.assembly import PlainRow
from nonzero.formats.delimited_cells import PlainCells
from nonzero.formats.delimited_columns import BOOLEAN, CATEGORY, columns_of
from nonzero.formats.delimited_header import check_delimiter, names_without_header
from nonzero.formats.delimited_parts import Parts
from nonzero.formats.delimited_rows import read_rows
from nonzero.formats.delimited_text import (
    LongRecord,
    check_header,
    find_delimiter,
    named_delimiter,
    records,
    split_cells,
)
from nonzero.formats.format import Format
from nonzero.formats.layouts import TableLayout
from nonzero.formats.numbers import shown
from nonzero.formats.row_arrays import RowArrays
from nonzero.formats.times import TimeFormat

SAMPLE_ROWS: Final = 1000
"""Whether a column numbers the rows is decided by so many rows."""

SAMPLE_BYTES: Final = 2**20
"""They are waited for up to so many bytes."""


class Delimited(Format):
    """Delimited text.

    Parameters
    ----------
    label
        The column that holds the label.
    weight, id, time
        The columns that hold importance weights, ids and times; None for none.
    time_format
        How times are written: see :class:`~nonzero.formats.times.TimeFormat`.
    columns
        The names of the columns in their order, of text without a header; none of them for ``c1``, ``c2`` and
        so on. None: there is a header.
    numeric
        Columns that hold numbers.
    ignore
        Columns that are left out.
    schema
        What the fields are: a :class:`~nonzero.Schema`, or what it is made of. A declared column is what is
        declared, and is never left out for numbering the rows; the label is none of the fields.
    delimiter
        One ASCII character; without it that of comma, semicolon, tab and pipe which the header has.
    positive
        The label that is a click; every other, and none, is no click.
    boolean
        The columns of True and False. Where it is given, the caller has judged the columns, and none of them
        is judged here.
    labels
        Whether labels are read; else they are not looked at.

    Raises
    ------
    SettingsError
        For a delimiter that can be part of a number, a quote or a line end, and for a column given two parts,
        or another one than the schema gives it.
    """

    name = "csv"
    header = True
    layout: TableLayout = TableLayout()
    """What is known of the columns beforehand."""

    def __init__(
        self,
        *,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        time_format: str | None = None,
        columns: Sequence[str] | None = None,
        numeric: Sequence[str] = (),
        ignore: Sequence[str] = (),
        delimiter: str | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
        positive: str | None = None,
        boolean: Sequence[str] | None = None,
        labels: bool = True,
    ) -> None:
        if delimiter is not None:
            check_delimiter(delimiter)
        if positive is not None and not positive:
            raise SettingsError("positive is empty; give the label that is a click")
        super().__init__(schema)
        if time_format is not None and time is None:
            raise SettingsError("time_format is given, and no column of times")
        roles = {role: name for role, name in (("weight", weight), ("id", id), ("time", time)) if name}
        self._parts = Parts(
            self.schema,
            label,
            numeric,
            ignore,
            labels=labels,
            boolean=boolean,
            roles=roles,
            layout=self.layout,
        )
        self.positive = b"" if positive is None else positive.encode()
        self._times = TimeFormat(time_format)
        self._names = np.zeros(NAME_WORDS, np.uint32)
        self.delimiter = delimiter.encode() if delimiter else b""
        self.notes = self._parts.notes
        self._given = tuple(self.layout.columns if columns is None else columns)
        self.headless = columns is not None or bool(self.layout.columns)
        self.columns: list[str] = []
        self._sampled = boolean is not None
        self.holds = 0 if self._sampled else SAMPLE_BYTES
        self._conflicting: list[str] = []
        self._ends = 0
        self._header_bytes = 0
        self._header_lines = 0
        self._open: LongRecord | None = None
        self._scanned = 0

    @property
    def label(self) -> str | None:
        """The column that holds the label, once the header is read; None for none."""
        return self._parts.label

    @property
    def made(self) -> Mapping[str, Sequence[str]]:
        """The fields of the features that are made of a column, by its name, once the header is read."""
        return self._parts.made

    def whole(self, data: bytearray, start: int, end: int) -> int:
        """Return where the last whole line ends, once there are rows enough to judge the columns by."""
        if not self._sampled:
            self._ends += data.count(b"\n", start, end)
            if self._ends <= SAMPLE_ROWS and end < SAMPLE_BYTES:
                return 0
            start = 0
        if self._open is not None:  # what is held ends inside quotes; each byte of it is looked at once
            scanned, self._scanned = self._scanned, end
            if not self._open.end_in(bytes(data[scanned:end])):
                return 0
            self._open = None
        return data.rfind(b"\n", start, end) + 1

    def pass_over(self, data: bytes, *, begins: bool) -> int:
        """Return where a record ends that is too long: quotes in it are closed then."""
        if begins or self._open is None:
            self._open = LongRecord(self.delimiter)
        behind = self._open.end_in(data)
        if behind:
            self._open = None
        return behind

    def read_header(self, line: bytes) -> bool:
        """Take the columns' names, or the first record of text without them; give each column its part.

        Raises
        ------
        FormatError
            Where the text is of another encoding, a name stands twice, a column that was named is not there,
            or it is not clear which one is the label, or what stands between them.
        """
        size = len(line) + 1
        self._header_bytes += size
        self._header_lines += 1
        line = line.removeprefix(b"\xef\xbb\xbf")
        check_header(line)
        if not line.strip():
            return False
        named = named_delimiter(line)
        if named:
            try:
                check_delimiter(named.decode(errors="replace"))
            except SettingsError as error:
                raise FormatError(f"the line {shown(line)} before the header: {error}") from error
            self.delimiter = self.delimiter or named
            return False
        self.delimiter = self.delimiter or self._delimiter_of(line)
        try:
            cells = [cell.decode() for cell in split_cells(line, self.delimiter)]
        except (InputError, UnicodeDecodeError) as error:
            if not self.headless:
                raise FormatError(f"the header cannot be read: {error}") from error
            cells = [*self._given]  # the record goes on in the next line, or is refused when it is read
        known = self.layout.columns[1:]
        if known and set(known) <= set(cells):
            self.headless = False  # a copy of the log that somebody has given a header
        self.columns = cells
        if self.headless:
            self.columns = names_without_header(cells, self._given, self.label)
            self._parts.expect(self.columns)
            self._header_bytes -= size
            self._header_lines -= 1
        self._take_parts(self._parts.decide(self.columns))
        if self._sampled:
            self._note_categories()
        return True

    def _delimiter_of(self, line: bytes) -> bytes:
        """Return what stands between columns: what the layout says, where the first line has it."""
        known = self.layout.delimiter
        return known if known and known in line else find_delimiter(line)

    def _take_parts(self, kinds: Sequence[int]) -> None:
        """Tell both parsers what each column is."""
        positive = self.positive if self.label is not None else b""
        made = {column: self._parts.kept_of(column) for column in self._parts.made}
        self._columns = columns_of(self.columns, kinds, positive, self._times.told, made)
        self._cells = PlainCells(self.columns, kinds, made, positive, self._times)

    def read(self, data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        """Parse whole lines by compiled code."""
        if not self.columns:  # nothing but blank lines has come yet
            rows.indptr[0] = rows.lines[0] = 0
            return 0
        self.judge(data, end)
        n, left = map(int, read_rows(data, end, rows, self._columns, self.delimiter[0], self._names))
        self.left = None
        if left < end:
            self.left, self._scanned = left, end - left
            self._open = LongRecord(self.delimiter)
            self._open.end_in(data[left:end].tobytes())
        for column in self._conflicting:
            nonzeros = rows.fields[: rows.indptr[n]] == field_of(column)
            if nonzeros.any():
                self.fields.count(column, int(nonzeros.sum()))
        return n

    def parse_line(self, line: bytes) -> PlainRow:
        """Parse one line in Python."""
        cells = split_cells(line, self.delimiter)
        if len(cells) != len(self.columns):
            raise InputError(f"the line has {len(cells)} cells, the header {len(self.columns)}")
        row = self._cells.row_of(cells)
        for column in self._conflicting:
            self.fields.count(column, row.fields.count(field_of(column)))
        return row

    def features(self, record: bytes) -> dict[str, str | float]:
        """Return the features of a record that can be read, by name, as an example in JSON has them."""
        return self._cells.features_of(split_cells(record.removesuffix(b"\r"), self.delimiter))

    def is_whole(self, lines: bytes) -> bool:
        """Whether some lines are a whole record: none of its quotes is open at their end."""
        return LongRecord(self.delimiter).end_in(lines + b"\n") > 0

    def _note_categories(self) -> None:
        """Take note that the columns of which the schema says nothing came as categories."""
        self._conflicting = [
            column
            for column, kind in zip(self.columns, self._columns.kinds, strict=True)
            if kind in (CATEGORY, BOOLEAN) and self._parts.said_of(column) == INFER
            if self.schema.known.came(column.encode(), known.CATEGORY)
        ]

    def judge(self, data: NDArray[np.uint8], end: int) -> None:
        """Leave out the columns that number the first rows, and find those of True and False; but once."""
        if self._sampled or not self.columns:
            return
        self._sampled = True
        # Where the header's lines and bytes are counted with them, any chunking finds the same rows.
        text = data[: min(end, SAMPLE_BYTES - self._header_bytes)].tobytes()
        lines = text.split(b"\n")[: SAMPLE_ROWS + 2 - self._header_lines]
        text = b"\n".join(lines[:-1]) + b"\n"
        whole = (cells for cells in records(text, self.delimiter) if len(cells) == len(self.columns))
        kinds = self._columns.kinds.tolist()
        self._parts.judge(self.columns, kinds, whole)
        self._take_parts(kinds)
        self._note_categories()
