"""The values that some fields have in a file, line by line: what examples are sliced by.

A file is read once more for them, by a schema in which these fields are categories and all others nothing. So
a field may be one that no model knows. A value is the index of its feature; what it is called, the plain
parser says of the first line that has it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import InputError
from nonzero.fields.hashing import field_of, index_of
from nonzero.fields.schema import Schema
from nonzero.formats import Parsed, Reader
from nonzero.formats.arrow_types import listed
from nonzero.formats.arrow_values import cells_as_text
from nonzero.formats.delimited import Delimited
from nonzero.formats.reading import BYTE_ORDER_MARK
from nonzero.sources.columnar import ColumnarReader
from nonzero.sources.pipeline import ahead

MAX_NAMES: Final = 1 << 16
"""Of so many values, over all fields, the names are kept."""


class LineValues(NamedTuple):
    """Values that some lines have."""

    lines: NDArray[np.int64]
    """int64[k]: the line of each value, in order; one that has several stands there as often."""
    fields: NDArray[np.intp]
    """intp[k]: the place of its field among those that were asked for."""
    features: NDArray[np.uint32]
    """uint32[k]: its feature's index."""
    upto: int
    """The values of all lines up to this one are told, with those before."""


class FieldValues:
    r"""Reads the values of some fields, of one file after another.

    Parameters
    ----------
    fields
        Their names.

    Attributes
    ----------
    schema
        That readers are to have.
    names
        What the values are called, by their features' indices.

    Raises
    ------
    SettingsError
        For a name that no schema can have.

    Examples
    --------
    >>> from nonzero import formats
    >>> values = FieldValues(["site"])
    >>> lines = formats.reader("vw", schema=values.schema)
    >>> parts = list(values.of_text([b"1 |site news |ad 7\n0 |site sport\n"], lines))
    >>> parts[0].lines.tolist(), [values.names[index] for index in parts[0].features.tolist()]
    ([1, 2], ['news', 'sport'])
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self.schema = Schema({**dict.fromkeys(fields, "category"), "*": "ignore"})
        self.names: dict[int, str] = {}
        self._places = np.full(1 << 16, -1, np.intp)
        for place, field in enumerate(fields):
            self._places[field_of(field)] = place

    def of_text(self, blocks: Iterable[bytes], reader: Reader) -> Generator[LineValues, None, None]:
        """Yield the values in a text.

        Parameters
        ----------
        blocks
            The text in any pieces; iterated in a thread of its own.
        reader
            A new one, with :attr:`schema`; of a table, with its columns judged.

        Raises
        ------
        FormatError
            For a header that cannot be used.
        """
        lines = _HeldLines(reader)
        upto = 0
        for block in ahead(blocks):
            lines.hold(block)
            parsed = reader.feed(block)
            upto = _upto(upto, parsed, reader)
            yield self._named(parsed, lines, upto)
            lines.let_go(upto)
        parsed = reader.finish()
        yield self._named(parsed, lines, _upto(upto, parsed, reader))

    def of_rows(self, parts: Iterable[Parsed]) -> Generator[LineValues, None, None]:
        """Yield the values in hashed rows, which hold no names.

        Parameters
        ----------
        parts
            The rows.
        """
        for field in self.fields:
            self.names.setdefault(index_of(field), "(a number)")
        upto = 0
        for parsed in parts:
            upto += parsed.lines_read
            yield self._values(parsed, upto)[0]

    def of_columns(self, reader: ColumnarReader) -> Generator[LineValues, None, None]:
        """Yield the values in a columnar file.

        Parameters
        ----------
        reader
            A new one, with :attr:`schema`.

        Raises
        ------
        FormatError
            Where the file is damaged.
        """
        if not reader.format.columns:  # none of the fields is a column
            return
        upto = 0
        for batch in ahead(reader.file.batches(reader.format.columns)):
            begin = upto
            for parsed in reader.format.read(batch):
                upto += parsed.lines_read
                found, first = self._values(parsed, upto)
                for feature, entry in first.items():
                    if feature not in self.names and len(self.names) < MAX_NAMES:
                        field = self.fields[int(found.fields[entry])]
                        self._name_cells(batch, int(found.lines[entry]) - 1 - begin, field)
                yield found

    def _values(self, parsed: Parsed, upto: int) -> tuple[LineValues, dict[int, int]]:
        """Return the values of some rows, and at which entry each comes first."""
        batch = parsed.batch
        if batch.fields is None:
            none = np.empty(0, np.intp)
            return LineValues(none.astype(np.int64), none, none.astype(np.uint32), upto), {}
        places = self._places[batch.fields]
        chosen = places >= 0
        lines = np.repeat(parsed.lines, np.diff(batch.indptr))[chosen]
        features = batch.indices[chosen]
        each, first = np.unique(features, return_index=True)
        found = LineValues(lines, places[chosen], features, upto)
        return found, dict(zip(each.tolist(), first.tolist(), strict=True))

    def _named(self, parsed: Parsed, lines: _HeldLines, upto: int) -> LineValues:
        """Return the values of some rows, and name those that are new."""
        found, first = self._values(parsed, upto)
        for feature, entry in first.items():
            if feature in self.names or len(self.names) >= MAX_NAMES:
                continue
            record = lines.record(int(found.lines[entry]))
            with suppress(InputError):  # it was read: only a record that is not held as it was is not
                for name, field in lines.reader.format.parse_line(record).names.values():
                    value = name.removeprefix(field + b"=")
                    self.names.setdefault(index_of(name), value.decode(errors="replace"))
        return found

    def _name_cells(self, batch: Any, row: int, field: str) -> None:
        """Take the names of the values in a cell."""
        cell = batch.column(batch.schema.get_field_index(field)).slice(row, 1)
        if listed(cell.type) is not None:
            cell = cell.flatten()
        for text in cells_as_text(cell, field):
            self.names.setdefault(index_of(field.encode() + b"=" + text), text.decode())


def _upto(before: int, parsed: Parsed, reader: Reader) -> int:
    """Return how many lines have been read; a reader does not count those of its header."""
    if before == 0 and parsed.lines_read and reader.format.header:
        before = min([*parsed.lines[:1].tolist(), *(error.line for error in parsed.errors[:1])]) - 1
    return before + parsed.lines_read


class _HeldLines:
    """The text of the lines that a reader is about to read."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._text = b""
        self._first = 1  # the number of the line that the text begins with, or in
        self._lines: list[bytes] | None = None

    def hold(self, block: bytes) -> None:
        """Add what follows."""
        self._text += block
        self._lines = None

    def record(self, line: int) -> bytes:
        """Return the record that begins with a line; nothing where it is not held."""
        if self._lines is None:
            self._lines = self._text.split(b"\n")
        form, start = self.reader.format, line - self._first
        if not 0 <= start < len(self._lines):
            return b""
        record = self._lines[start]
        if isinstance(form, Delimited):
            stop = start + 1
            while stop < len(self._lines) and not form.is_whole(record):
                record += b"\n" + self._lines[stop]
                stop += 1
        return record.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\r")

    def let_go(self, upto: int) -> None:
        """Forget the lines up to one."""
        end = 0
        if upto + 1 - self._first == self._text.count(b"\n"):  # nearly always
            end, self._first = self._text.rfind(b"\n") + 1, upto + 1
        while self._first <= upto:
            found = self._text.find(b"\n", end) + 1
            if not found:  # the line is too long, and was given up before its end
                end = len(self._text)
                break
            end, self._first = found, self._first + 1
        self._text = self._text[end:]
        self._lines = None
