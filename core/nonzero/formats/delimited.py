"""Delimited text with a header, a row a line: comma- or tab-separated values.

- A column is categorical unless it is named by `numeric`, or the schema says what it is: the value ``v`` of
  the column ``c`` is the feature
  ``c=v`` with value 1. In a column of numbers it is the feature ``c`` with that value. An empty cell, and the
  number 0, are no nonzero. A feature's field is its column.
- The label is 0 or 1 (-1 is read as 0), or empty for none. It stands in the column named by `label`, else in
  the first of label, click, clicked, target and y, in this order, that is the name of a column (in any case).
  Without any of them rows have no labels.
- A column that has another value in each of the first 1,000 rows (or as many of them as the first MiB
  holds; 100 must have a value) is left out: it numbers the rows, and nothing can be learned from it. `notes`
  says so.
- Quotes as RFC 4180 has them, but for line ends inside them: a cell ends in its line, so that a stray quote
  spoils no more than that. A quote inside a cell that does not start with one is an ordinary character.

Names are bytes, hashed as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.hashing import field_of, index_of
from nonzero.errors import FormatError, InputError, SettingsError
from nonzero.fields import known
from nonzero.fields.known import INFER, ContradictionError, Fields
from nonzero.fields.schema import Schema
from nonzero.formats.delimited_rows import CATEGORY, LABEL, LEFT_OUT, NUMBER, Columns, hash_start, read_rows
from nonzero.formats.numbers import label_of, number_of, shown, value_of
from nonzero.formats.reading import Format
from nonzero.formats.rows import Row, Rows

__all__ = ["LABELS", "Delimited"]

LABELS: Final = ("label", "click", "clicked", "target", "y")
"""Names of columns that hold the label where none is named."""

SAMPLE_ROWS: Final = 1000
"""Whether a column numbers the rows is decided by so many rows."""

SAMPLE_BYTES: Final = 2**20
"""They are waited for up to so many bytes."""

FEWEST_VALUES: Final = 100
"""A column with fewer values than this in those rows is kept, whatever they are."""


class Delimited(Format):
    """Delimited text with a header.

    Parameters
    ----------
    label
        The column that holds the label.
    numeric
        Columns that hold numbers.
    ignore
        Columns that are left out.
    schema
        What the fields are: a :class:`~nonzero.Schema`, or what it is made of. A declared column is what is
        declared, and is never left out for numbering the rows; the label is none of the fields.
    delimiter
        One ASCII character; without it a tab where the header has one, else a comma.

    Raises
    ------
    SettingsError
        For a delimiter that can be part of a number, a quote or a line end, and for a column given two parts,
        or another one than the schema gives it.
    """

    name = "csv"
    header = True
    holds = SAMPLE_BYTES

    def __init__(
        self,
        *,
        label: str | None = None,
        numeric: Sequence[str] = (),
        ignore: Sequence[str] = (),
        delimiter: str | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> None:
        if delimiter is not None and (
            len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in '"\r\n+-._'
        ):
            raise SettingsError(
                f"the delimiter is {delimiter!r}; give one character, such as ',', ';' or a tab"
            )
        self.label = label
        self.numeric = [numeric] if isinstance(numeric, str) else list(numeric)
        self.ignore = [ignore] if isinstance(ignore, str) else list(ignore)
        given = [*self.numeric, *self.ignore, *([] if label is None else [label])]
        twice = next((column for column in given if given.count(column) > 1), None)
        if twice is not None:
            raise SettingsError(
                f"the column {twice!r} is named twice among label, numeric and ignore; name it once"
            )
        self.schema = Schema() if schema is None else Schema.of(schema)
        self.fields = Fields(self.schema)
        for column, kind in [*((c, "number") for c in self.numeric), *((c, "ignore") for c in self.ignore)]:
            declared = self.schema.fields.get(column, kind)
            if declared != kind:
                raise SettingsError(
                    f"the column {column!r} is said to be {kind}, and the schema says {declared}: it binds"
                )
        self.delimiter = delimiter.encode() if delimiter else b""
        self.notes: list[str] = []
        self._sampled = False
        self._conflicting: list[str] = []
        self._ends = 0
        self._header_bytes = 0

    def whole(self, data: bytearray, start: int, end: int) -> int:
        """Return where the last whole line ends, once there are rows enough to judge the columns by."""
        if not self._sampled:
            self._ends += data.count(b"\n", start, end)
            if self._ends <= SAMPLE_ROWS and end < SAMPLE_BYTES:
                return 0
            start = 0
        return data.rfind(b"\n", start, end) + 1

    def read_header(self, line: bytes) -> None:
        """Take the columns' names, and give each column its part.

        Raises
        ------
        FormatError
            Where a name stands twice, or a column that was named is not there.
        """
        self._header_bytes = len(line) + 1
        line = line.removeprefix(b"\xef\xbb\xbf")
        self.delimiter = self.delimiter or (b"\t" if b"\t" in line else b",")
        try:
            self.columns = [cell.decode() for cell in split_cells(line, self.delimiter)]
        except (InputError, UnicodeDecodeError) as error:
            raise FormatError(f"the header cannot be read: {error}") from error
        twice = next((column for column in self.columns if self.columns.count(column) > 1), None)
        if twice is not None:
            raise FormatError(f"the header has the column {twice!r} twice; rename one")
        for column in [*self.numeric, *self.ignore, *([] if self.label is None else [self.label])]:
            if column not in self.columns:
                raise FormatError(f"there is no column {column!r}; the header has {', '.join(self.columns)}")
        if self.label is None:
            self.label = self._find_label()
        self._columns = _columns(self.columns, [self._kind_of(column) for column in self.columns])

    def read(self, data: NDArray[np.uint8], end: int, rows: Rows) -> int:
        """Parse whole lines by compiled code."""
        if not self._sampled:
            self._sampled = True
            self._leave_out_numberings(data[: min(end, SAMPLE_BYTES)].tobytes())
            self._note_categories()
        n = int(read_rows(data, end, rows, self._columns, self.delimiter[0]))
        for column in self._conflicting:
            nonzeros = rows.fields[: rows.indptr[n]] == field_of(column)
            if nonzeros.any():
                self.fields.count(column, int(nonzeros.sum()))
        return n

    def parse_line(self, line: bytes) -> Row:
        """Parse one line in Python."""
        try:
            return self._parse(line)
        except InputError as error:
            self.fields.refused(error)
            raise

    def _parse(self, line: bytes) -> Row:
        cells = split_cells(line, self.delimiter)
        if len(cells) != len(self.columns):
            raise InputError(f"the line has {len(cells)} cells, the header {len(self.columns)}")
        label = float("nan")
        features: list[tuple[int, float, int]] = []
        for column, kind, cell in zip(self.columns, self._columns.kinds, cells, strict=True):
            if not cell or kind == LEFT_OUT:
                continue
            if kind == LABEL:
                label = label_of(cell)
            elif kind == CATEGORY:
                features.append((index_of(column.encode() + b"=" + cell), 1.0, field_of(column)))
            else:
                value = value_of(self._number_of(column, cell), cell)
                if value:
                    features.append((index_of(column), value, field_of(column)))
        for column in self._conflicting:
            self.fields.count(column, sum(field == field_of(column) for _, _, field in features))
        return Row(
            indices=[index for index, _, _ in features],
            values=[value for _, value, _ in features],
            fields=[field for _, _, field in features],
            label=label,
        )

    @property
    def parts(self) -> dict[str, Any]:
        """The part that each column was given, as options that read another table alike.

        ``label`` is a column or None; ``numeric`` and ``ignore`` are columns, the latter all left out.
        """
        left_out = [
            name for name, kind in zip(self.columns, self._columns.kinds, strict=True) if kind == LEFT_OUT
        ]
        return {"label": self.label, "numeric": self.numeric, "ignore": left_out}

    def features(self, line: bytes) -> dict[str, str | float]:
        """Return the features of a line that can be read, by name, as an example in JSON has them."""
        cells = split_cells(line.removesuffix(b"\r"), self.delimiter)
        named: dict[str, str | float] = {}
        for column, kind, cell in zip(self.columns, self._columns.kinds, cells, strict=True):
            if cell and kind == CATEGORY:
                named[column] = cell.decode(errors="replace")
            elif cell and kind == NUMBER and (value := number_of(cell, column)):
                named[column] = value
        return named

    def _find_label(self) -> str | None:
        """Return the column that has one of the names of a label."""
        spoken_for = {*self.numeric, *self.ignore, *self.schema.fields}
        for name in LABELS:
            for column in self.columns:
                if column.lower() == name and column not in spoken_for:
                    return column
        self.notes.append(f"no column is called {', '.join(LABELS)}: the rows have no labels")
        return None

    def _number_of(self, column: str, cell: bytes) -> float:
        """Read a cell of a column of numbers."""
        try:
            return number_of(cell, f"the value of the column {column!r}")
        except InputError as error:
            raise ContradictionError(str(error), column) from error

    def _kind_of(self, column: str) -> int:
        """Return the part of a column.

        Raises
        ------
        FormatError
            Where the schema refuses it.
        """
        if column == self.label:
            return LABEL
        if column in self.numeric:
            return NUMBER
        if column in self.ignore:
            return LEFT_OUT
        match self._said_of(column):
            case known.REFUSE:
                raise FormatError(self.schema.unknown_field(column))
            case known.NUMBER:
                return NUMBER
            case known.IGNORE:
                return LEFT_OUT
        return CATEGORY

    def _said_of(self, column: str) -> int:
        """Return what the schema says of a column."""
        return self.schema.known.meet(column.encode())

    def _note_categories(self) -> None:
        """Take note that the columns of which the schema says nothing came as categories."""
        self._conflicting = [
            column
            for column, kind in zip(self.columns, self._columns.kinds, strict=True)
            if kind == CATEGORY and self._said_of(column) == INFER
            if self.schema.known.came(column.encode(), known.CATEGORY)
        ]

    def _leave_out_numberings(self, text: bytes) -> None:
        """Leave out the categorical columns that have another value in each of the first rows."""
        # Where the header's bytes are counted with them, any chunking finds the same rows.
        text = text[: SAMPLE_BYTES - self._header_bytes]
        rows: list[list[bytes]] = []
        for line in text.split(b"\n")[:-1][:SAMPLE_ROWS]:
            try:
                cells = split_cells(line.removesuffix(b"\r"), self.delimiter)
            except InputError:
                continue
            if len(cells) == len(self.columns):
                rows.append(cells)
        for place, column in enumerate(self.columns):
            values = [cells[place] for cells in rows if cells[place]]
            if (
                self._columns.kinds[place] == CATEGORY
                and self._said_of(column) == INFER
                and len(values) >= FEWEST_VALUES
                and len(set(values)) == len(values)
            ):
                self._columns.kinds[place] = LEFT_OUT
                self.notes.append(
                    f"the column {column!r} is left out: each of its first {len(values)} values is another "
                    "one; if they are numbers, name it numeric"
                )


def split_cells(line: bytes, delimiter: bytes) -> list[bytes]:
    """Split a line into its cells, without their quotes.

    Raises
    ------
    InputError
        Where a quoted cell does not end, or goes on after its quote.
    """
    if b'"' not in line:
        return line.split(delimiter)
    cells: list[bytes] = []
    j = 0
    while True:
        if line.startswith(b'"', j):
            cell, j = _quoted(line, j + 1)
            if j < len(line) and line[j : j + 1] != delimiter:
                raise InputError(
                    f"{shown(line[j:])} stands after a closing quote; write a quote inside a cell twice"
                )
        else:
            stop = line.find(delimiter, j)
            stop = len(line) if stop < 0 else stop
            cell, j = line[j:stop], stop
        cells.append(cell)
        if j == len(line):
            return cells
        j += 1


def _quoted(line: bytes, j: int) -> tuple[bytes, int]:
    """Return the quoted cell of which `j` is the first byte, and where it ends, after its quote."""
    cell = b""
    while True:
        stop = line.find(b'"', j)
        if stop < 0:
            raise InputError("a quoted cell does not end in its line; line ends inside quotes are not read")
        cell += line[j:stop]
        j = stop + 1
        if not line.startswith(b'"', j):
            return cell, j
        cell += b'"'
        j += 1


def _columns(names: Sequence[str], kinds: Sequence[int]) -> Columns:
    """Prepare the columns for compiled code."""
    starts = [hash_start(np.frombuffer(name.encode() + b"=", np.uint8)) for name in names]
    return Columns(
        kinds=np.array(kinds, np.uint8),
        hashes=np.array([h for h, _ in starts], np.uint32),
        tails=np.array([tail for _, tail in starts], np.uint32),
        lengths=np.array([len(name.encode()) + 1 for name in names], np.int64),
        indices=np.array([index_of(name) for name in names], np.uint32),
        fields=np.array([field_of(name) for name in names], np.uint16),
    )
