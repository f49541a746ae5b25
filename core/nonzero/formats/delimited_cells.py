"""The cells of delimited text, read in Python: what each kind of column makes of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from nonzero.errors import InputError
from nonzero.fields.counts import ContradictionError
from nonzero.formats.assembly import PlainRow
from nonzero.formats.buckets import bucket_of
from nonzero.formats.delimited_columns import (
    BOOLEAN,
    BUCKET,
    CATEGORY,
    HOUR,
    ID,
    LABEL,
    LEFT_OUT,
    NUMBER,
    TIME,
    WEIGHT,
)
from nonzero.formats.delimited_labels import id_of_cell, label_of_cell
from nonzero.formats.layouts import hour_of
from nonzero.formats.numbers import number_of, value_of, weight_of
from nonzero.formats.times import TimeFormat

_BOOLEANS: Final = {b"True": b"true", b"False": b"false"}


class PlainCells:
    """Reads the cells of a record.

    Parameters
    ----------
    columns, kinds
        The columns, and what each is.
    made
        The fields of the features that are made of a column, by its name; empty for one that is left out.
    positive
        The label that is a click; nothing where labels are 0 and 1.
    times
        How times are written.
    """

    def __init__(
        self,
        columns: Sequence[str],
        kinds: Sequence[int],
        made: Mapping[str, Sequence[str]],
        positive: bytes,
        times: TimeFormat,
    ) -> None:
        self._columns, self._kinds = columns, kinds
        self._made, self._positive, self._times = made, positive, times

    def row_of(self, cells: Sequence[bytes]) -> PlainRow:
        """Return the row that cells are, one for each column.

        Raises
        ------
        InputError
            For a cell that cannot be read; a ContradictionError for one that contradicts the schema.
        """
        row = PlainRow(label=0.0 if self._positive else float("nan"))
        for column, kind, cell in zip(self._columns, self._kinds, cells, strict=True):
            if not cell or kind == LEFT_OUT:
                continue
            if kind == LABEL:
                row.label = label_of_cell(cell, self._positive)
            elif kind in (CATEGORY, BOOLEAN):
                cell = _BOOLEANS.get(cell, cell) if kind == BOOLEAN else cell
                row.add_named(column.encode() + b"=" + cell, 1.0, column.encode())
            elif kind == NUMBER:
                name = column.encode()
                row.add_named(name, value_of(_number_of(column, cell), cell), name)
            else:
                self._read_special(row, column, kind, cell)
        return row

    def features_of(self, cells: Sequence[bytes]) -> dict[str, str | float]:
        """Return the features of a record that can be read, by name, as an example in JSON has them."""
        named: dict[str, str | float] = {}
        for column, kind, cell in zip(self._columns, self._kinds, cells, strict=True):
            if cell and kind in (CATEGORY, BOOLEAN):
                cell = _BOOLEANS.get(cell, cell) if kind == BOOLEAN else cell
                named[column] = cell.decode(errors="replace")
            elif cell and kind == NUMBER and (value := number_of(cell, column)):
                named[column] = value
            elif cell and kind in (BUCKET, HOUR):
                named.update(self._made_of(column, kind, cell))
        return named

    def _read_special(self, row: PlainRow, column: str, kind: int, cell: bytes) -> None:
        """Read a cell of a weight, an id or a time, or one that features are made of."""
        if kind == WEIGHT:
            row.weight = weight_of(cell)
        elif kind == ID:
            row.id = id_of_cell(cell)
        elif kind == TIME:
            row.time = self._times.read(cell)
        else:
            if kind == HOUR:
                row.time = hour_of(cell, column)[2]
            for field, text in self._made_of(column, kind, cell):
                row.add_named(f"{field}={text}".encode(), 1.0, field.encode())

    def _made_of(self, column: str, kind: int, cell: bytes) -> list[tuple[str, str]]:
        """Return the fields and the values that are made of a cell."""
        values = (bucket_of(cell, column),) if kind == BUCKET else hour_of(cell, column)[:2]
        fields = self._made[column]
        return [(field, str(value)) for field, value in zip(fields, values, strict=True) if field]


def _number_of(column: str, cell: bytes) -> float:
    """Read a cell of a column of numbers."""
    try:
        return number_of(cell, f"the value of the column {column!r}")
    except InputError as error:
        raise ContradictionError(str(error), column) from error
