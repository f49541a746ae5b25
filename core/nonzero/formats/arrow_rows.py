"""Record batches of Arrow -> rows: the columns of a stream, each with its part, read block by block."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import BatchError, InputError, LineError, named
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.arrow_cells import ArrowColumn
from nonzero.formats.arrow_import import stream_of
from nonzero.formats.arrow_roles import check_role, ids_in, labels_in, times_in, weights_in
from nonzero.formats.column_cells import Lists
from nonzero.formats.column_rows import ColumnRows, Roles, part_of
from nonzero.formats.parsed import Parsed

CELLS_AT_ONCE: Final = 1 << 18
"""About so many cells are made rows at once: they stay in the cache."""

CELLS_LOOKED_UP: Final = 1 << 22
"""About so many are looked up at once, column by column: so a dictionary stays in the cache meanwhile."""

_FEWEST_ROWS: Final = 256

_INDEX: Final = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name, which is a column of what it hands over."""


class ArrowRows(ColumnRows[ArrowColumn]):
    """Reads the record batches of one stream, in order.

    Parameters
    ----------
    arrow_schema
        The names and types of the columns: a ``pyarrow.Schema``.
    **options
        Those of :class:`~nonzero.formats.column_rows.ColumnRows`.

    Raises
    ------
    FormatError
        For a column that is missing, stands twice, or is of a type that is nothing of what it should be.
    SettingsError
        For a column given two parts, or another one than the schema gives it.
    """

    def __init__(self, arrow_schema: Any, **options: Any) -> None:
        self._types = arrow_schema
        names: list[str] = arrow_schema.names
        written = (arrow_schema.metadata or {}).get(b"pandas")
        super().__init__(names, index_columns(written, names), **options)

    def _column(self, name: str, said: int, *, truths: bool) -> ArrowColumn:
        return ArrowColumn(name, said, self._types.field(name).type, truths=truths)

    def _check_role(self, role: str, name: str) -> None:
        check_role(role, name, self._types.field(name).type)

    def read(self, batch: Any) -> Generator[Parsed, None, None]:
        """Read a record batch.

        Parameters
        ----------
        batch
            A ``pyarrow.RecordBatch`` that has the columns :attr:`columns`.

        Yields
        ------
        Parsed
            The rows of a part of it, and those that could not be read.

        Raises
        ------
        FormatError
            For what is wrong with a column as a whole.
        """
        columns = len(self._columns)
        step = rows_at_once(columns)
        many = (
            step if any(column.lists for column in self._columns) else rows_at_once(columns, CELLS_LOOKED_UP)
        )
        places = {name: batch.schema.get_field_index(name) for name in self.columns}
        for start in range(0, batch.num_rows, many):
            part = batch.slice(start, many)
            found = [
                column.read(part.column(places[column.name]), batch.num_rows, room)
                for column, room in zip(self._columns, self._room(part.num_rows), strict=True)
            ]
            for first in range(0, part.num_rows, step):
                rows = part.slice(first, step)
                stop = first + rows.num_rows  # with lists, the end of the part
                some = [one if isinstance(one, Lists) else part_of(one, first, stop) for one in found]
                wrong: dict[int, InputError] = {}
                roles = self._read_roles(rows, places, wrong)
                yield self._rows_of(some, roles, wrong, first)

    def _read_roles(self, part: Any, places: Mapping[str, int], wrong: dict[int, InputError]) -> Roles:
        """Return labels, weights, ids and times; what is wrong with them is added."""
        n = part.num_rows
        labels = np.full(n, 0 if self._positive and self._read_label else np.nan, np.float32)
        weights = np.ones(n, np.float32)
        ids: Any = None
        times: NDArray[np.int64] | None = None
        for name, role in self._roles.items():
            array = part.column(places[name])
            bad: dict[int, InputError]
            if role == "label":
                labels, bad = labels_in(array, name, self._positive)
            elif role == "weight":
                weights, bad = weights_in(array, name)
            elif role == "id":
                ids, bad = ids_in(array, name)
            else:
                times, bad = times_in(array, name)
            for row, error in bad.items():
                wrong.setdefault(row, error)
        return Roles(labels, weights, ids, times)


def rows_at_once(columns: int, cells: int = CELLS_AT_ONCE) -> int:
    """Return how many rows of so many columns have about so many cells, and a few at least."""
    return max(_FEWEST_ROWS, cells // max(columns, 1))


def index_columns(written: bytes | None, names: Sequence[str]) -> list[str]:
    """Return the columns that are an index without a name, by what pandas has written, if it has."""
    if written is None:
        return []
    import msgspec  # here: it takes 9 ms, which a command on other files need not pay

    try:
        said = msgspec.json.decode(written, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    indices = said.get("index_columns")
    listed = [name for name in indices if isinstance(name, str)] if isinstance(indices, list) else []
    return [name for name in listed if _INDEX.fullmatch(name) and name in names]


def read_table(given: Any, schema: Schema | Mapping[str, Any] | None = None, **columns: Any) -> Batch:
    """Read a whole table: what :meth:`nonzero.Batch.from_arrow` calls.

    Parameters
    ----------
    given
        The table.
    schema
        What the fields are; None for who asks nothing of it.
    **columns
        Which columns hold label, weight, id and time.

    Raises
    ------
    BatchError
        For what is no table, and naming the first rows that cannot be read.
    FormatError
        For what is wrong with a column.
    """
    with stream_of(given) as stream:
        rows = ArrowRows(stream.schema, schema=untracked if schema is None else schema, **columns)
        batches: list[Batch] = []
        errors: list[LineError] = []
        for batch in stream:
            for parsed in rows.read(batch):
                errors += (LineError(line - 1, reason) for line, reason in parsed.errors)
                if not errors and len(parsed.batch):
                    batches.append(parsed.batch)
    if errors:
        raise BatchError(f"{len(errors)} rows cannot be read: {named(errors, 'row')}")
    return Batch.concatenate(batches)
